"""The progress of a search: its live line, its best loss so far and its chart."""

from __future__ import annotations

import numpy as np

from optitrip.core.observer import Times
from optitrip.core.part import Part
from optitrip.core.progress import MetricPoint, Progress
from optitrip.methods.search.answer import Best
from optitrip.methods.search.method import kept_indices
from optitrip.space.candidates import Candidates


class SearchProgress(Progress):
    """Shows a search in the words of the loop that optitrip began with: attempt, loss, min loss.

    Args:
        total: the number of candidates.
        candidates: the sequence of candidates.
        maximize: whether larger losses are better.
    """

    def __init__(self, total: int, candidates: Candidates, *, maximize: bool = False) -> None:
        super().__init__(total)
        self.loss, self.index = float("nan"), -1
        self._candidates, self._maximize, self._latest = candidates, maximize, float("nan")

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
        return Best(self.loss, self.index, self._candidates, self._maximize) if self.index >= 0 else None


POINTS_LOG2 = 10
"""At most 1,024 losses: as many as MLflow's chart draws at once."""


class SearchCurve:
    """The losses of a search as points, about a thousand at most however many candidates, and each new best."""

    def __init__(self, items: int, sign: int = 1, name: str = "loss") -> None:
        self._name = name
        self._stride = 1 << max(0, (items - 1).bit_length() - POINTS_LOG2)
        self._best, self._sign = float("nan"), sign

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        points, columns = self._losses(part, times), part.columns
        for step, loss in zip(columns["low_index"].tolist(), columns["low_loss"].tolist(), strict=True):
            if self._improves(loss):
                points.append(MetricPoint(f"{self._name}/best", loss, step, times.at(step)))
        return points

    def retried(self, part: Part, times: Times) -> list[MetricPoint]:
        """Return the losses of candidates that failed before.

        A new best shows in the last point only: MLflow cannot withdraw points that later turn out to be wrong.
        """
        for loss in part.columns["low_loss"][-1:].tolist():
            self._improves(loss)
        return self._losses(part, times)

    def end(self, items: int, time: int) -> list[MetricPoint]:
        """Return the last point of the best so far, so that its line reaches the last candidate."""
        return [MetricPoint(f"{self._name}/best", self._best, items - 1, time)] if np.isfinite(self._best) else []

    def _improves(self, loss: float) -> bool:
        """Return whether a loss is better than the best so far, and store it if so."""
        if self._sign * loss >= self._sign * self._best:
            return False
        self._best = loss
        return True

    def _losses(self, part: Part, times: Times) -> list[MetricPoint]:
        loss, index = part.columns["loss"], kept_indices(part.items)
        chosen = (index % self._stride == 0) & np.isfinite(loss)
        return [
            MetricPoint(self._name, loss, step, times.at(step))
            for step, loss in zip(index[chosen].tolist(), loss[chosen].tolist(), strict=True)
        ]
