"""The unit cube of a space, from which a searcher asks for points, and the candidates that these points are."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from optitrip.core.arrays import Array
from optitrip.space.candidates import Candidates
from optitrip.space.distribution import HIGHEST, LOWEST
from optitrip.space.variables import Space


@dataclass(frozen=True)
class Cube:
    """The unit cube: a coordinate for each entry of each variable that is not constant, variables by name.

    A coordinate u is mapped to a value by the inverse CDF of the variable's distribution, so that a logarithmic range
    is even, and all coordinates have the same scale.
    """

    names: tuple[str, ...]
    """Name of each coordinate, e.g. "rate" or "W[3, 7]"."""
    levels: tuple[int, ...]
    """Number of values of each coordinate, in equal intervals of u; 0 for more than can be told apart."""
    ordered: tuple[bool, ...]
    """False for each coordinate whose neighbouring values have nothing in common, as options of a choice."""

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.names)

    @classmethod
    def of(cls, space: Space) -> Self:
        """Return the cube of a space."""
        names, levels, ordered = list[str](), list[int](), list[bool]()
        by_name = {variable.name: variable for variable in space.variables}
        for name in sorted(space.sizes):
            variable = by_name[name]
            places = np.ndindex(variable.shape) if variable.shape else [()]
            names += [f"{name}[{', '.join(map(str, place))}]" if place else name for place in places]
            levels += [variable.distribution.levels] * variable.size
            ordered += [variable.distribution.ordered] * variable.size
        return cls(tuple(names), tuple(levels), tuple(ordered))


@dataclass(frozen=True, eq=False)
class Asked(Candidates):
    """Candidates that a searcher asked for, from number `first` on.

    Args:
        unit_rows: points of the unit cube, float64 of shape (candidates, coordinates).
        first: number of the first.
    """

    unit_rows: Array = field(default_factory=lambda: np.zeros((0, 0)))
    first: int = 0
    draws = False

    def unit(self, names: Iterable[str], items: range) -> dict[str, Array]:
        wanted = {*names}
        rows = self.unit_rows[items.start - self.first : items.stop - self.first]
        ends = np.cumsum([self.space.sizes[name] for name in sorted(self.space.sizes)])
        split = np.split(np.clip(rows, LOWEST, HIGHEST), ends[:-1], axis=1)
        return {name: part for name, part in zip(sorted(self.space.sizes), split, strict=True) if name in wanted}

    @property
    def most(self) -> int | None:
        return None

    def numbered(self, first: int) -> Self:
        """Return the same candidates with other numbers."""
        return replace(self, first=first)

    @cached_property
    def rows_digest(self) -> str:
        """Hash of the points of the unit cube."""
        return hashlib.blake2b(np.ascontiguousarray(self.unit_rows).tobytes(), digest_size=16).hexdigest()

    def describe(self) -> dict[str, Any]:
        return {"space": self.space.describe(), "first": self.first, "unit": self.rows_digest}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asked) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(self.rows_digest)
