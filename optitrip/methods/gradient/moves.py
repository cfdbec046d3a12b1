"""Moves: how far each coordinate is moved from x, in whole steps and within the limits of its variable.

The default step is eps^(1 / (order + 1)) max(1, |x|), with the coarser eps of the variable and the loss: it balances
the rounding error, about eps |f| / h, against the truncation error (J. Nocedal, S. J. Wright, "Numerical Optimization",
2nd ed., section 8.1).
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.point import Limits, Point
from optitrip.loss.returns import DOUBLE


@dataclass(frozen=True, eq=False)
class Moves:
    """Points beside x along each coordinate, at several multiples of the step h.

    Where one of them would lie outside the limits, all lie on the side with more room, evenly spaced, and h is as short
    as it must be.

    Args:
        center: x.
        offsets: multiples of h.
        step: h, which may be negative; an array with an entry for each coordinate; None for the default.
        order: order of accuracy of the difference, for the default step.
        eps: relative precision of the loss, for the default step.
        limits: variables that must not leave an interval.
    """

    center: Point
    offsets: tuple[float, ...]
    step: float | Array | None = None
    order: int = 1
    eps: float = DOUBLE
    limits: Limits | None = None

    @ours()
    def lengths(self, name: str, first: int, places: Array) -> Array:
        """Return h for some entries of a variable whose first coordinate is given, float64."""
        x = self.center.values[name].ravel()[places]
        if isinstance(self.step, np.ndarray):
            return self.step[first + places]
        if self.step is not None:
            return np.full(len(places), float(self.step))
        eps = max(float(np.finfo(x.dtype).eps), self.eps)
        return eps ** (1 / (1 + self.order)) * np.maximum(1, np.abs(x.astype(np.float64)))

    def bounds(self, name: str, places: Array) -> tuple[Array, Array]:
        """Return both limits of some entries of a variable that has them."""
        low, high = (np.broadcast_to(bound, self.center.values[name].size) for bound in (self.limits or {})[name])
        return low[places], high[places]

    def sizes(self, coordinates: Array) -> Array:
        """Return the sizes of entries: |x|, or the distance from a limit that is nearer; float64."""
        found = np.abs(self.center.entries(coordinates))
        for name, own, places in self.center.split(coordinates):
            if name in (self.limits or {}):
                x, (low, high) = self.center.values[name].ravel()[places], self.bounds(name, places)
                room = np.minimum(np.where(x > low, x - low, np.inf), np.where(x < high, high - x, np.inf))
                found[own] = np.minimum(found[own], room)
        return found

    def outside(self, coordinates: Array) -> Array:
        """Return which entries at some coordinates are outside of their limits themselves; bool."""
        found = np.zeros(len(coordinates), bool)
        for name, own, places in self.center.split(coordinates):
            if self.limits and name in self.limits:
                x = self.center.values[name].ravel()[places]
                low, high = self.bounds(name, places)
                found[own] = ~((x >= low) & (x <= high))
        return found

    @ours()  # a step out of range is reported as leading to infinity
    def entries(self, coordinates: Array) -> Array:
        """Return the entries at some coordinates at every multiple of the step, as rounded to the dtype of their
        variable; float64 of shape (offsets, coordinates)."""
        found = np.empty((len(self.offsets), len(coordinates)))
        for (name, own, places), first in zip(self.center.split(coordinates), self.center.starts[:-1], strict=True):
            x = self.center.values[name].ravel()[places]
            wide, h = x.astype(np.float64), self.lengths(name, int(first), places)
            moves = np.multiply.outer(np.array(self.offsets, np.float64), h)
            if name not in (self.limits or {}):
                found[:, own] = (wide + moves).astype(x.dtype)
                continue
            low, high = self.bounds(name, places)
            ends = (wide + within(moves, wide - low, high - wide)).astype(x.dtype)
            # A cast to float32 may round beyond the limit.
            inside = (wide >= low) & (wide <= high)
            ends = np.where(inside & (ends > high), np.nextafter(ends, x.dtype.type(-np.inf)), ends)
            found[:, own] = np.where(inside & (ends < low), np.nextafter(ends, x.dtype.type(np.inf)), ends)
        return found

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the points depend on, for digests."""
        step = digest(self.step) if isinstance(self.step, np.ndarray) else self.step
        rule = {"order": self.order, "eps": self.eps} if self.step is None else {}
        limits = {name: [digest(bound) for bound in pair] for name, pair in sorted((self.limits or {}).items())}
        return {"x": self.center.digest, "offsets": self.offsets, "step": step, **rule, "limits": limits}


def within(moves: Array, down: Array, up: Array) -> Array:
    """Return moves, of shape (offsets, coordinates), that fit into the room down and up; those that fit are kept, and
    those of an entry that is outside itself."""
    fits = (moves.max(axis=0, initial=0) <= up) & (-moves.min(axis=0, initial=0) <= down) | (up < 0) | (down < 0)
    farthest = np.abs(moves).max(axis=0)
    side = np.where(up >= down, 1.0, -1.0)
    reach = side * np.minimum(farthest, np.maximum(up, down))
    return np.where(fits, moves, np.multiply.outer(np.arange(1, len(moves) + 1) / len(moves), reach))


def digest(array: Array) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array, np.float64).tobytes(), digest_size=16).hexdigest()
