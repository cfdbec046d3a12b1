"""How far the main stage of a sweep is, and the best loss of a search so far."""

from __future__ import annotations

from collections.abc import Sequence

from optitrip.core.method import Method
from optitrip.core.observer import Observer, Times, Written
from optitrip.methods.search.method import Search
from optitrip.part import Part


class Progress(Observer):
    """What the journal holds of a search or a gradient: how many are done; of a search the best loss with its index."""

    def __init__(self) -> None:
        self.done, self.new, self.loss, self.index = 0, 0, float("nan"), -1
        self._sign, self._counts = 1, False

    def stage(self, method: Method) -> None:
        self._counts = method.main
        self._sign = method.sign if isinstance(method, Search) else 1

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        for part, _ in written if self._counts else ():
            search = "best_loss" in part.columns
            count = len(part.items) - (part.items.start == 0 and not search)  # x itself is no coordinate
            self.done += count
            self.new += count if new else 0
            self._see_best(part)

    def retried(self, part: Part, times: Times) -> None:
        del times
        if self._counts:
            self._see_best(part)

    def _see_best(self, part: Part) -> None:
        columns = part.columns
        if "best_loss" not in columns:
            return
        best = zip(columns["best_loss"][:1].tolist(), columns["best_index"][:1].tolist(), strict=True)
        for loss, index in best:  # none, if all failed
            if self.index < 0 or (self._sign * loss, index) < (self._sign * self.loss, self.index):
                self.loss, self.index = loss, index
