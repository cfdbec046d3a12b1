"""Where the seconds of a command went."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

START, OTHER = "start", "other"


class Stopwatch:
    """Seconds by phase, in the order in which they began; their sum is all the time there was.

    A phase inside another counts for itself only, and what is in none counts as "other". Counted is the time of the
    thread that goes through the phases: what another does meanwhile shows where it is waited for, so no second counts
    twice.

    Args:
        began: `time.perf_counter` when the command began; the time up to now is the phase "start".
        now: the clock that `began` was read from.
    """

    def __init__(self, began: float | None = None, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._since = now()
        self._seconds = {} if began is None else {START: self._since - began}
        self._stack = [OTHER]

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
        """By phase, up to now."""
        self._book()
        return dict(self._seconds)

    @property
    def total(self) -> float:
        """All of them, up to now."""
        return sum(self.seconds.values())

    def _book(self) -> None:
        now = self._now()
        self._seconds[self._stack[-1]] = self._seconds.get(self._stack[-1], 0.0) + now - self._since
        self._since = now
