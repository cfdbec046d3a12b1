"""The clock that is passed to all code that waits or notes a time, so that a simulation can pass another one."""

# The bodies of a protocol are its docstrings.
# pyright: reportReturnType=false

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Return seconds since some moment; they never decrease."""

    def wall_ms(self) -> int:
        """Return the time of day in milliseconds since 1970; it may jump."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM = SystemClock()
