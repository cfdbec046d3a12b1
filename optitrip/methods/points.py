"""Points on the way of a method: x itself, or x minus several multiples of a direction; and how one moves."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Points
from optitrip.core.point import Limits, Point


@dataclass(frozen=True, eq=False)
class Along(Points):
    """The points x - rate * direction for several rates, each within the limits; with the rate 0 alone, x itself.

    Args:
        center: x.
        direction: float64 of shape (coordinates,).
        rates: one per item.
        limits: variables that must not leave an interval.
    """

    center: Point
    direction: Array
    rates: tuple[float, ...] = (0.0,)
    limits: Limits | None = None

    @ours()
    def values(self, items: range) -> dict[str, Array]:
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        x = flat_of(self.center)
        for row, item in enumerate(items):
            if self.rates[item]:
                end = confined(self.center, x - self.rates[item] * self.direction, self.limits)
                for name, part in self.center.by_variable(end).items():
                    rows[name][row] = part
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def title(self, item: int, side: int | None = 0) -> str:
        return f"a step of rate {self.rates[item]:.4g}" if self.rates[item] else "x itself"

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the points depend on."""
        along = hashlib.blake2b(self.direction.tobytes(), digest_size=16).hexdigest()
        limits = {name: [b.tolist() for b in pair] for name, pair in (self.limits or {}).items()}
        return {"x": self.center.digest, "along": along, "rates": self.rates, "limits": limits}

    def describe(self) -> dict[str, Any]:
        return self.description

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Along) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))


def only(center: Point) -> Along:
    """Return x as the only point."""
    return Along(center, np.zeros(0))


def flat_of(center: Point) -> Array:
    """Return all coordinates of a point, float64."""
    return np.concatenate([center.values[name].ravel().astype(np.float64) for name in center.varied])


@ours()
def confined(center: Point, flat: Array, limits: Limits | None) -> Array:
    """Return coordinates moved into their limits, and rounded to the dtypes of their variables; float64.

    What is outside of its limits at first stays free to move.
    """
    found = flat.copy()
    edges = zip(center.varied, center.starts[:-1], center.starts[1:], strict=True)
    for name, first, stop in edges:
        x = center.values[name]
        part = found[first:stop]
        if limits and name in limits:
            low, high = (np.broadcast_to(bound, x.size) for bound in limits[name])
            now = x.ravel().astype(np.float64)
            part = np.where((now >= low) & (now <= high), np.clip(part, low, high), part)
        found[first:stop] = part.astype(x.dtype)
    return found


def moved_to(center: Point, flat: Array) -> Point:
    """Return a point with other coordinates."""
    values = dict(center.values)
    for name, part in center.by_variable(flat).items():
        value = part.astype(center.values[name].dtype)
        value.flags.writeable = False
        values[name] = value
    return Point(values, center.varied)
