"""The services that a driver and its parts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optitrip.core.observer import Observer
from optitrip.driver.settings import DEFAULT, Settings
from optitrip.journal.journal import Journal
from optitrip.runtime.clock import SYSTEM, Clock
from optitrip.runtime.stopwatch import Stopwatch

if TYPE_CHECKING:
    from optitrip.executors.manager import ExecutorManager


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
