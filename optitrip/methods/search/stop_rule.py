"""Where a search ends before its last candidate.

It is over at the lowest index that meets the target, or that is the last of so many without an improvement; all before
it are evaluated. So the answer is that of a search of so many candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optitrip.core.observer import InOrder, Times
from optitrip.core.part import Part

if TYPE_CHECKING:
    from optitrip.methods.search.method import SearchResult


class SearchStopRule:
    """The rule of `target_loss` and `no_improvement`.

    Args:
        items: the number of candidates at most.
        sign: +1 to minimise, -1 to maximise.
        target_loss: a loss that is good enough.
        no_improvement: the number of candidates in a row that may be no better than the best before them.
    """

    def __init__(
        self, items: int, sign: int, target_loss: float | None = None, no_improvement: int | None = None
    ) -> None:
        self.items = items
        self._sign, self._target, self._allowed = sign, target_loss, no_improvement
        self._order = InOrder()
        self._best = float("inf")
        self._last = -1
        """The last candidate that improved on all before it, as far as all before it are known."""

    def see(self, part: Part) -> None:
        """Take in a part of the search."""
        if self._target is not None:
            for index, loss in lows(part, self._sign):
                if loss <= self._sign * self._target:
                    self.items = min(self.items, index + 1)
        if self._allowed is not None:
            for ready, _ in self._order.push([(part, Times([part.items.start], [0]))]):
                self._improve(ready, self._allowed)

    def _improve(self, part: Part, allowed: int) -> None:
        for index, loss in lows(part, self._sign):
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


def why_ended(target_loss: float | None, no_improvement: int | None, result: SearchResult, items: int) -> str:
    """Return why a search has fewer candidates than it was asked for; empty if it has all."""
    if result.items == items:
        return ""
    best = int(result.best_index[0])
    if target_loss is not None and best == result.items - 1:
        return f"candidate {best:,} met the target of {target_loss:g}: the search ends there"
    return f"no improvement in {no_improvement:,} candidates: the search ends at {result.items:,}"
