"""Compares the numeric gradient with the objective's own, coordinate by coordinate.

A coordinate is wrong if the two differ by more than the error of the numeric one explains, and by more than rounding.
The scale of relative errors is that of the Stanford CS231n notes, "Gradient checks". Taylor's remainder along a line is
shown as evidence and decides nothing: its slope is 2 for a gradient that is wrong by one part in a million, and no more
than 1 for a right one of a linear loss.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.failures import Problems
from optitrip.core.method import Points, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.gradient.flags import KINK, MISSING
from optitrip.methods.gradient.moves import within
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.result import GradientResult
from optitrip.methods.shared import PointMethod
from optitrip.samplers.random import Random

MARGIN = 3.0
"""Number of estimated errors by which a right gradient may be off: among many coordinates, some are off by more than
one."""
ROUNDED, TINY = 1e-8, 1e-13
"""Relative difference that is rounding in the analytic gradient: of an entry, and of the largest entry."""
SCALE = ((1e-2, "wrong"), (1e-4, "suspicious"), (1e-7, "all right with kinks, else too large"), (0.0, "good"))
"""Lower ends of the ranges of relative errors in the CS231n notes, and what the notes call them."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both gradients along the coordinates that were requested; arrays of shape (coordinates,)."""

    result: GradientResult
    analytic: Array
    """Entries of the analytic gradient, float64."""

    @cached_property
    def compared(self) -> Array:
        """True where the numeric derivative exists and is not at a kink; bool."""
        return self.result.flag & (MISSING | KINK) == 0

    @cached_property
    @ours()
    def relative(self) -> Array:
        """Relative errors |a - n| / max(|a|, |n|), float64; 0 where both are 0."""
        numeric = self.result.found.value
        size = np.maximum(np.abs(self.analytic), np.abs(numeric))
        return np.where(size > 0, np.abs(self.analytic - numeric) / size, np.where(np.isnan(size), np.nan, 0.0))

    @cached_property
    @ours()
    def wrong(self) -> Array:
        """True where the analytic gradient is wrong; bool."""
        numeric, error = self.result.found.value, self.result.found.error
        difference = np.abs(self.analytic - numeric)
        size = np.maximum(np.abs(self.analytic), np.abs(numeric))
        largest = np.max(np.abs(numeric[self.compared]), initial=0.0)
        allowed = np.maximum(MARGIN * error, np.maximum(ROUNDED * size, TINY * largest))
        return self.compared & ~(difference <= allowed)

    @property
    def ok(self) -> bool:
        """True if some coordinates could be compared and none is wrong."""
        return bool(self.compared.any()) and not self.wrong.any()

    @property
    def verdict(self) -> str:
        """Result of the comparison in a few words."""
        count, compared = int(self.wrong.sum()), int(self.compared.sum())
        if count:
            return f"WRONG along {count:,} of {compared:,} coordinates, {self.texts(1)[0]}"
        if not compared:
            return "could not be compared: every coordinate is missing or at a kink"
        largest = float(np.max(self.relative[self.compared]))
        return f"agrees along {compared:,} coordinates, largest relative error {largest:.2g}"

    def worst(self, count: int) -> Array:
        """Return the rows with the largest disagreement, wrong ones first."""
        relative = np.where(self.compared, np.nan_to_num(self.relative, nan=np.inf), -1.0)
        return np.lexsort((np.arange(len(relative)), -relative, ~self.wrong))[: min(count, int(self.compared.sum()))]

    def texts(self, count: int) -> list[str]:
        """Describe the rows with the largest disagreement."""
        found, center = self.result.found, self.result.center
        return [
            f"{center.title(int(self.result.coordinates[row]))}: analytic {self.analytic[row]:.8g}, numeric "
            f"{found.value[row]:.8g} +- {found.error[row]:.1g} (step {self.result.step[row]:.1g}), relative error "
            f"{self.relative[row]:.2g}, {called(float(self.relative[row]))}"
            for row in self.worst(count)
        ]

    def by_variable(self) -> dict[str, tuple[int, int, float]]:
        """Return the numbers of compared and of wrong coordinates and the largest relative error, by variable."""
        names, starts = self.result.center.varied, self.result.center.starts
        owner = np.searchsorted(starts, self.result.coordinates, side="right") - 1
        found: dict[str, tuple[int, int, float]] = {}
        for number, name in enumerate(names):
            own = (owner == number) & self.compared
            largest = float(np.max(self.relative[own], initial=0.0))
            found[name] = int(own.sum()), int((self.wrong & own).sum()), largest
        return found


def called(relative: float) -> str:
    """Return what the CS231n notes call a relative error."""
    return next((word for least, word in SCALE if relative > least), "good")


HALVINGS = 8
"""Number of points on the line of Taylor's remainder, each half as far from x as the one before."""
FIRST = 1e-2
"""Distance of the first of them, relative to x."""


@dataclass(frozen=True, eq=False)
class TaylorLine(Points):
    """Points x + t d, of which the first is x itself and each of the others is half as far as the one before.

    Args:
        center: x.
        seed: seed of the direction d, whose entries are in proportion to those of x, or to 0.01.
        limits: variables that must not leave an interval.
    """

    center: Point
    seed: int
    limits: Limits | None = None

    def direction(self) -> dict[str, Array]:
        """Return d by variable, float64 of the variable's size."""
        values = {name: self.center.values[name].ravel().astype(np.float64) for name in self.center.varied}
        drawn = Random(purpose="taylor").unit(self.seed, {name: x.size for name, x in values.items()}, range(1))
        found = {name: (2 * drawn[name][0] - 1) * np.maximum(0.01, np.abs(x)) for name, x in values.items()}
        for name, (low, high) in (self.limits or {}).items():
            moves = FIRST * found[name]
            found[name] = within(moves[np.newaxis], values[name] - low, high - values[name])[0] / FIRST
        return found

    def values(self, items: range) -> dict[str, Array]:
        n = np.arange(items.start, items.stop)
        t = np.where(n > 0, FIRST / 2.0 ** (n - 1), 0.0)
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        for name, direction in self.direction().items():
            x = self.center.values[name]
            rows[name][...] = x.astype(np.float64) + np.multiply.outer(t, direction).reshape(len(items), *x.shape)
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def title(self, item: int, side: int | None = 0) -> str:
        return f"point {item} of a line from x" if item else "x itself"

    def describe(self) -> dict[str, Any]:
        limits = {name: [bound.tolist() for bound in pair] for name, pair in sorted((self.limits or {}).items())}
        return {"from": self.center.digest, "seed": self.seed, "limits": limits}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaylorLine) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))


@dataclass(frozen=True)
class Remainders(PointMethod[Points]):
    """Losses on a line from x; the result is these losses."""

    points: Points
    items: int = 1 + HALVINGS
    kind = "taylor"
    optional = True

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def part(self, evaluation: Evaluation) -> Part:
        return Part(evaluation.items, {"loss": evaluation.losses}, evaluation.failures)

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self.part(Evaluation(items, problems=problems))

    def result(self, whole: Part) -> Array:
        return whole.columns["loss"]


@ours()
def taylor_slope(line: TaylorLine, losses: Array, gradient: dict[str, Array], noise: Noise) -> float:
    """Return the exponent with which |f(x + t d) - f(x) - t g d| falls with t, over the remainders that stand out from
    the noise; NaN if fewer than two do. It is 2 for a right gradient of a smooth loss, and 1 for a wrong one."""
    points, center = line.values(range(1 + HALVINGS)), line.center
    slope = np.zeros(1 + HALVINGS)
    for name in center.varied:
        moved = points[name].reshape(1 + HALVINGS, -1).astype(np.float64)
        slope += (moved - moved[0]) @ gradient[name].ravel()
    remainder = np.abs(losses - losses[0] - slope)[1:]
    clear = remainder > 10 * noise.at(losses)[1:]
    length = int(np.argmin(clear)) if not clear.all() else HALVINGS
    if length < 2:
        return float("nan")
    return float(np.median(np.log2(remainder[: length - 1] / remainder[1:length])))
