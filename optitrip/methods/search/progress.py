"""The progress of a search and its chart."""

import numpy as np

from optitrip.core.observer import MetricPoint, Progress, Times
from optitrip.core.part import Part
from optitrip.methods.search.best import Best
from optitrip.methods.search.method import kept_indices
from optitrip.output.text import DIGITS, compact, figure
from optitrip.space.variables import Candidates

POINTS_LOG2 = 10
"""Base-2 logarithm of the most losses in MLflow's chart: 1,024, as many as it draws at once."""


class SearchProgress(Progress):
    """Shows the fields that a hand-written search loop prints: attempt, loss, best loss."""

    def __init__(self, total: int, candidates: Candidates, *, maximize: bool = False) -> None:
        super().__init__(total)
        self.loss, self.index = float("nan"), -1
        self._candidates, self._maximize = candidates, maximize
        self._latest = self._before = float("nan")

    def see(self, part: Part) -> None:
        finite = part.columns["loss"][np.isfinite(part.columns["loss"])]
        self._latest = float(finite[-1]) if len(finite) else self._latest
        sign = -1 if self._maximize else 1
        best = (part.columns[name][:1].tolist() for name in ("best_loss", "best_index"))
        for loss, index in zip(*best, strict=True):  # none, if all failed
            if self.index < 0 or (sign * loss, index) < (sign * self.loss, self.index):
                self._before = self.loss if loss != self.loss else self._before
                self.loss, self.index = loss, index

    def words(self) -> str:
        return f"Attempt {self.done:,} | Loss {figure(self._latest)} | {self._best_words()}"

    def few_words(self) -> str:
        return f"Attempt {compact(self.done)} | {self._best_words()}"

    def _best_words(self) -> str:
        """Return the best loss, with as many digits as show that it is better than the one before."""
        extreme, digits = "MaxLoss" if self._maximize else "MinLoss", DIGITS
        while digits < 17 and figure(self.loss, digits) == figure(self._before, digits):
            digits += 1
        return f"{extreme} {figure(self.loss, digits)} at {self.index:,}"

    def best(self) -> Best | None:
        return Best(self.loss, self.index, self._candidates, self._maximize) if self.index >= 0 else None


class SearchCurve:
    """Charts each new best and a sample of the losses, about a thousand at most."""

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
        """Return the losses of retried candidates. A new best shows only in the last point: MLflow cannot withdraw
        points that turn out to be wrong."""
        for loss in part.columns["low_loss"][-1:].tolist():
            self._improves(loss)
        return self._losses(part, times)

    def end(self, items: int, time: int) -> list[MetricPoint]:
        """Return a final point, so that the line of the best so far reaches the last candidate."""
        return [MetricPoint(f"{self._name}/best", self._best, items - 1, time)] if np.isfinite(self._best) else []

    def _improves(self, loss: float) -> bool:
        """Store a loss if it is better than the best so far; return whether it was."""
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
