"""Where a search ends before its last candidate: by index, never by time, so that it ends there again.

It is over at the lowest index that meets the target, or that is the last of so many without an improvement; all before
it are evaluated. So the answer is that of a search of so many candidates.
"""

from __future__ import annotations

from optitrip.driver.strung import Times
from optitrip.driver.watch import InOrder
from optitrip.methods import Method
from optitrip.methods.search import Search
from optitrip.part import Part


class Ending:
    """Sees the parts of a stage, in any order, and tells how many of its items are needed."""

    def __init__(self, method: Method) -> None:
        self.items = method.items
        """No more than these, by what is known so far."""
        self._search = method if isinstance(method, Search) else None
        self._order = InOrder()
        self._best = float("inf")
        self._last = -1
        """The last candidate that improved on all before it, as far as all before it are known."""

    def see(self, part: Part) -> None:
        search = self._search
        if search is None:
            return
        if search.target_loss is not None:
            target = search.sign * search.target_loss
            for index, loss in lows(part, search.sign):
                if loss <= target:
                    self.items = min(self.items, index + 1)
        if search.no_improvement is not None:
            for ready, _ in self._order.push([(part, Times([part.items.start], [0]))]):
                self._improve(ready, search.sign, search.no_improvement)

    def _improve(self, part: Part, sign: int, allowed: int) -> None:
        for index, loss in lows(part, sign):
            if loss < self._best:
                self._too_long(index, allowed)
                self._best, self._last = loss, index
        self._too_long(part.items.stop, allowed)

    def _too_long(self, until: int, allowed: int) -> None:
        """Candidates from behind the last improvement to before `until` were none."""
        if until - self._last > allowed:
            self.items = min(self.items, self._last + 1 + allowed)


def lows(part: Part, sign: int) -> list[tuple[int, float]]:
    """Candidates that are better than all before them in the part, in order, with losses of which smaller is better.

    The first to meet a target is among them: what came before it met none, so it is better.
    """
    columns = part.columns
    return [
        (index, sign * loss)
        for index, loss in zip(columns["low_index"].tolist(), columns["low_loss"].tolist(), strict=True)
    ]
