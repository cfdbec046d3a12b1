"""The clock that is handed to whoever waits or notes a time, so that a simulation can hand in another one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells how late it is, and waits."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never go back."""
        ...

    def wall_ms(self) -> int:
        """Return the time of day in milliseconds since 1970; it may jump."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never go back."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return the time of day in milliseconds since 1970; it may jump."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM = SystemClock()
