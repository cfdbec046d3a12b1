"""The progress of a descent and its chart."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from optitrip.core.method import Method
from optitrip.core.observer import MetricPoint, Progress, Times, Written
from optitrip.core.part import Part
from optitrip.methods.descent.answer import DescentSoFar
from optitrip.methods.descent.step import Step
from optitrip.methods.points import moved_to
from optitrip.methods.snapshot import Columns, Snapshot
from optitrip.output.text import figure


class DescentProgress(Progress):
    """Counts steps, and shows the latest loss and the best."""

    def __init__(self, total: int, sign: int = 1) -> None:
        super().__init__(total)
        self._sign, self._latest = sign, float("nan")
        self._step: Step | None = None
        self._best: DescentSoFar | None = None
        self._stored: Columns | None = None
        """Columns of the last snapshot, until the next step says what point they are."""
        self._snapshot = False
        self._losses: list[float] = []

    def stage(self, method: Method) -> None:
        super().stage(method)
        self._step = method if isinstance(method, Step) else None
        self._snapshot = isinstance(method, Snapshot)

    def count(self, items: range) -> int:
        return int(0 in items)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        if self._snapshot and not new:
            self._stored = next((part.columns for part, _ in written if part.columns), self._stored)
        if self._step is None:
            return
        self._see_stored(self._step)
        for part, _ in written:
            loss = self._step.loss_in(part)
            if loss is None:
                continue
            self.done = self._step.before + 1
            self.new += new
            self._latest, best = loss, self._best
            del self._losses[self._step.before :]
            self._losses += [*[np.nan] * (self._step.before - len(self._losses)), loss]
            # Losses of different rows of the data cannot be compared; the last point is taken for the best.
            latest = best is None or self._step.rows is not None
            if np.isfinite(loss) and (latest or best is None or self._sign * loss < self._sign * best.loss):
                self._best = DescentSoFar(self._step.center, loss, self._step.before)

    def _see_stored(self, step: Step) -> None:
        """Take the best point of the last snapshot for the best so far, if it is."""
        if self._stored is None:
            return
        (loss, number, *_), x = self._stored["best"].tolist(), self._stored["best x"]
        self._stored = None
        if np.isfinite(loss) and (self._best is None or self._sign * loss < self._sign * self._best.loss):
            self._best = DescentSoFar(moved_to(step.center, x), loss, step.begun + int(number))

    def words(self) -> str:
        best = "" if self._best is None else f" | Best {figure(self._best.loss)} at {self._best.step:,}"
        return f"Step {self.done:,} of {self.total:,} | Loss {figure(self._latest)}{best}"

    def few_words(self) -> str:
        return f"Step {self.done:,} | Loss {figure(self._latest)}"

    def best(self) -> DescentSoFar | None:
        return None if self._best is None else replace(self._best, losses=np.array(self._losses))


class EveryFew(DescentProgress):
    """Shows a line every few steps."""

    def __init__(self, every: int, total: int, sign: int, show: Callable[[str], object]) -> None:
        super().__init__(total, sign)
        self._every, self._shown, self._show = every, 0, show

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        super().parts(written, new=new)
        if self.done != self._shown and (self.done % self._every == 0 or self.done == self.total):
            self._shown = self.done
            self._show(f"{self.words()}\n")


class DescentCurve:
    """Charts the loss at the beginning of each step."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        loss = self._step.loss_in(part)
        if loss is None or not np.isfinite(loss):
            return []
        return [MetricPoint("loss", loss, self._step.before, times.at(part.items.start))]

    def retried(self, part: Part) -> None:
        """Leave the chart as it is: MLflow cannot withdraw points."""
