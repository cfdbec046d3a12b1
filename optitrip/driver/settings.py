"""The settings of a driver, and the services that its parts share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optitrip.core.observer import Observer
from optitrip.journal.journal import Journal
from optitrip.runtime.clock import SYSTEM, Clock, Stopwatch
from optitrip.scheduler.state import SchedulerSettings

if TYPE_CHECKING:
    from optitrip.executors.manager import ExecutorManager


@dataclass(frozen=True)
class Settings(SchedulerSettings):
    """Durations of a whole run, in seconds. None of them changes an answer."""

    write_seconds: float = 0.2
    """Pause between transactions of the journal: waiting for the disk costs more than all else that a slice costs."""
    pause_seconds: float = 60.0
    """Longest wait for a disk without room."""
    drain_seconds: float = 10.0
    """Longest wait for slices in flight after a request to stop."""
    wait_seconds: float = math.inf
    """Longest wait for workers when there are none."""
    poll_seconds: float = 0.2
    """Longest wait for outcomes before everything else is checked again."""
    patience_seconds: float = 20.0
    """Time without workers before that is reported."""
    worth_ray_seconds: float = 10.0
    """Estimated time left above which Ray is started: it takes five to ten seconds to start and one to stop."""
    story_seconds: float = 30.0
    """Pause between updates of the story in the journal."""


DEFAULT = Settings()


@dataclass(frozen=True)
class Services:
    """Everything outside a driver that it works with."""

    executors: ExecutorManager
    journal: Journal
    observer: Observer
    """Receiver of notices, and of parts once they are in the journal."""
    phases: Stopwatch
    """Stopwatch that counts the seconds of each kind of stage, and those of waiting for Ray."""
    raise_if_stopped: Callable[[], None] = lambda: None
    """Function called between slices; it raises `Stopped` after a request to stop."""
    settings: Settings = DEFAULT
    clock: Clock = SYSTEM
    """Clock for waiting, and for the times of journal rows."""
