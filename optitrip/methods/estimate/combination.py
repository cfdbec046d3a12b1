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
from optitrip.core.point import Point
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.estimate.directions import Directions
from optitrip.methods.estimate.slopes import vars_of
from optitrip.methods.shared import MethodBase

AT_ONCE = 2**16
"""Number of entries that are added at a time: few enough to stay in the cache."""


class Combined(NamedTuple):
    """The sum of slopes times directions."""

    flat: Array
    """Estimate, float64 of shape (coordinates,); NaN where the sum failed."""
    failures: Failures


@dataclass(frozen=True, eq=False)
class Combination(MethodBase):
    """The estimate of the gradient; item n is coordinate n.

    Args:
        center: x.
        directions: the directions.
        slopes: slopes along them, float64; NaN for those to leave out.
        length: factor of the directions.
    """

    center: Point
    directions: Directions
    slopes: Array
    length: float
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
        return digest_of(self.kind, fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Combination) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    def evaluate(self, context: Any, items: range) -> Part:
        parts = [self._sum(range(lo, min(lo + AT_ONCE, items.stop))) for lo in range(items.start, items.stop, AT_ONCE)]
        return Part(items, {"estimate": np.concatenate([np.empty(0), *parts])}, Failures())

    @ours()
    def _sum(self, entries: range) -> Array:
        known = np.flatnonzero(np.isfinite(self.slopes))
        x = self.center.entries(np.arange(entries.start, entries.stop))
        total = np.zeros(len(entries))
        if self.directions.kind == "rademacher":
            # Both ends are rounded as the signs +1 and -1 are, so the displacement taken factors out.
            taken = (self._ends(x + self.length, entries) - self._ends(x - self.length, entries)) / (2 * self.length)
            for n in known:
                total += self.slopes[n] * (2.0 * self.directions.bits(int(n), entries) - 1.0)
            return total * taken / len(known)
        for n in known:
            v = self.length * self.directions.vector(int(n), entries)
            taken = (self._ends(x + v, entries) - self._ends(x - v, entries)) / (2 * self.length)
            total += self.slopes[n] * taken
        return total / len(known)

    def _ends(self, values: Array, entries: range) -> Array:
        """Return values as rounded to the dtype of their variable, float64."""
        if all(self.center.values[name].dtype == np.float64 for name in self.center.varied):
            return values
        rounded = np.empty(len(values))
        for name, own, _ in self.center.split(np.arange(entries.start, entries.stop)):
            rounded[own] = values[own].astype(self.center.values[name].dtype)
        return rounded

    def evaluations(self, items: range) -> int:
        return 0

    def failed_part(self, items: range, problems: Problems) -> Part:
        return Part(items, {"estimate": np.full(len(items), np.nan)}, Evaluation(items, problems=problems).failures)

    def result(self, whole: Part) -> Combined:
        return Combined(whole.columns["estimate"], whole.failures)
