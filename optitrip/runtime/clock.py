"""The clock, passed to all code that waits or records a time, and a stopwatch that counts seconds by phase."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Clock:
    """The clock of this machine; a simulation passes another one."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment; they never decrease."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return the time of day in milliseconds since 1970; it may jump."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM = Clock()


class Stopwatch:
    """Seconds by phase, in the order in which the phases began; they add up to the total time.

    Time in nested phases counts for the inner one only, time outside all phases as "other", and time from `began` until
    the stopwatch was made as "start". Only the thread that enters the phases is timed: work in another thread shows in
    the phase that waits for it, so no second counts twice.
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
        self._book()
        return dict(self._seconds)

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def _book(self) -> None:
        before, self._since = self._since, self._now()
        self._seconds[self._stack[-1]] = self._seconds.get(self._stack[-1], 0.0) + self._since - before
