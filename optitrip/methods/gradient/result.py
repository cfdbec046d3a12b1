"""The result of a gradient's stages: derivatives, steps, flags and errors along the coordinates that were requested."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.failures import Failures
from optitrip.core.point import Point
from optitrip.methods.gradient.estimate import Derivatives
from optitrip.methods.gradient.flags import BELOW_NOISE, IMPRECISE, LEFT_OUT, doubts


@dataclass(frozen=True, eq=False)
class GradientResult:
    """A numeric gradient along some coordinates; arrays are of shape (coordinates,) unless they are by variable."""

    center: Point
    coordinates: Array
    """Flat coordinates, int64, in the order of the items."""
    offsets: tuple[float, ...]
    """Multiples of the step at which losses were taken."""
    loss: float
    """f(x)."""
    found: Derivatives
    """Derivatives, NaN where a flag explains why, and what is known of their errors."""
    has_errors: bool
    """True if the losses show the truncation error."""
    step: Array
    """Steps actually taken, (x + h) - x, float64."""
    flag: Array
    """Bit flags, uint16."""
    deltas: Array
    """Losses minus f(x), float64 of shape (multiples of the step, coordinates); NaN if missing."""
    named: Mapping[str, float]
    """Other numbers that the objective returned at x."""
    kink_counts: Array | None
    """Number of kinks of the loss between x and the points; None if the objective does not count them."""
    items: int
    failures: Failures

    def shaped(self, values: Array, rest: float = np.nan, dtype: Any = np.float64) -> dict[str, Array]:
        """Return values of the coordinates as arrays by variable, with `rest` elsewhere."""
        flat = np.full(self.center.size, rest, dtype)
        flat[self.coordinates] = values
        return self.center.by_variable(flat)

    @cached_property
    def gradient(self) -> dict[str, Array]:
        """Derivatives by variable, float64; NaN where a flag explains why."""
        return self.shaped(self.found.value)

    @cached_property
    def steps(self) -> dict[str, Array]:
        """Steps actually taken by variable, float64."""
        return self.shaped(self.step)

    @cached_property
    def flags(self) -> dict[str, Array]:
        """Bit flags by variable, uint16."""
        return self.shaped(self.flag, LEFT_OUT, np.uint16)

    @cached_property
    def error(self) -> dict[str, Array]:
        """Estimated errors by variable, float64; empty if nothing shows the truncation error."""
        return self.shaped(self.found.error) if self.has_errors else {}

    @cached_property
    def kinks(self) -> dict[str, Array]:
        """Number of kinks crossed by variable, int64; empty if the objective does not count them."""
        return {} if self.kink_counts is None else self.shaped(self.kink_counts, 0, np.int64)

    def rows_of(self, coordinates: Array) -> Array:
        """Return the rows of some of its coordinates, int64."""
        places = {int(coordinate): row for row, coordinate in enumerate(self.coordinates)}
        return np.array([places[int(coordinate)] for coordinate in coordinates], np.int64)

    def with_truncation(self, truncation: Array) -> "GradientResult":
        """Return the result with other truncation errors, and the flags that follow from them."""
        found = replace(self.found, truncation=truncation)
        flag = (self.flag & ~np.uint16(IMPRECISE | BELOW_NOISE)) | doubts(found, self.flag)
        return replace(self, found=found, flag=flag)

    def losses(self, offset: float) -> Array:
        """Return the losses at a multiple of the step as one flat array, NaN where missing."""
        with np.errstate(all="ignore"):
            values = self.loss + self.deltas[self.offsets.index(offset)]
        return np.concatenate([part.ravel() for part in self.shaped(values).values()])

    @property
    def flat(self) -> Array:
        """Derivatives of all variables, concatenated."""
        return np.concatenate([part.ravel() for part in self.gradient.values()])

    def flagged(self, flag: int) -> int:
        """Return the number of coordinates with a flag."""
        left_out = self.center.size - len(self.coordinates) if flag & LEFT_OUT else 0
        return left_out + int(np.count_nonzero(self.flag & flag))


@ours()
def norm(values: Array) -> float:
    """Return the Euclidean norm without overflow of the squares; NaN if a value is not finite."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if not np.isfinite(largest):
        return math.nan
    return largest * float(np.linalg.norm(values / largest)) if largest else 0.0
