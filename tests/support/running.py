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
from optitrip.driver.settings import Settings
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.runtime.stopwatch import Stopwatch
from optitrip.scheduler.settings import SchedulerSettings

MEMORY = Path(":memory:")
AT_ONCE = Settings(write_seconds=0.0)
"""Each part is written at once, so that an observer can interrupt between any two."""


def settings(target_seconds: float | None = None, **changes: Any) -> Settings:
    """`AT_ONCE` with changes; `target_seconds` is the length of slices."""
    if target_seconds is not None:
        changes["scheduler"] = SchedulerSettings(target_seconds=target_seconds)
    return replace(AT_ONCE, **changes)


def driver(
    objective: Any,
    make: Callable[[], Executor] | ExecutorManager = Serial,
    journal: Journal | None = None,
    observer: Any = None,
    *,
    block: int = 1,
    settings: Settings = AT_ONCE,
    **options: Any,
) -> Driver:
    """A driver of an objective, on what `make` makes or manages; by default with its journal in memory."""
    executors = make if isinstance(make, ExecutorManager) else ExecutorManager(make)
    executors.use(objective, executors.paths, (observer or Observers()).notice)
    return Driver(
        executors,
        block,
        journal or Journal(MEMORY),
        observer or Observers(),
        Stopwatch(),
        settings=settings,
        **options,
    )


class Lines(Observer):
    """Collects notices, and their texts."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.said: list[str] = []

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.said.append(notice.text)
