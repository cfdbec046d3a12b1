"""The driver's settings, and the services that its modules share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optitrip.core.observer import Observer
from optitrip.journal.journal import Journal
from optitrip.runtime.clock import SYSTEM, Clock, Stopwatch
from optitrip.runtime.overrun import Overrun
from optitrip.scheduler.state import SchedulerSettings

if TYPE_CHECKING:
    from optitrip.executors.manager import ExecutorManager


@dataclass(frozen=True)
class Settings(SchedulerSettings):
    """Settings that apply to a whole run. None affects an answer, except that `item_seconds` makes slow items fail."""

    write_seconds: float = 0.2
    """Pause between journal transactions: waiting for the disk is the largest part of the overhead of a slice."""
    disk_wait_seconds: float = 60.0
    """Longest wait for a full disk to have space again."""
    drain_seconds: float = 10.0
    """Longest wait for slices in flight after a request to stop."""
    wait_seconds: float = math.inf
    """Longest wait for workers when there are none."""
    poll_seconds: float = 0.2
    """Longest wait for outcomes between two rounds of the loop's other checks."""
    no_workers_notice_seconds: float = 20.0
    """Time without workers after which the user is told."""
    ray_threshold_seconds: float = 10.0
    """Estimated time left above which Ray is started: it takes five to ten seconds to start and one to stop."""
    compared: bool = True
    """True if it is a mistake of the loss when an item that is evaluated again, by a backup copy, gives another one."""
    story_seconds: float = 30.0
    """Pause between updates of the stored story."""


DEFAULT = Settings()


@dataclass(frozen=True)
class Services:
    """Objects that a driver uses and does not own."""

    executors: ExecutorManager
    journal: Journal
    observer: Observer
    """Receives notices, and parts once they are in the journal."""
    phases: Stopwatch
    """Seconds spent in each kind of stage, and waiting for Ray."""
    raise_if_stopped: Callable[[], None] = lambda: None
    """Called between slices; raises `Stopped` after a request to stop."""
    settings: Settings = DEFAULT
    overrun: Overrun | None = None
    """Means to end a loss in this process that goes on after a request to stop."""
    clock: Clock = SYSTEM
    """Clock for waits and for the timestamps of journal rows."""
