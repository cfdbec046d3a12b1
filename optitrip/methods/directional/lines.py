"""Lines through x: each turns the loss into a function of one number t, the distance from x along a unit vector."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.point import Limits, Point
from optitrip.methods.estimate.directions import Directions
from optitrip.methods.gradient.method import Gradient
from optitrip.methods.gradient.noise import SMALLEST, Noise
from optitrip.methods.gradient.route import GradientRequest
from optitrip.methods.gradient.stencil import Stencil, step_text

DISTANCE = "t"
"""Name of the variable whose entries are the distances along all directions."""


@dataclass(frozen=True, eq=False)
class UnitLines:
    """Unit vectors in the space of the parameters.

    Args:
        x: point through which the lines go.
        count: number of lines.
        given: directions that are given, float64 of shape (count, coordinates), of any length but 0.
        seed: seed of those that are drawn if none are given: random ones that are orthogonal in groups of at most d.
        limits: limits of the parameters.
    """

    x: Point
    count: int
    given: Array | None = None
    seed: int = 0
    limits: Limits | None = None

    @cached_property
    def center(self) -> Point:
        """Point of all distances 0, read-only."""
        distances = np.zeros(self.count)
        distances.flags.writeable = False
        return Point({DISTANCE: distances}, (DISTANCE,))

    @cached_property
    def _drawn(self) -> Directions:
        return Directions("orthogonal", self.seed, self.count, self.x.size)

    @ours()
    def unit(self, line: int) -> Array:
        """Return a unit vector, float64 of shape (coordinates,)."""
        vector = self._drawn.vector(line) if self.given is None else self.given[line]
        vector = vector / np.max(np.abs(vector))  # the squares of large or small entries have no range
        return vector / np.linalg.norm(vector)

    @ours()
    def moved(self, line: int, distance: float) -> Mapping[str, Array]:
        """Return the varied parameters at a distance along a line, within their limits."""
        found: dict[str, Array] = {}
        for name, part in self.x.by_variable(distance * self.unit(line)).items():
            x = self.x.values[name]
            ends = (x.astype(np.float64) + part).astype(x.dtype)
            if name in (self.limits or {}):
                low, high = (np.broadcast_to(bound, x.size).reshape(x.shape) for bound in (self.limits or {})[name])
                inside = (x >= low) & (x <= high)
                ends = np.where(inside, np.clip(ends, low, high), ends).astype(x.dtype)  # what was rounded to beyond
            found[name] = ends
        return found

    @cached_property
    @ours()
    def sizes(self) -> Array:
        """Distances at which the first parameter has changed by its own size, or by 0.01, float64."""
        x = np.maximum(SMALLEST, np.abs(self.x.entries(np.arange(self.x.size))))
        return np.array([1 / np.max(np.abs(self.unit(line)) / x) for line in range(self.count)])

    @cached_property
    @ours()
    def displaced(self) -> Array:
        """Standard deviations of the distances by which rounding moves points off each line, float64: every entry that
        moves is off by up to half a unit in its last place."""
        spacing = np.concatenate([np.spacing(np.abs(self.x.values[name])).ravel() for name in self.x.varied])
        units = np.square(spacing.astype(np.float64)) / 12
        return np.array([units[self.unit(line) != 0].sum() ** 0.5 for line in range(self.count)])

    @cached_property
    @ours()
    def distance_limits(self) -> Limits | None:
        """Smallest and largest distances at which all parameters are within their limits."""
        if not self.limits:
            return None
        both = np.array([self.room(line) for line in range(self.count)])
        return {DISTANCE: (-both[:, 0], both[:, 1])}

    def room(self, line: int) -> tuple[float, float]:
        """Return how far one can go down and up a line; parameters outside of their limits do not count."""
        down, up = np.inf, np.inf
        parts = self.x.by_variable(self.unit(line))
        for name, (low, high) in (self.limits or {}).items():
            v, x = parts[name].ravel(), self.x.values[name].ravel().astype(np.float64)
            inside = (x >= low) & (x <= high)
            below, above = (np.where(inside & (v != 0), room / np.abs(v), np.inf) for room in (x - low, high - x))
            down = min(down, float(np.where(v > 0, below, above).min()))
            up = min(up, float(np.where(v > 0, above, below).min()))
        return down, up

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the points depend on beside the distances, for digests."""
        fields: dict[str, Any] = {"x": self.x.digest, "seed": self.seed, "count": self.count}
        if self.given is not None:
            fields = {"x": self.x.digest, "vectors": hashlib.blake2b(self.given.tobytes(), digest_size=16).hexdigest()}
        return fields | {"limits": {name: [b.tolist() for b in pair] for name, pair in (self.limits or {}).items()}}


@dataclass(frozen=True, eq=False, kw_only=True)
class LineStencil(Stencil):
    """x, and x moved along one line by one of several multiples of its step.

    Args:
        lines: the lines; the moves are distances along them.
    """

    lines: UnitLines

    def values(self, items: range) -> dict[str, Array]:
        x = self.lines.x.values
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in x.items()}
        n = np.arange(items.start, items.stop)
        stepping = np.flatnonzero(n > 0)
        along = self.coordinates[n[stepping] - 1]
        for row, line, distance in zip(stepping, along, self.entries(along), strict=True):
            for name, moved in self.lines.moved(int(line), float(distance)).items():
                rows[name][row] = moved
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def displaced(self, coordinates: Array) -> Array:
        return self.lines.displaced[coordinates]

    def title(self, item: int, side: int | None = 0) -> str:
        step = step_text(self.offset)
        return f"x one step {step} along direction {int(self.coordinates[item - 1])}" if item else "x itself"

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "lines": self.lines.description}


@dataclass(frozen=True)
class Slopes(Gradient):
    """The derivatives along the lines."""

    kind = "directional"


@dataclass(frozen=True, kw_only=True)
class LinesRequest(GradientRequest):
    """The gradient with respect to the distances along some lines, at distance 0: the derivatives along them."""

    lines: UnitLines

    @property
    def point(self) -> Point:
        return self.lines.x

    @property
    def point_limits(self) -> Limits | None:
        return self.lines.limits

    def sizes(self) -> Array:
        return self.lines.sizes

    def make(self, scheme: str, step: float | Array | None, noise: Noise) -> Gradient:
        along = super().make(scheme, step, noise)
        stencils = (LineStencil(one.moves, one.coordinates, one.node, lines=self.lines) for one in along.stencils)
        return Slopes(tuple(stencils), along.items, along.scheme, along.noise)
