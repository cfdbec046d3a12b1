"""The progress of a search and its chart."""

import numpy as np

from optitrip.core.observer import MetricPoint, Progress, Times
from optitrip.core.part import Part
from optitrip.methods.search.best import Best
from optitrip.output.text import DIGITS, compact, figure
from optitrip.space.candidates import Candidates

EXACT, THINNED = 500, 1.01
"""Number of steps of MLflow's chart before it is thinned, and the least ratio between the indices of later ones."""


class SearchProgress(Progress):
    """Shows the fields that a hand-written search loop prints: attempt, loss, best loss."""

    def __init__(self, total: int, candidates: Candidates, *, maximize: bool = False, measure: str = "loss") -> None:
        super().__init__(total)
        self.loss, self.index = float("nan"), -1
        self._candidates, self._maximize, self._measure = candidates, maximize, measure
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
        if self.index < 0:
            return None
        return Best(self.loss, self.index, self._candidates, self._maximize, measure=self._measure)


class SearchCurve:
    """Charts the best so far as a staircase: before each new best, the old one at the index before.

    MLflow joins points by slopes. A loss that falls with almost every candidate is thinned, so that the chart stays
    short: after the first `EXACT` steps, each is at an index at least 1 % larger than that of the step before.
    """

    def __init__(self, sign: int = 1, name: str = "loss") -> None:
        self._sign, self._name = sign, name
        self._best, self._step, self._steps = float("nan"), -1, 0

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        points: list[MetricPoint] = []
        for step, loss in zip(part.columns["low_index"].tolist(), part.columns["low_loss"].tolist(), strict=True):
            before = self._best
            if not self._improves(loss) or (self._steps >= EXACT and step < THINNED * self._step):
                continue
            if self._steps and step - 1 > self._step:
                points.append(MetricPoint(self._name, before, step - 1, times.at(step)))
            points.append(MetricPoint(self._name, loss, step, times.at(step)))
            self._step, self._steps = step, self._steps + 1
        return points

    def retried(self, part: Part) -> None:
        """A new best among retried candidates shows only in the last point: MLflow cannot withdraw points."""
        for loss in part.columns["low_loss"][-1:].tolist():
            self._improves(loss)

    def _improves(self, loss: float) -> bool:
        """Store a loss if it is better than the best so far; return whether it was."""
        if self._sign * loss >= self._sign * self._best:
            return False
        self._best = loss
        return True
