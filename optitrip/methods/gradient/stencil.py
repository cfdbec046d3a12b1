"""Finite-difference stencils: item 0 is x, every other item is x with one coordinate moved."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import Points
from optitrip.core.point import Point
from optitrip.methods.gradient.moves import Moves


@dataclass(frozen=True, eq=False)
class Stencil(Points):
    """x, and x with one coordinate moved by one of several multiples of its step.

    Args:
        moves: the moved points of every coordinate.
        coordinates: flat coordinates of x, int64; item n moves along coordinates[n - 1].
        node: number of the multiple.
    """

    moves: Moves
    coordinates: Array
    node: int = 0

    @property
    def center(self) -> Point:
        return self.moves.center

    @property
    def offset(self) -> float:
        """Multiple of the step."""
        return self.moves.offsets[self.node]

    def values(self, items: range) -> dict[str, Array]:
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        n = np.arange(items.start, items.stop)
        stepping = np.flatnonzero(n > 0)
        along = self.coordinates[n[stepping] - 1]
        moved = self.entries(along)
        for name, own, places in self.center.split(along):
            varied = rows[name].reshape(len(items), self.center.values[name].size)
            varied[stepping[own], places] = moved[own]  # exact: already rounded to the dtype
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def entries(self, coordinates: Array) -> Array:
        """Return the entries at some coordinates, each moved, float64."""
        return self.moves.entries(coordinates)[self.node]

    def displaced(self, coordinates: Array) -> Array:
        """Return the standard deviation of the distance by which rounding moves the points off their places, float64 of
        shape (coordinates,): 0, since the displacements that are really taken are known."""
        return np.zeros(len(coordinates))

    def title(self, item: int, side: int | None = 0) -> str:
        return stepped_title(self.center, self.coordinates, item, step_text(self.offset))

    @cached_property
    def _described(self) -> dict[str, Any]:
        along = hashlib.blake2b(self.coordinates.tobytes(), digest_size=16).hexdigest()
        return {**self.moves.description, "along": along, "node": self.node}

    def describe(self) -> dict[str, Any]:
        return self._described

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stencil) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))


def step_text(offset: float) -> str:
    """Return a multiple of the step, e.g. +h, -2h, +h/2."""
    sign, size = "+-"[offset < 0], abs(offset)
    if size < 1:
        return f"{sign}h/{1 / size:g}"
    return f"{sign}{'' if size == 1 else f'{size:g}'}h"


def stepped_title(center: Point, coordinates: Array, item: int, step: str) -> str:
    """Return the title of x, or of x with one coordinate moved by a step, for messages."""
    return f"x with {center.title(int(coordinates[item - 1]))} one step {step}" if item else "x itself"
