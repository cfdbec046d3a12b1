"""Finite-difference stencils: item 0 is x, every other item is x with one coordinate moved by a step.

By default, first-order differences use h = eps^(1/2) max(1, |x|) and second-order differences eps^(1/3) max(1, |x|),
with the coarser eps of the variable and the loss: these balance the rounding error, about eps |f| / h, against the
truncation error, about h |f''| / 2 and h^2 |f'''| / 6 (J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd ed.,
section 8.1).
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Points
from optitrip.core.point import Point
from optitrip.loss.returns import DOUBLE


@dataclass(frozen=True, eq=False)
class Stencil(Points):
    """x, and x with one coordinate moved by a step to one side.

    Args:
        center: x.
        coordinates: flat coordinates of x, int64; item n steps along coordinates[n - 1].
        side: 1 for x + h, -1 for x - h.
        order: order of accuracy of the difference, 1 or 2.
        step: h; None for the default.
        eps: relative precision of the loss.
    """

    center: Point
    coordinates: Array
    side: int
    order: int
    step: float | None = None
    eps: float = DOUBLE

    def values(self, items: range) -> dict[str, Array]:
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        n = np.arange(items.start, items.stop)
        stepping = np.flatnonzero(n > 0)
        for name, own, places in self.center.split(self.coordinates[n[stepping] - 1]):
            varied = rows[name].reshape(len(items), self.center.values[name].size)
            varied[stepping[own], places] = self.stepped(self.center.values[name].ravel()[places])
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def stepped(self, x: Array) -> Array:
        """Return some entries of one variable, each moved by the step, in the variable's dtype."""
        wide = x.astype(np.float64)
        h: Array | float = self.step or 0.0
        if self.step is None:
            eps = max(float(np.finfo(x.dtype).eps), self.eps)
            h = eps ** (1 / (1 + self.order)) * np.maximum(1, np.abs(wide))
        with ours():  # a step out of range is reported as leading to infinity
            return (wide + self.side * h).astype(x.dtype)

    def entries(self, coordinates: Array) -> Array:
        """Return the entries at some coordinates, each moved by the step, float64."""
        found = np.empty(len(coordinates))
        for name, own, places in self.center.split(coordinates):
            found[own] = self.stepped(self.center.values[name].ravel()[places])
        return found

    def title(self, item: int, side: int | None = 0) -> str:
        return stepped_title(self.center, self.coordinates, item, f"{self.sign}h")

    @property
    def sign(self) -> str:
        return "+" if self.side > 0 else "-"

    @cached_property
    def _described(self) -> dict[str, Any]:
        along = hashlib.blake2b(self.coordinates.tobytes(), digest_size=16).hexdigest()
        coarser = {} if self.eps == DOUBLE else {"eps": self.eps}
        fields = {"x": self.center.digest, "along": along, "side": self.side, "order": self.order, "step": self.step}
        return fields | coarser

    def describe(self) -> dict[str, Any]:
        return self._described

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stencil) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(tuple(self.describe().values()))


def stepped_title(center: Point, coordinates: Array, item: int, step: str) -> str:
    """Return the title of x, or of x with one coordinate moved by a step, for messages."""
    return f"x with {center.title(int(coordinates[item - 1]))} one step {step}" if item else "x itself"
