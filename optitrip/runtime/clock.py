"""The clock that is passed to all code that waits or notes a time, and the stopwatch that counts seconds by phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Clock:
    """The clock of this machine; a simulation passes another one."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never decrease."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return the time of day in milliseconds since 1970; it may jump."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM = Clock()


class Stopwatch:
    """Seconds by phase, in the order in which the phases began; they add up to the whole time.

    Time in a phase inside another counts for the inner one only, time outside all phases as "other", and time since
    `began` as "start". Only the thread that enters the phases is timed: the work of another thread shows where it is
    waited for, so no second counts twice.
    """

    def __init__(self, began: float | None = None, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._since = now()
        self._seconds = {} if began is None else {"start": self._since - began}
        self._stack = ["other"]

    @contextmanager
    def time(self, phase: str) -> Generator[None]:
        self._book()
        self._seconds.setdefault(phase, 0.0)
        self._stack.append(phase)
        try:
            yield
        finally:
            self._book()
            self._stack.pop()

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by phase, up to now."""
        self._book()
        return dict(self._seconds)

    @property
    def total(self) -> float:
        """Seconds in all phases, up to now."""
        return sum(self.seconds.values())

    def _book(self) -> None:
        before, self._since = self._since, self._now()
        self._seconds[self._stack[-1]] = self._seconds.get(self._stack[-1], 0.0) + self._since - before
