"""The end of a stage whose first items, without which there is no answer, all failed."""

from __future__ import annotations

from optitrip.core.method import Method
from optitrip.errors import NoAnswer
from optitrip.part import Failures


class Hopeless:
    """Sees the parts of a stage, in any order."""

    def __init__(self, method: Method) -> None:
        self._first = range(method.vital if method.items > method.vital else 0)
        self._method = method
        self._failed = 0
        self._failures = Failures()

    def see(self, items: range, failures: Failures) -> None:
        """Count a part.

        Raises:
            NoAnswer: once every one of the first items is known to have failed.
        """
        if not self._first or items.start >= self._first.stop:
            return
        within = range(items.start, min(items.stop, self._first.stop))
        if not failures.cover(within):
            self._first = range(0)
            return
        self._failed += len(within)
        if items.start == 0:
            self._failures = failures
        if self._failed == len(self._first):
            every = f"the first {self._failed} items all failed" if self._failed > 1 else "the first item failed"
            raise NoAnswer(every, self._failures, self._method)
