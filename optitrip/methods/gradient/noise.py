"""The noise of a loss: by how much its values scatter around a smooth function, from rounding or for any other reason.

It is measured from losses at equally spaced points on a short line (ECnoise: J. J. More, S. M. Wild, "Estimating
computational noise", SIAM J. Sci. Comput. 33, 2011, section 3), once at x and once a thousandth of x away: the noise of
a sum of squares grows with the residuals, so that it is larger beside a solution than there. If it is larger than
rounding, so that steps are longer, it is measured once more as far away as the steps lead. Losses that were rounded to
some decimals are told by their digits: close points have equal losses then, and distant ones lie on a curve.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.failures import Problems
from optitrip.core.method import Points, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.loss.evaluation import Evaluation
from optitrip.loss.returns import DOUBLE
from optitrip.methods.checks import precision
from optitrip.methods.gradient.moves import within
from optitrip.methods.shared import PointMethod
from optitrip.samplers.random import Random

ON_LINE = 7
"""Number of points on each line, as More and Wild recommend."""
APART = 1e-3
"""Distance of the second line from x, relative to x."""
LINES = (0.0, APART)
FIRST_STEP, SMALLEST = 1 / 5, 0.01
"""Power of the relative noise that is the first step of four-point differences, relative to x, and the smallest size of
an entry by which that step is measured."""

Status = Literal["found", "too close", "too far", "failed"]


class NoiseLevel(NamedTuple):
    """The noise that losses at equally spaced points show."""

    level: float
    """Standard deviation of the noise; NaN unless it was found."""
    status: Status


@dataclass(frozen=True)
class Noise:
    """A model of the noise of a loss: its standard deviation is the largest of four."""

    level: float = 0.0
    """Standard deviation at x."""
    growth: float = 0.0
    """Standard deviation divided by the square root of |f|."""
    eps: float = DOUBLE
    """Relative precision of the losses, half of which is the noise of rounding them."""
    share: float = 0.0
    """Standard deviation divided by |f|, if the noise is known to be proportional."""

    @ours()
    def at(self, losses: Array) -> Array:
        """Return the standard deviation of losses of this size."""
        size = np.abs(losses)
        return np.maximum(np.maximum(self.level, self.growth * np.sqrt(size)), max(self.eps / 2, self.share) * size)

    @ours()
    def relative(self, loss: float) -> float:
        """Return the standard deviation at x relative to the loss there, between eps and 0.05."""
        share = float(self.at(np.array([loss]))[0]) / abs(loss) if loss else self.eps
        return min(max(share, self.eps), 0.05)


@ours()
def noise_level(losses: Array, *, wide: bool = False) -> NoiseLevel:
    """Estimate the noise from losses at four or more equally spaced points (ECnoise), which differ by less than 10 %
    unless `wide` is set.

    Differences of order k of noise have the variance level^2 (2k)! / (k!)^2, while those of a smooth function vanish.
    The level is that of the lowest order from which on three orders agree within a factor of 4, and signs alternate.
    """
    count, low, high = len(losses), float(losses.min()), float(losses.max())
    if not np.isfinite(losses).all():
        return NoiseLevel(np.nan, "failed")
    if low == high:
        return NoiseLevel(np.nan, "too close")
    if not wide and high - low > 0.1 * max(abs(low), abs(high)):
        return NoiseLevel(np.nan, "too far")
    levels: list[float] = []
    alternates: list[bool] = []
    differences, factor = losses, 1.0
    for order in range(1, count):
        differences = np.diff(differences)
        if order == 1 and np.count_nonzero(differences == 0) >= count / 2:
            return NoiseLevel(np.nan, "too close")
        factor *= order / (2 * (2 * order - 1))
        # Squares of the differences may be out of range; scaling by a power of 2 changes no bit of others.
        exponent = np.frexp(np.abs(differences).max())[1]
        levels.append(float(np.ldexp(np.sqrt(factor * np.mean(np.ldexp(differences, -exponent) ** 2)), exponent)))
        alternates.append(bool(differences.min() < 0 < differences.max()))
    for k in range(count - 3):
        three = levels[k : k + 3]
        if alternates[k] and max(three) <= 4 * min(three):
            return NoiseLevel(levels[k], "found")
    return NoiseLevel(np.nan, "too far")


@dataclass(frozen=True, eq=False)
class NoiseLines(Points):
    """Points on two parallel lines, one through x and one beside it, equally spaced in a random direction.

    Args:
        center: x, the first point.
        seed: seed of the direction, in which each entry changes in proportion to itself; one that is 0 does not change,
            unless all are.
        spacing: distance of neighbours, relative to x.
        limits: variables that must not leave an interval.
        apart: distance of each line from x, relative to x.
        smallest: smallest size of an entry in whose proportion it changes.
    """

    center: Point
    seed: int
    spacing: float
    limits: Limits | None = None
    apart: tuple[float, ...] = LINES
    smallest: float = 0.0

    def directions(self) -> dict[str, Array]:
        """Return the longest move per unit of `spacing` by variable, of the variable's size, float64."""
        values = {name: self.center.values[name].ravel().astype(np.float64) for name in self.center.varied}
        sizes = {name: value.size for name, value in values.items()}
        drawn = Random(purpose="noise").unit(self.seed, sizes, range(1))
        zero = not self.smallest and not any(value.any() for value in values.values())
        sized = {name: 1.0 if zero else np.maximum(np.abs(value), self.smallest) for name, value in values.items()}
        found = {name: (2 * drawn[name][0] - 1) * size for name, size in sized.items()}
        reach = max(self.apart) + (ON_LINE - 1) * self.spacing
        for name, (low, high) in (self.limits or {}).items():
            x, moves = values[name], reach * found[name]
            found[name] = within(moves[np.newaxis], x - low, high - x)[0] / reach
        return found

    @ours()
    def values(self, items: range) -> dict[str, Array]:
        n = np.arange(items.start, items.stop)
        distance = np.array(self.apart)[n // ON_LINE] + n % ON_LINE * self.spacing
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        for name, direction in self.directions().items():
            x = self.center.values[name]
            moves = np.multiply.outer(distance, direction).reshape(len(items), *x.shape)
            rows[name][...] = x.astype(np.float64) + moves
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def title(self, item: int, side: int | None = 0) -> str:
        return f"point {item} near x" if item else "x itself"

    def describe(self) -> dict[str, Any]:
        limits = {name: [bound.tolist() for bound in pair] for name, pair in sorted((self.limits or {}).items())}
        far = {} if self.apart == LINES else {"apart": self.apart, "smallest": self.smallest}
        return {"near": self.center.digest, "seed": self.seed, "spacing": self.spacing, "limits": limits, **far}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseLines) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))


class Seen(NamedTuple):
    """The losses on both lines."""

    losses: Array
    """Losses, float64 of shape (lines, points)."""
    eps: float
    """Relative precision of the losses, from their type and by value."""


@dataclass(frozen=True)
class NoiseProbe(PointMethod[NoiseLines]):
    """Losses near x that show the noise; the result is `Seen`."""

    points: NoiseLines
    items: int = len(LINES) * ON_LINE
    kind = "noise"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def part(self, evaluation: Evaluation) -> Part:
        return Part(evaluation.items, {"loss": evaluation.losses, "coarsest": evaluation.eps}, evaluation.failures)

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self.part(Evaluation(items, problems=problems))

    def result(self, whole: Part) -> Seen:
        losses = whole.columns["loss"]
        eps = max(precision(losses), float(whole.columns["coarsest"].max()))
        return Seen(losses.reshape(-1, ON_LINE), eps)


class ShortLine(NamedTuple):
    """A line through x on which all losses are known."""

    points: NoiseLines
    losses: Array
    """Losses on it, float64 of shape (points,); the first is f(x)."""

    def moves(self) -> Array:
        """Return the displacements from x, float64 of shape (points, coordinates)."""
        rows, center = self.points.values(range(ON_LINE)), self.points.center
        moved = np.concatenate([rows[name].reshape(ON_LINE, -1).astype(np.float64) for name in center.varied], axis=1)
        return moved - moved[0]
