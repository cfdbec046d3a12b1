"""The progress of a local search and its chart."""

from collections.abc import Sequence

import numpy as np

from optitrip.core.method import Method
from optitrip.core.observer import MetricPoint, Progress, Times, Written
from optitrip.core.part import Part
from optitrip.methods.local_search.answer import LocalBest
from optitrip.methods.local_search.generation import Generation
from optitrip.methods.points import moved_to
from optitrip.methods.snapshot import Columns, Snapshot
from optitrip.output.text import compact, figure


class LocalSearchProgress(Progress):
    """Counts tries, and shows the latest loss and the best."""

    def __init__(self, total: int, sign: int = 1) -> None:
        super().__init__(total)
        self._sign, self._latest = sign, float("nan")
        self._stage: Generation | None = None
        self._best: LocalBest | None = None
        self._stored: Columns | None = None
        """Columns of the last snapshot, until the next generation says what point they are."""
        self._snapshot = False

    def stage(self, method: Method) -> None:
        super().stage(method)
        self._stage = method if isinstance(method, Generation) else None
        self._snapshot = isinstance(method, Snapshot)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        if self._snapshot and not new:
            self._stored = next((part.columns for part, _ in written if part.columns), self._stored)
        super().parts(written, new=new)

    def see(self, part: Part) -> None:
        if self._stage is None:
            return
        if self._stored is not None:
            best, loss = moved_to(self._stage.points.center, self._stored["x"]), float(self._stored["numbers"][0])
            self._best, self._stored = LocalBest(best, loss, int(self._stored["improved"][-1])), None
        losses = part.columns["loss"]
        finite = np.flatnonzero(np.isfinite(losses))
        if not len(finite):
            return
        self._latest = float(losses[finite[-1]])
        best = int(finite[np.argmin(self._sign * losses[finite])])
        if self._best is None or self._sign * losses[best] < self._sign * self._best.loss:
            around = self._stage.points
            self._best = LocalBest(
                around.end(part.items[best]), float(losses[best]), around.first + part.items[best] + 1
            )

    def words(self) -> str:
        best = "" if self._best is None else f" | Best {figure(self._best.loss)} at {self._best.tries:,}"
        return f"Try {self.done:,} of {self.total:,} | Loss {figure(self._latest)}{best}"

    def few_words(self) -> str:
        return f"Try {compact(self.done)} | Loss {figure(self._latest)}"

    def best(self) -> LocalBest | None:
        return self._best


class LocalSearchCurve:
    """Charts the best loss of each generation, once it is complete: how it was sliced does not show."""

    def __init__(self, stage: Generation) -> None:
        self._stage, self._best = stage, np.nan

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        sign, losses = self._stage.sign, part.columns["loss"]
        finite = losses[np.isfinite(losses)]
        if len(finite):
            self._best = sign * float(np.fmin(sign * self._best, np.min(sign * finite)))
        if part.items.stop < self._stage.items or not np.isfinite(self._best):
            return []
        return [MetricPoint("loss", self._best, self._stage.points.first + part.items.stop, times.at(part.items.start))]

    def retried(self, part: Part) -> None:
        """Leave the chart as it is: MLflow cannot withdraw points."""
