"""A point, some of whose variables are varied one coordinate (scalar entry) at a time."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.literals import described

Limits = Mapping[str, tuple[Array, Array]]
"""Smallest and largest allowed values by variable, float64, each of the variable's size or of one entry."""


@dataclass(frozen=True, eq=False)
class Point:
    """Values by name, read-only, and the names of those that vary, all of floating-point dtype.

    Flat coordinates count the entries of the varied variables, one variable after the other, each in C order.
    """

    values: Mapping[str, Array]
    varied: tuple[str, ...]

    @cached_property
    def starts(self) -> Array:
        """First flat coordinate of each varied variable, then their total number; int64."""
        return np.cumsum([0, *(self.values[name].size for name in self.varied)])

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return int(self.starts[-1])

    def split(self, coordinates: Array) -> list[tuple[str, Array, Array]]:
        """Return for each varied variable its name, its rows of `coordinates`, and their places in the variable."""
        owner = np.searchsorted(self.starts, coordinates, side="right") - 1
        rows_of = [np.flatnonzero(owner == number) for number in range(len(self.varied))]
        firsts = zip(self.varied, rows_of, self.starts[:-1], strict=True)
        return [(name, rows, coordinates[rows] - first) for name, rows, first in firsts]

    def entries(self, coordinates: Array) -> Array:
        entries = np.empty(len(coordinates))
        for name, rows, places in self.split(coordinates):
            entries[rows] = self.values[name].ravel()[places]
        return entries

    def by_variable(self, flat: Array) -> dict[str, Array]:
        """Split an array with one entry per coordinate into arrays shaped like the varied variables."""
        edges = zip(self.varied, self.starts[:-1], self.starts[1:], strict=True)
        return {name: flat[lo:hi].reshape(self.values[name].shape) for name, lo, hi in edges}

    def title(self, coordinate: int) -> str:
        """Return the label of a coordinate, e.g. W[3, 7]."""
        number = int(np.searchsorted(self.starts, coordinate, side="right")) - 1
        name = self.varied[number]
        place = np.unravel_index(coordinate - int(self.starts[number]), self.values[name].shape)
        return f"{name}[{', '.join(str(int(axis)) for axis in place)}]" if place else name

    @cached_property
    def digest(self) -> str:
        """Hash of the values and of the names that vary."""
        digest = hashlib.blake2b(json.dumps(self.varied).encode(), digest_size=16)
        for name, value in sorted(self.values.items()):
            objects = described(value.tolist()) if value.dtype.hasobject else None
            digest.update(json.dumps([name, value.dtype.str, value.shape, objects]).encode())
            digest.update(b"" if value.dtype.hasobject else value.tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)
