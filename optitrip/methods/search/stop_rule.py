"""The stop rule of a search.

A search ends at the lowest index that meets the target, or that completes the allowed number of candidates without an
improvement. All before it are evaluated, so the answer is that of a search of that many candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optitrip.core.method import StopRule
from optitrip.core.observer import InOrder, Times
from optitrip.core.part import Part

if TYPE_CHECKING:
    from optitrip.methods.search.method import Search, SearchResult


class SearchStopRule(StopRule):
    """The rule of `target_loss` and `no_improvement`."""

    def __init__(self, search: Search) -> None:
        super().__init__(search.items)
        self._sign, self._target, self._allowed = search.sign, search.target_loss, search.no_improvement
        self._order = InOrder()
        self._best = float("inf")
        self._last_improvement = -1
        """The last candidate that improved on all before it, as far as all before it are known."""

    def see(self, part: Part) -> None:
        if self._target is not None:
            # The first candidate to meet the target is an incumbent: those before it did not, so it is better.
            for index, loss in incumbents(part, self._sign):
                if loss <= self._sign * self._target:
                    self.items = min(self.items, index + 1)
        if self._allowed is not None:
            for ready, _ in self._order.push([(part, Times([part.items.start], [0]))]):
                self._improve(ready, self._allowed)

    def _improve(self, part: Part, allowed: int) -> None:
        for index, loss in incumbents(part, self._sign):
            if loss < self._best:
                self._end_before(index, allowed)
                self._best, self._last_improvement = loss, index
        self._end_before(part.items.stop, allowed)

    def _end_before(self, index: int, allowed: int) -> None:
        """End the search if the candidates from the last improvement to before `index` are more than allowed."""
        if index - self._last_improvement > allowed:
            self.items = min(self.items, self._last_improvement + 1 + allowed)


def incumbents(part: Part, sign: int) -> list[tuple[int, float]]:
    """Return the candidates that are better than all before them in the part, in order, each with sign * loss."""
    index, loss = part.columns["low_index"], part.columns["low_loss"]
    return list(zip(index.tolist(), (sign * loss).tolist(), strict=True))


def why_ended(target_loss: float | None, no_improvement: int | None, result: SearchResult, items: int) -> str:
    """Return why a search has fewer candidates than it was asked for; empty if it has all."""
    if result.items == items:
        return ""
    best = int(result.best_index[0])
    if target_loss is not None and best == result.items - 1:
        return f"candidate {best:,} met the target of {target_loss:g}: the search ends there"
    return f"no improvement in {no_improvement:,} candidates: the search ends at {result.items:,}"
