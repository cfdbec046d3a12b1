"""Compares a gradient with the slope of the loss in one direction across all coordinates, at an eighth of the steps.

Steps that noise or the size of x made longer than the loss's own waves can look smooth at all of their points. Four
points elsewhere, much closer to x, show a slope that such a gradient does not explain; then all steps are shortened.
They are few however many coordinates there are, and these may be any selection, which the short line of `consistency`
cannot be. Not checked are gradients with known noise, which are one stage; structured losses, whose differences have no
cancellation and hence short steps; and entries at a limit, which lie on one side of it.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Method, Points, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.gradient.consistency import SLOPE_MARGIN
from optitrip.methods.gradient.estimate import COARSE, ROUNDING, derivatives
from optitrip.methods.gradient.flags import MISSING
from optitrip.methods.gradient.method import Gradient, Refinement, taken_again
from optitrip.methods.gradient.moves import digest
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.refine import entries, taken_over
from optitrip.methods.gradient.result import GradientResult, norm
from optitrip.methods.gradient.schemes import SCHEMES
from optitrip.methods.shared import PointMethod
from optitrip.samplers.random import Random

SCHEME = SCHEMES["four_point"]
LENGTH = 0.125
"""Length of the first move, in steps of the gradient, divided by the fourth root of the number of coordinates."""
SHORTER = 0.125
"""Factor of the steps where the gradient does not explain that slope."""
ROUGH = 2.0
"""Safety factor of terms of third order."""
ROUNDS = 4
"""Most times that steps are made shorter."""


@dataclass(frozen=True, eq=False)
class Across(Points):
    """Points on a line through x that leads across many coordinates.

    Args:
        center: x.
        coordinates: flat coordinates that change, int64.
        lengths: signed change of each of them per unit of the scheme's offsets, float64.
        limits: variables that must not leave an interval.
    """

    center: Point
    coordinates: Array
    lengths: Array
    limits: Limits | None = None

    @ours()
    def values(self, items: range) -> dict[str, Array]:
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        moves = np.multiply.outer(np.array(SCHEME.offsets), self.lengths)
        for name, own, places in self.center.split(self.coordinates):
            x = self.center.values[name].ravel()[places].astype(np.float64)
            low, high = bounds_of(name, places, self.center, self.limits)
            varied = rows[name].reshape(len(items), -1)
            varied[:, places] = np.clip(x + moves[items.start : items.stop, own], low, high)
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def moved(self) -> Array:
        """Return the displacements of the coordinates that are really taken, float64 of shape (points, coordinates)."""
        rows = self.values(range(len(SCHEME.offsets)))
        flat = np.concatenate([rows[n].reshape(len(SCHEME.offsets), -1) for n in self.center.varied], axis=1)
        return flat[:, self.coordinates].astype(np.float64) - self.center.entries(self.coordinates)

    def title(self, item: int, side: int | None = 0) -> str:
        return f"point {item} across all coordinates"

    def describe(self) -> dict[str, Any]:
        limits = {name: [digest(bound) for bound in pair] for name, pair in sorted((self.limits or {}).items())}
        return {
            "near": self.center.digest,
            "along": self.coordinates.tolist(),
            "by": digest(self.lengths),
            "limits": limits,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Across) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))


@dataclass(frozen=True)
class AcrossProbe(PointMethod[Across]):
    """The losses on that line; the result is an array of them."""

    points: Across
    items: int = len(SCHEME.offsets)
    kind = "across"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def part(self, evaluation: Evaluation) -> Part:
        return Part(evaluation.items, {"loss": evaluation.losses}, evaluation.failures)

    def result(self, whole: Part) -> Array:
        return whole.columns["loss"]


@dataclass(frozen=True)
class ShortSteps(Refinement):
    """The gradient once more, with shorter steps."""

    kind = "short steps"


@ours()
def line_across(result: GradientResult, seed: int, number: int, limits: Limits | None) -> Across | None:
    """Make the line along all coordinates that have a derivative; None if there are none."""
    center, along = result.center, result.coordinates
    usable = (result.flag & MISSING == 0) & np.isfinite(result.found.error) & np.isfinite(result.step)
    lengths = LENGTH / max(np.count_nonzero(usable), 1) ** 0.25 * np.abs(result.step)
    for name, own, places in center.split(along):
        x, (low, high) = center.values[name].ravel()[places], bounds_of(name, places, center, limits)
        # Both sides are needed: an entry at a limit stays there.
        lengths[own] = np.minimum(lengths[own], np.minimum(x - low, high - x) / max(SCHEME.offsets))
    usable &= lengths > 0
    if not usable.any():
        return None
    unit = Random(purpose="across").unit(seed, {"sign": len(along)}, range(number, number + 1))["sign"][0]
    signed = lengths * np.where(unit < 0.5, -1.0, 1.0)
    return Across(center, along[usable], signed[usable], limits)


def bounds_of(name: str, places: Array, center: Point, limits: Limits | None) -> tuple[Any, Any]:
    """Return both limits of some entries of a variable, infinite without any."""
    if name not in (limits or {}):
        return -np.inf, np.inf
    low, high = (np.broadcast_to(bound, center.values[name].size)[places] for bound in (limits or {})[name])
    return low, high


@ours()
def unexplained(line: Across, losses: Array, result: GradientResult, noise: Noise) -> float:
    """Return the slope of the loss on the line, in its unit, less that of the gradient; 0 where errors and noise
    explain the difference, or a loss is missing."""
    rows, moved = result.rows_of(line.coordinates), line.moved()
    deltas = losses - result.loss
    if not np.isfinite(deltas).all():
        return 0.0
    # Moves are of one direction, but for the rounding of x.
    longest = np.abs(line.lengths).max()  # squares of lengths may underflow
    unit = line.lengths / longest
    taken = (moved / longest @ unit / (unit @ unit))[:, np.newaxis]
    spread = noise.at(losses)[:, np.newaxis]
    whole = derivatives(SCHEME, SCHEME.offsets, taken, deltas[:, np.newaxis], spread)
    rest = deltas - (moved * result.found.value[rows]).sum(axis=1)
    slope = float(derivatives(SCHEME, SCHEME.offsets, taken, rest[:, np.newaxis], spread).value[0])
    bars = norm(line.lengths * result.found.error[rows])
    if abs(slope) > bars + float(whole.error[0]):
        return slope
    # A loss that is rough even here was not smooth at longer steps: its terms of third order decline as they must.
    odd, third = (rest[0] - rest[1]) / (taken[0] - taken[1]), third_order(line, result)
    spread_of_odd = ROUNDING * 2**0.5 * float(spread[:2].max()) / abs(float(taken[0, 0] - taken[1, 0]))
    allowed = bars + ROUGH * third + spread_of_odd
    return float(odd[0]) if whole.coarse[0] > COARSE and abs(odd[0]) > allowed else 0.0


@ours()
def third_order(line: Across, result: GradientResult) -> float:
    """Return the terms of third order that the losses at the steps let one expect on the line; infinite for schemes
    without a pair of points."""
    if not {1, -1} <= set(result.offsets):
        return float(np.inf)
    rows, places = result.rows_of(line.coordinates), [result.offsets.index(offset) for offset in (1, -1)]
    up, down = result.deltas[places][:, rows]
    step = np.abs(result.step[rows])
    third = np.nan_to_num(np.abs((up - down) / 2 - result.found.value[rows] * result.step[rows]))
    return float((third ** (1 / 3) * np.abs(line.lengths) / step).sum() ** 3)


def consistent_across(
    method: Gradient, result: GradientResult, seed: int, limits: Limits | None
) -> Generator[Method, Any, GradientResult]:
    """Yield stages with shorter and shorter steps while the gradient does not explain the slope across the coordinates;
    return the result, with errors that explain it where no steps did."""
    steps = result.step
    for number in range(ROUNDS + 1):
        line = line_across(result, seed, number, limits)
        if line is None:
            return result
        losses: Array = yield AcrossProbe(line)
        slope = unexplained(line, losses, result, method.noise)
        if not slope:
            return result
        in_doubt = doubted(result, line, slope)
        if number == ROUNDS:
            return in_doubt
        steps = SHORTER * steps
        stage = with_steps(method, result, steps)
        result = less_doubtful(result, in_doubt, (yield stage))
    return result


def with_steps(method: Gradient, result: GradientResult, step: Array) -> ShortSteps:
    """Make the stage with these steps, along all coordinates that have one."""
    rows = np.flatnonzero(np.isfinite(step) & (step != 0))
    return taken_again(ShortSteps, method, result.coordinates[rows], np.abs(step[rows]), result.loss)


@ours()
def less_doubtful(first: GradientResult, in_doubt: GradientResult, second: GradientResult) -> GradientResult:
    """Return the first result, with the entries of the second that contradict it; if none do, with those whose errors
    are smaller than the ones that explain the slope."""
    rows, new = first.rows_of(second.coordinates), second.found
    old, doubtful = entries(first.found, rows), entries(in_doubt.found, rows)
    contradict = ~(np.abs(old.value - new.value) <= old.error + new.error)
    better = contradict if contradict.any() else new.error < doubtful.error
    return taken_over(first, second, rows, np.isfinite(new.value) & better)


@ours()
def doubted(result: GradientResult, line: Across, slope: float) -> GradientResult:
    """Return the result with errors that explain a slope, should it all come from any one coordinate."""
    truncation = result.found.truncation.copy()
    rows = result.rows_of(line.coordinates)
    truncation[rows] = np.fmax(truncation[rows], SLOPE_MARGIN * abs(slope) / np.abs(line.lengths))
    return result.with_truncation(truncation)
