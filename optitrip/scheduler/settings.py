"""The settings of a plan that tests and benchmarks change; they are a matter of speed, never of the answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SchedulerSettings:
    """Lengths of slices, and when one counts as late."""

    target_seconds: float = 1.0
    """Length of a slice, in seconds."""
    look_seconds: float = 1.0
    """Seconds from one look for late slices to the next."""
    late_seconds: float = 10.0
    """Seconds that every slice may take before it counts as late."""
    late_times: float = 3.0
    """Multiple of its expected duration that a slice may take before it counts as late."""


DEFAULT = SchedulerSettings()
