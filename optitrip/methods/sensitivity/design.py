"""Saltelli's design: points that differ in one variable, or agree in one variable, by index.

Each row has a point A, a point B that is independent of it, and for each variable the point A with that variable from
B: as many as variables, and two (A. Saltelli et al., "Variance based sensitivity analysis of model output. Design and
estimator for the total sensitivity index", Computer Physics Communications 181, 2010). Item n is place n mod width of
row n div width, so that more rows move no point. An array is one variable: all its entries come from the same point.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from optitrip.core.arrays import Array
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

A, B, FIRST = 0, 1, 2
"""Places in a row of A, of B, and of A with the first variable from B."""


@dataclass(frozen=True)
class Saltelli(Candidates):
    """The points of the design; A and B are the halves of a sampler's points in twice as many coordinates."""

    draws: ClassVar[bool] = False

    @classmethod
    def of(cls, candidates: Candidates) -> Self:
        """Return the design that draws as candidates do."""
        return cls(**fields_of(candidates))

    @property
    def factors(self) -> list[str]:
        """Names of the variables that are drawn, sorted: their order in a sweep file does not matter."""
        return sorted(self.space.sizes)

    @property
    def width(self) -> int:
        """Number of points in a row."""
        return FIRST + len(self.space.sizes)

    @property
    def pairs(self) -> Candidates:
        """Points A and B of each row, one behind the other in each variable."""
        doubled = (replace(v, shape=(2 * v.size,)) if v.name in self.space.sizes else v for v in self.space.variables)
        fields: dict[str, Any] = {**fields_of(self), "space": Space(tuple(doubled))}
        return Candidates(**fields)

    def unit(self, names: Iterable[str], items: range) -> dict[str, Array]:
        rows = range(items.start // self.width, -(-items.stop // self.width))
        row, place = np.divmod(np.arange(items.start, items.stop), self.width)
        row -= rows.start
        both = self.pairs.unit(self.pairs.space.sizes, rows)
        found, wanted = dict[str, Array](), {*names}
        for number, name in enumerate(self.factors, FIRST):
            if name in wanted:
                first, second = np.split(both[name], 2, axis=1)
                from_second = (place == B) | (place == number)
                found[name] = np.where(from_second[:, np.newaxis], second[row], first[row])
        return found

    def title(self, item: int, side: int | None = 0) -> str:
        row, place = divmod(item, self.width)
        return f"row {row:,}, {self.place_name(place)}"

    def place_name(self, place: int) -> str:
        """Return the name of a point in its row."""
        return {A: "A", B: "B"}.get(place) or f"A with {self.factors[place - FIRST]} from B"

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "design": "saltelli"}


def fields_of(candidates: Candidates) -> dict[str, Any]:
    """Return the fields that all candidates have."""
    return {field.name: getattr(candidates, field.name) for field in fields(Candidates)}
