"""Evidence from a line through x along which all coordinates change: the slope there, and Taylor's remainder.

Neither decides anything. The remainder falls as for a right gradient also for one that is wrong by one part in a
million, and as for a wrong one for a right gradient of a linear loss. The slope is one number of all coordinates, also
of those that were not requested; but a line crosses many kinks.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.failures import Problems
from optitrip.core.method import Points, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.gradient.moves import within
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.shared import PointMethod
from optitrip.samplers.random import Random

HALVINGS = 8
"""Number of points on the line, each half as far from x as the one before."""
FIRST = 1e-2
"""Distance of the first of them, relative to x."""
SAFETY = 4.0
"""Number of standard deviations of the noise in the error of the slope."""


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


class OnLine(NamedTuple):
    """Slopes and remainder along the line, as its losses show them."""

    exponent: float = np.nan
    """Exponent with which Taylor's remainder falls; NaN if fewer than two remainders stand out from the noise. It is 2
    for a right gradient of a smooth loss, also for one that is wrong by little, and 1 for one that is wrong by much."""
    analytic: float = np.nan
    """Slope along the line that the analytic gradient has."""
    numeric: float = np.nan
    """Slope along the line, extrapolated from the losses."""
    error: float = np.nan
    """Estimated error of the numeric slope."""

    @property
    def apart(self) -> bool:
        """True if the slopes differ by more than three errors."""
        return abs(self.analytic - self.numeric) > 3 * self.error + 1e-8 * abs(self.analytic)

    def texts(self) -> list[str]:
        """Describe what is known."""
        lines: list[str] = []
        if np.isfinite(self.error):
            numbers = f"analytic slope {self.analytic:.8g}, numeric {self.numeric:.8g} +- {self.error:.1g}"
            lines.append(f"along a random line: {numbers}{', apart' if self.apart else ''}")
        if np.isfinite(self.exponent):
            means = "1 if wrong by much; 2 if right, or wrong by little"
            lines.append(f"Taylor's remainder falls with exponent {self.exponent:.2f} ({means})")
        return lines


@ours()
def on_line(line: TaylorLine, losses: Array, gradient: dict[str, Array], noise: Noise) -> OnLine:
    """Return what the losses on the line show of a gradient."""
    points, center = line.values(range(1 + HALVINGS)), line.center
    slope = np.zeros(1 + HALVINGS)
    for name in center.varied:
        moved = points[name].reshape(1 + HALVINGS, -1).astype(np.float64)
        slope += (moved - moved[0]) @ gradient[name].ravel()
    deviations = noise.at(losses)
    t = FIRST / 2.0 ** np.arange(HALVINGS)
    numeric, error = extrapolated(t, (losses[1:] - losses[0]) / t, (deviations[1:] + deviations[0]) / t)
    remainder = np.abs(losses - losses[0] - slope)[1:]
    clear = remainder > 10 * deviations[1:]
    length = int(np.argmin(clear)) if not clear.all() else HALVINGS
    exponent = np.median(np.log2(remainder[: length - 1] / remainder[1:length])) if length >= 2 else np.nan
    return OnLine(float(exponent), float(slope[1] / t[0]), numeric, error)


@ours()
def extrapolated(t: Array, quotients: Array, deviations: Array) -> tuple[float, float]:
    """Return the limit of difference quotients for t -> 0, each t half of the one before, and its estimated error; NaN
    where there are not two.

    Neville's scheme (L. F. Richardson, "The deferred approach to the limit", 1927). Of all extrapolations, the one with
    the smallest sum of its last change and the noise is taken; where it contradicts the two nearest points, their
    difference is the error.
    """
    finest = 2 * quotients[-1] - quotients[-2]
    unsure = abs(finest - quotients[-1]) + SAFETY * (2 * deviations[-1] + deviations[-2])
    best = (np.nan, np.nan)
    for order in range(1, len(t)):
        factor = 2.0**order
        before = quotients[1:]
        quotients = (factor * before - quotients[:-1]) / (factor - 1)
        deviations = (factor * deviations[1:] + deviations[:-1]) / (factor - 1)
        errors = np.abs(quotients - before) + SAFETY * deviations
        if np.isfinite(errors).any() and not errors[place := int(np.nanargmin(errors))] >= best[1]:
            best = (float(quotients[place]), float(errors[place]))
    value, error = best
    apart = float(abs(value - finest))  # e.g. beyond a kink
    return value, error if apart <= error + unsure else apart
