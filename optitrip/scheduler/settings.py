"""The settings of the scheduler. They change how fast a sweep is, never its answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SchedulerSettings:
    """Durations of slices, and limits beyond which a slice is a straggler."""

    target_seconds: float = 1.0
    """Desired duration of a slice, in seconds."""
    check_seconds: float = 1.0
    """Seconds between two checks for stragglers."""
    straggler_seconds: float = 10.0
    """Seconds that any slice may take before it is a straggler."""
    straggler_factor: float = 3.0
    """Multiple of its expected duration that a slice may take before it is a straggler."""


DEFAULT = SchedulerSettings()
