"""Slopes of the loss along directions: item 0 is f(x), every other item a central difference along one direction."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours, without_prefix
from optitrip.core.failures import Failures, Problems, Record
from optitrip.core.method import Points, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.methods.estimate.directions import Directions
from optitrip.methods.estimate.moves import Movable, scaled
from optitrip.methods.shared import MethodBase

COLUMNS = {1: "ahead", -1: "behind"}
"""Columns of the losses, by side."""
EXTRA = "with_"
"""Prefix of the columns of other numbers that the objective returned."""


@dataclass(frozen=True, eq=False)
class Ends(Points):
    """x, and x moved by a length along each direction, to one side.

    Args:
        center: x.
        directions: the directions.
        length: factor of the directions.
        side: 1 or -1.
        limits: variables that must not leave an interval.
        scale: scale of each entry, float64; None if all are 1.
    """

    center: Point
    directions: Directions
    length: float
    side: int
    limits: Limits | None = None
    scale: Array | None = None

    @ours()
    def values(self, items: range) -> dict[str, Array]:
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        movable = Movable(self.center, range(self.center.size), self.limits)
        for row, item in enumerate(items):
            if item:
                moves = self.side * self.length * scaled(self.directions.vector(item - 1), self.scale)
                for name, part in self.center.by_variable(movable.moved(moves)).items():
                    rows[name][row] = part
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def title(self, item: int, side: int | None = 0) -> str:
        return f"x {'+' if self.side > 0 else '-'} h along direction {item - 1}" if item else "x itself"

    def describe(self) -> dict[str, Any]:
        fields = {"x": self.center.digest, **vars_of(self.directions), "length": self.length, "side": self.side}
        return fields | limits_in(self.limits) | scale_in(self.scale)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ends) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))


def vars_of(directions: Directions) -> dict[str, Any]:
    """Return what directions depend on; independent ones do not depend on their number."""
    fields: dict[str, Any] = {"kind": directions.kind, "seed": directions.seed, "size": directions.size}
    fields |= {"draw": directions.draw} if directions.draw else {}
    return {**fields, "count": directions.count} if directions.kind == "orthogonal" else fields


def limits_in(limits: Limits | None) -> dict[str, Any]:
    """Return the limits for digests; nothing if there are none."""
    return {"limits": {name: [b.tolist() for b in pair] for name, pair in sorted(limits.items())}} if limits else {}


def scale_in(scale: Array | None) -> dict[str, Any]:
    """Return the scale of the entries for digests; nothing if there is none."""
    return {} if scale is None else {"scale": hashlib.blake2b(scale.tobytes(), digest_size=16).hexdigest()}


@dataclass(frozen=True, eq=False)
class SlopesResult:
    """Slopes along the directions."""

    loss: float
    """f(x)."""
    slopes: Array
    """Slopes (f(x + h v) - f(x - h v)) / 2h, float64; NaN if a loss is missing."""
    named: Mapping[str, float]
    """Other numbers that the objective returned at x."""
    failures: Failures


@dataclass(frozen=True)
class Slopes(MethodBase):
    """The slopes along the first `items - 1` directions."""

    ends: tuple[Ends, Ends]
    items: int
    kind = "estimate"
    main = True
    retried = True
    required_prefix = 1
    common_column = "ahead"

    @property
    def center(self) -> Point:
        return self.ends[0].center

    def sides(self, item: int) -> int:
        return 2 if item else 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.ends[side].point(item)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.ends[side or 0].title(item)

    def digest(self) -> bytes:
        return digest_of(self.kind, {"ends": [end.describe() for end in self.ends]})

    def evaluate(self, context: Any, items: range) -> Part:
        columns: dict[str, Array] = {}
        problems: Problems = []
        for side, ends in enumerate(self.ends):
            shared = side > 0 and items.start == 0 and len(items) > 0  # f(x) is computed once
            found = context.evaluate(ends.values, items[1:] if shared else items)
            losses = np.concatenate([columns["ahead"][:1], found.losses]) if shared else found.losses
            columns[COLUMNS[ends.side]] = losses
            problems += [(kind, replace(record, side=side)) for kind, record in found.problems]
            if not side:
                columns |= {EXTRA + name: column for name, column in found.extras.items()}
        return self.part(items, columns, problems)

    def evaluations(self, items: range) -> int:
        return 2 * len(items) - (0 in items)

    def failed_part(self, items: range, problems: Problems) -> Part:
        nothing = {name: np.full(len(items), np.nan) for name in COLUMNS.values()}
        unknown = [(kind, replace(record, side=None) if record.index else record) for kind, record in problems]
        return self.part(items, nothing, unknown)

    def part(self, items: range, columns: dict[str, Array], problems: Problems) -> Part:
        first: dict[int, tuple[str, Record]] = {}
        for kind, record in problems:
            first.setdefault(record.index, (kind, record))
        return Part(items, columns, Failures.of({index: kind for index, (kind, _) in first.items()}, first.values()))

    def witness(self, part: Part) -> tuple[int, float] | None:
        losses = part.columns.get("ahead")
        known = not part.items.start and losses is not None and np.isfinite(losses[0])
        return (0, float(losses[0])) if known and losses is not None else None

    def result(self, whole: Part) -> SlopesResult:
        ahead, behind = (whole.columns[name] for name in COLUMNS.values())
        with ours():
            slopes = (ahead - behind)[1:] / (2 * self.ends[0].length)
        named = {name: float(column[0]) for name, column in without_prefix(whole.columns, EXTRA).items()}
        return SlopesResult(float(ahead[0]), np.where(np.isfinite(slopes), slopes, np.nan), named, whole.failures)
