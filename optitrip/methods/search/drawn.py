"""Which candidates a search has: drawn ones, those that a person gives, and constraints on them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from optitrip.core.table import Table, one_of
from optitrip.errors import Invalid
from optitrip.methods.spec import GivenTable
from optitrip.samplers import SAMPLERS
from optitrip.space.expression import Expression
from optitrip.space.variables import Space

Points = Annotated[
    Annotated[str, Field(min_length=1)] | list[dict[str, Any]],
    one_of("the name of a .csv or .parquet file, or a list of points, e.g. [{ x = 1, y = 2 }]"),
]
First = Annotated[list[dict[str, Any]], one_of("a list of points, e.g. [{ x = 1, y = 2 }]")]
Where = Annotated[list[str], one_of('a list of conditions, e.g. ["x + y < 1"]')]
KEYS = ("points", "first", "where", "redraw")
"""Keys of the table that are no part of older identities."""


class DrawnTable(Table):
    """Keys of a [method] table that say which candidates there are."""

    candidates: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Number of candidates; with `points`, there are as many as points."""
    sampler: str = "random"
    points: Points | None = None
    """All candidates: a table with a column for each variable, or a list of points."""
    first: First = Field(default_factory=list[dict[str, Any]])
    """Points that are the first candidates, before those that are drawn."""
    where: Where = Field(default_factory=list[str])
    """Constraints, e.g. "x + y < 1"; a candidate that violates one is not evaluated."""
    redraw: bool = False
    """True to draw an infeasible candidate again until it is feasible."""

    @property
    def given(self) -> GivenTable | None:
        """Points that the table gives; None without any."""
        if self.points is not None:
            return GivenTable("points", self.points, alone=True)
        return GivenTable("first", self.first, alone=False) if self.first else None

    @property
    def constraints(self) -> tuple[Expression, ...]:
        """Constraints, read."""
        return tuple(map(Expression, self.where))

    @property
    def drawn(self) -> int | None:
        """Number of candidates to draw; None if all are given."""
        return None if self.candidates is None else max(0, self.candidates - len(self.first))


def check_drawn(table: DrawnTable, space: Space) -> None:
    """Raise Invalid, with the path of the key, unless it is clear which candidates there are."""
    if (table.candidates is None) == (table.points is None):
        both = table.points is not None
        found = "is given beside points; wanted one of them" if both else "is missing; wanted a whole number, or points"
        raise Invalid(("method", "candidates"), found)
    for key in ("first", "sampler", "redraw"):
        if table.points is not None and key in table.model_fields_set:
            raise Invalid(("method", key), "is for candidates that are drawn, and points are all; remove this line")
    if table.candidates is not None and len(table.first) > table.candidates:
        problem = f"has {len(table.first):,} points, more than candidates = {table.candidates:,}"
        raise Invalid(("method", "first"), f"{problem}; raise candidates, or give fewer")
    if table.redraw and not table.where:
        raise Invalid(("method", "redraw"), 'is for candidates that violate a constraint; add a line where = ["..."]')
    if table.redraw and SAMPLERS[table.sampler].most(space.design(table.drawn)) is not None:
        raise Invalid(("method", "redraw"), f"does not go with the sampler {table.sampler}, which has no other points")
    if space.conditional and SAMPLERS[table.sampler].most(space.design(table.drawn)) is not None:
        name = space.conditional[0].name
        problem = f"was {table.sampler!r}, which would evaluate a point once for each value that {name} does not have"
        raise Invalid(("method", "sampler"), f"{problem}; wanted another sampler, or points")
    for number, constraint in enumerate(table.constraints):
        try:
            space.check_condition(constraint)
        except ValueError as error:
            raise Invalid(("method", "where", number), str(error)) from None


def items_of(table: DrawnTable, space: Space) -> int:
    """Return the number of candidates; 0 where a file of points has to be read for it."""
    if table.candidates is None or table.sampler not in SAMPLERS:
        return len(table.points) if isinstance(table.points, list) else 0
    most = SAMPLERS[table.sampler].most(space.design(table.drawn))
    return table.candidates if most is None else min(table.candidates, len(table.first) + most)
