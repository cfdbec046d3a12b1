"""Where the seconds of a command went."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager


class Phases:
    """Seconds by phase, in the order in which they began; a phase inside another counts for itself only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def time(self, phase: str) -> Generator[None]:
        self._book()
        self.seconds.setdefault(phase, 0.0)
        self._stack.append(phase)
        try:
            yield
        finally:
            self._book()
            self._stack.pop()

    def _book(self) -> None:
        now = time.perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now
