"""Set up a driver for a test, and record its notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from optitrip.core.executor import Executor
from optitrip.core.notice import Code, Notice
from optitrip.core.observer import Observer, Observers
from optitrip.driver.run import Driver
from optitrip.driver.settings import Services, Settings
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.runtime.clock import SYSTEM, Clock, Stopwatch

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
    """Return a driver of an objective on the executor that `make` makes, or on those that it manages; the journal is in
    memory by default."""
    executors = make if isinstance(make, ExecutorManager) else ExecutorManager(make)
    executors.use(objective, executors.paths, (observer or Observers()).notice)
    journal, observer = journal or Journal(MEMORY), observer or Observers()
    services = Services(executors, journal, observer, Stopwatch(), raise_if_stopped, settings, clock=clock)
    return Driver(services, block, **options)


class Recording(Observer):
    """Stores the notices of a sweep."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    @property
    def codes(self) -> list[Code]:
        return [notice.code for notice in self.notices]

    def texts(self, code: Code) -> list[str]:
        """Return the texts of all notices with a code."""
        return [notice.text for notice in self.notices if notice.code == code]
