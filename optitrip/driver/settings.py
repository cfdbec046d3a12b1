"""The settings of a driver: how long it waits, and for what. None of them changes an answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optitrip.scheduler import settings as scheduler_settings
from optitrip.scheduler.settings import SchedulerSettings


@dataclass(frozen=True)
class Settings:
    """One value for a whole run; all durations are in seconds."""

    write_seconds: float = 0.2
    """Pause between transactions of the journal: to wait for the disk costs more than all else of a slice."""
    pause_seconds: float = 60.0
    """Longest wait for a disk that has no room."""
    drain_seconds: float = 10.0
    """Longest wait for slices that were begun when someone asks to stop."""
    wait_seconds: float = math.inf
    """Longest wait for workers when there are none."""
    item_seconds: float | None = None
    """Time that an item may take, where workers can be killed."""
    poll_seconds: float = 0.2
    """Longest wait for outcomes before everything else is looked at again."""
    patience_seconds: float = 20.0
    """Time without workers before that is reported."""
    worth_ray_seconds: float = 10.0
    """Estimated rest of a sweep above which Ray is started: it takes five to ten seconds to start and one to stop."""
    story_seconds: float = 30.0
    """Pause between updates of the story in the journal."""
    scheduler: SchedulerSettings = scheduler_settings.DEFAULT
    """Settings of the plan."""


DEFAULT = Settings()
