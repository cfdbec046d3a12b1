"""The sum of slopes times directions: a stage over ranges of coordinates, whose directions are drawn again.

Directions are added in the order of their index, entry by entry, so that the bits depend on neither slices nor workers;
a matrix product would round by the shape of the slice.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.estimate.directions import Directions
from optitrip.methods.estimate.moves import Movable, scaled
from optitrip.methods.estimate.slopes import limits_in, scale_in, vars_of
from optitrip.methods.shared import MethodBase

AT_ONCE = 2**16
"""Number of entries that are added at a time: few enough to stay in the cache."""


class Combined(NamedTuple):
    """The sum of slopes times directions."""

    flat: Array
    """Estimate, float64 of shape (coordinates,); NaN where the sum failed, or where no step changes x."""
    failures: Failures


@dataclass(frozen=True, eq=False)
class Combination(MethodBase):
    """The estimate of the gradient; item n is coordinate n.

    Args:
        center: x.
        directions: the directions.
        slopes: slopes along them, float64; NaN for those to leave out.
        length: factor of the directions.
        limits: variables that must not leave an interval.
        joins: True if the stage has the number of the one before it.
        scale: scale of each entry, float64; None if all are 1.
    """

    center: Point
    directions: Directions
    slopes: Array
    length: float
    limits: Limits | None = None
    joins: bool = False
    scale: Array | None = None
    kind = "combination"
    common_column = "estimate"

    @property
    def items(self) -> int:
        return self.directions.size

    def sides(self, item: int) -> int:
        return 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return {name: value[np.newaxis] for name, value in self.center.values.items()}

    def title(self, item: int, side: int | None = 0) -> str:
        return f"coordinate {self.center.title(item)}"

    def digest(self) -> bytes:
        slopes = hashlib.blake2b(self.slopes.tobytes(), digest_size=16).hexdigest()
        fields = {"x": self.center.digest, **vars_of(self.directions), "length": self.length, "slopes": slopes}
        return digest_of(self.kind, fields | limits_in(self.limits) | scale_in(self.scale))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Combination) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    def evaluate(self, context: Any, items: range) -> Part:
        parts = [self._sum(range(lo, min(lo + AT_ONCE, items.stop))) for lo in range(items.start, items.stop, AT_ONCE)]
        return Part(items, {"estimate": np.concatenate([np.empty(0), *parts])}, Failures())

    @ours()
    def _sum(self, entries: range) -> Array:
        if self.scale is None:
            return self._mean(entries, None)
        scale = self.scale[entries.start : entries.stop]
        return self._mean(entries, scale) / scale / scale  # of s g: once for s v, once for s

    def _mean(self, entries: range, scale: Array | None) -> Array:
        """Return the mean of the slopes times the displacements taken, divided by the length."""
        known = np.flatnonzero(np.isfinite(self.slopes))
        movable = Movable(self.center, entries, self.limits)
        total, stuck = np.zeros(len(entries)), np.ones(len(entries), bool)
        if self.directions.kind == "rademacher":
            # Both ends are rounded as the signs +1 and -1 are, so the displacement taken factors out.
            taken = self._taken(movable, scaled(np.full(len(entries), self.length), scale))
            for n in known:
                total += self.slopes[n] * (2.0 * self.directions.bits(int(n), entries) - 1.0)
            return np.where(taken == 0, np.nan, total * taken / len(known))
        if self.directions.kind == "coordinates":
            moves = np.full(len(entries), self.length * self.directions.size**0.5)
            return self._sum_of_axes(entries, known, self._taken(movable, scaled(moves, scale))) / len(known)
        for n in known:
            taken = self._taken(movable, self.length * scaled(self.directions.vector(int(n), entries), scale))
            stuck &= taken == 0
            total += self.slopes[n] * taken
        return np.where(stuck, np.nan, total / len(known))

    def _sum_of_axes(self, entries: range, known: Array, taken: Array) -> Array:
        """Return the sum for directions with one entry each: 0 along axes that were not drawn."""
        total = np.zeros(len(entries))
        for n in known:
            if (axis := self.directions.axis(int(n))) in entries:
                row = axis - entries.start
                total[row] += self.slopes[n] * taken[row] if taken[row] else np.nan
        return total

    def _taken(self, movable: Movable, moves: Array) -> Array:
        """Return the displacements that are really taken by moves to both sides, divided by the length."""
        return (movable.moved(moves) - movable.moved(-moves)) / (2 * self.length)

    def evaluations(self, items: range) -> int:
        return 0

    def failed_part(self, items: range, problems: Problems) -> Part:
        return Part(items, {"estimate": np.full(len(items), np.nan)}, Evaluation(items, problems=problems).failures)

    def result(self, whole: Part) -> Combined:
        return Combined(whole.columns["estimate"], whole.failures)
