"""The one way in which tests set up a driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from optitrip.core.executor import Executor
from optitrip.core.notice import Notice
from optitrip.core.observer import Observer, Observers
from optitrip.driver.run import Driver
from optitrip.driver.settings import Services, Settings
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.runtime.clock import SYSTEM, Clock
from optitrip.runtime.stopwatch import Stopwatch

MEMORY = Path(":memory:")
AT_ONCE = Settings(write_seconds=0.0)
"""Each part is written at once, so that an observer can interrupt between any two."""


def settings(**changes: Any) -> Settings:
    """Return `AT_ONCE` with changes."""
    return replace(AT_ONCE, **changes)


def driver(
    objective: Any,
    make: Callable[[], Executor] | ExecutorManager = Serial,
    journal: Journal | None = None,
    observer: Any = None,
    *,
    block: int = 1,
    settings: Settings = AT_ONCE,
    raise_if_stopped: Callable[[], None] = lambda: None,
    clock: Clock = SYSTEM,
    **options: Any,
) -> Driver:
    """A driver of an objective, on what `make` makes or manages; by default with its journal in memory."""
    executors = make if isinstance(make, ExecutorManager) else ExecutorManager(make)
    executors.use(objective, executors.paths, (observer or Observers()).notice)
    journal, observer = journal or Journal(MEMORY), observer or Observers()
    services = Services(executors, journal, observer, Stopwatch(), raise_if_stopped, settings, clock)
    return Driver(services, block, **options)


class Lines(Observer):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, notice: Notice) -> None:
        self.said.append(notice.text)
