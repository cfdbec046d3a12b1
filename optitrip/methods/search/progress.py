"""How far a search is, and its best loss so far."""

from __future__ import annotations

import numpy as np

from optitrip.core.part import Part
from optitrip.core.progress import Progress
from optitrip.methods.search.answer import Best
from optitrip.space.candidates import Draws


class SearchProgress(Progress):
    """Shows a search in the words of the loop that all this began with: attempt, loss, min loss.

    Args:
        total: the number of candidates.
        draws: the sequence of candidates.
        maximize: whether larger losses are better.
    """

    def __init__(self, total: int, draws: Draws, *, maximize: bool = False) -> None:
        super().__init__(total)
        self.loss, self.index = float("nan"), -1
        self._draws, self._maximize, self._latest = draws, maximize, float("nan")

    def see(self, part: Part) -> None:
        finite = part.columns["loss"][np.isfinite(part.columns["loss"])]
        self._latest = float(finite[-1]) if len(finite) else self._latest
        sign = -1 if self._maximize else 1
        best = (part.columns[name][:1].tolist() for name in ("best_loss", "best_index"))
        for loss, index in zip(*best, strict=True):  # none, if all failed
            if self.index < 0 or (sign * loss, index) < (sign * self.loss, self.index):
                self.loss, self.index = loss, index

    def words(self) -> str:
        extreme = "MaxLoss" if self._maximize else "MinLoss"
        return f"Attempt {self.done:,} | Loss {self._latest:.4f} | {extreme} {self.loss:.4f} at {self.index:,}"

    def best(self) -> Best | None:
        return Best(self.loss, self.index, self._draws, self._maximize) if self.index >= 0 else None
