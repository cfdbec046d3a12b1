"""The clock that is passed to all code that waits or notes a time, so that a simulation can pass another one."""

from __future__ import annotations

import time


class Clock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never decrease."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return the time of day in milliseconds since 1970; it may jump."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM = Clock()
