"""How far a search is, and its best loss so far."""

from __future__ import annotations

import numpy as np

from optitrip.core.observer import Times
from optitrip.core.part import Part
from optitrip.core.progress import MetricPoint, Progress
from optitrip.methods.search.answer import Best
from optitrip.methods.search.method import kept_indices
from optitrip.space.candidates import Candidates


class SearchProgress(Progress):
    """Shows a search in the words of the loop that all this began with: attempt, loss, min loss.

    Args:
        total: the number of candidates.
        draws: the sequence of candidates.
        maximize: whether larger losses are better.
    """

    def __init__(self, total: int, draws: Candidates, *, maximize: bool = False) -> None:
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


POINTS_LOG2 = 10
"""At most 1,024 losses: what MLflow's chart draws at once."""


class SearchCurve:
    """Turns the parts of a search into points, at most about a thousand losses however many candidates."""

    def __init__(self, items: int, sign: int = 1, name: str = "loss") -> None:
        self._name = name
        self._stride = 1 << max(0, (items - 1).bit_length() - POINTS_LOG2)
        self._best, self._sign = float("nan"), sign

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        """The points of the next part."""
        points, columns = self._losses(part, times), part.columns
        for step, loss in zip(columns["low_index"].tolist(), columns["low_loss"].tolist(), strict=True):
            if not self._sign * loss >= self._sign * self._best:
                self._best = loss
                points.append(MetricPoint(f"{self._name}/best", loss, step, times.at(step)))
        return points

    def _losses(self, part: Part, times: Times) -> list[MetricPoint]:
        loss, index = part.columns["loss"], kept_indices(part.items)
        chosen = (index % self._stride == 0) & np.isfinite(loss)
        return [
            MetricPoint(self._name, loss, step, times.at(step))
            for step, loss in zip(index[chosen].tolist(), loss[chosen].tolist(), strict=True)
        ]

    def retried(self, part: Part, times: Times) -> list[MetricPoint]:
        """The points of candidates that failed before. Of the best so far only the end knows of them: MLflow takes no
        point back that was wrong by what came later."""
        for loss in part.columns["low_loss"][-1:].tolist():
            if not self._sign * loss >= self._sign * self._best:
                self._best = loss
        return self._losses(part, times)

    def end(self, items: int, time: int) -> list[MetricPoint]:
        """The last point of the best so far, so that its line reaches the last candidate."""
        return [MetricPoint(f"{self._name}/best", self._best, items - 1, time)] if np.isfinite(self._best) else []
