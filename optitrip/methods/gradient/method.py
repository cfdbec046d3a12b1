"""Gradient: the loss a small step along each coordinate, less the loss, divided by the step.

    forward    (f(x + h e_i) - f(x)) / h
    backward   (f(x) - f(x - h e_i)) / h
    central    (f(x + h e_i) - f(x - h e_i)) / 2h

(Stanford CS231n, "Optimization: computing the gradient numerically"; J. Nocedal, S. J. Wright, "Numerical
Optimization", 2nd ed., equations 8.3 and 8.7.) In floating point x + h is a rounded number, so the quotient divides by
the step that was taken, (x + h) - x, and never by h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, joined, without_prefix
from optitrip.core.failures import NO_STEP, Failures, Problems, Record
from optitrip.core.method import NOTHING, AllItems, digest_of
from optitrip.core.part import Part, adjacent, placed
from optitrip.core.point import Point
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.stencil import Stencil, stepped_title

SIDES: dict[str, tuple[int, ...]] = {"forward": (1,), "backward": (-1,), "central": (1, -1)}
"""The sides of x on which the loss is computed, by scheme."""
LOSS = {1: "loss_up", -1: "loss_down"}
BESIDE, KINKS = "beside_", "kinks"

UNCHANGED, FAILED, WITHOUT_STEP, LEFT_OUT = 1, 2, 4, 8
"""Flags of a coordinate, added up: the losses are equal to the bit, so that it is 0 or below the resolution of the
loss; a loss failed; x + h is x; it was not asked for. With one of the last three it is NaN."""


@dataclass(frozen=True, eq=False)
class GradientResult:
    """A numeric gradient; arrays by name have the shapes of the variables."""

    loss: float
    """f(x)."""
    gradient: Mapping[str, Array]
    """float64, NaN where a flag says why."""
    steps: Mapping[str, Array]
    """The step that was taken, float64: (x + h) - x, or half of (x + h) - (x - h) for central."""
    flags: Mapping[str, Array]
    """uint8, sums of UNCHANGED, FAILED, WITHOUT_STEP and LEFT_OUT."""
    losses: Mapping[int, Mapping[str, Array]]
    """The losses by side, 1 for x + h and -1 for x - h, float64, NaN where there is none."""
    named: Mapping[str, float]
    """The other numbers of the objective at x."""
    kinks: Mapping[str, Array]
    """How many kinks the loss has on the way, int64, where the objective can tell; else empty."""
    items: int
    failures: Failures

    @property
    def flat(self) -> Array:
        """All variables, one after the other."""
        return np.concatenate([part.ravel() for part in self.gradient.values()])

    def flagged(self, flag: int) -> int:
        """How many coordinates have a flag."""
        return sum(int(np.count_nonzero(flags & flag)) for flags in self.flags.values())


@dataclass(frozen=True)
class Gradient:
    """The gradient along the first `items - 1` of the neighbours' coordinates; item 0 is f(x).

    Args:
        neighbours: on each side that the scheme takes; `gradient_of` makes them.
        items: one more than there are coordinates to step along.
    """

    neighbours: tuple[Stencil, ...]
    items: int
    kind: str = "gradient"
    main: bool = True
    retried: bool = True
    required_prefix: int = 1
    """Without f(x) there is no gradient."""
    block: int = 0

    @property
    def points(self) -> Stencil:
        """The first side."""
        return self.neighbours[0]

    def sides(self, item: int) -> int:
        return len(self.neighbours) if item else 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.neighbours[side].point(item)

    def title(self, item: int, side: int | None = 0) -> str:
        steps = [one.end for number, one in enumerate(self.neighbours) if side in (number, None)]
        return stepped_title(self.center, self.points.coordinates, item, " or ".join(steps))

    @property
    def first_loss(self) -> str:
        """The column of the losses on the first side."""
        return LOSS[self.neighbours[0].side]

    @property
    def center(self) -> Point:
        return self.neighbours[0].center

    def stop_rule(self) -> AllItems:
        return AllItems(self.items)

    def digest(self) -> bytes:
        return digest_of(self.kind, {"sides": [side.describe() for side in self.neighbours]})

    def prepare(self, objective: Objective) -> Any:
        return objective

    @property
    def preparation(self) -> bytes:
        return NOTHING

    def evaluate(self, context: Any, items: range) -> Part:
        stuck = self.stuck(items)
        problems: Problems = []
        columns: dict[str, Array] = {"coordinate": self.along(items)}
        for number, side in enumerate(self.neighbours):
            # x itself is the same on both sides, and its loss may be dear.
            again = number > 0 and items.start == 0 and len(items) > 0
            found = context.evaluate(side.values, items[1:] if again else items)
            losses = found.losses
            if again:
                losses = np.concatenate([columns[LOSS[self.neighbours[0].side]][:1], losses])
            columns[LOSS[side.side]] = losses
            problems += [(kind, replace(record, side=number)) for kind, record in found.problems]
            if not number:
                columns |= {BESIDE + name: column for name, column in found.named.items()}
        return self.part(items, columns, [LOSS[side.side] for side in self.neighbours], stuck, problems)

    def failed_part(self, items: range, problems: Problems) -> Part:
        nothing = {LOSS[side.side]: np.full(len(items), np.nan) for side in self.neighbours}
        columns = {"coordinate": self.along(items), **nothing}
        return self.part(items, columns, list(nothing), self.stuck(items), self.at_any_side(problems))

    def at_any_side(self, problems: Problems) -> Problems:
        """Return problems of whole items, of which it is not known at which point they were met."""
        return [
            (kind, replace(record, side=None) if self.sides(record.index) > 1 else record) for kind, record in problems
        ]

    def along(self, items: range) -> Array:
        """The coordinate of each item, -1 for x itself; int64."""
        along = self.points.coordinates[max(items.start, 1) - 1 : max(items.stop, 1) - 1]
        return np.concatenate([[-1][: len(items) - len(along)], along]).astype(np.int64)

    def part(
        self, items: range, columns: dict[str, Array], measured: Sequence[str], stuck: list[Record], problems: Problems
    ) -> Part:
        """The part of these columns, with one failure an item: that it is stuck, else the first of its problems."""
        for name in measured:
            columns[name][[record.index - items.start for record in stuck]] = np.nan
        first: dict[int, tuple[str, Record]] = {record.index: (NO_STEP, record) for record in stuck}
        for kind, record in problems:
            first.setdefault(record.index, (kind, record))
        return Part(items, columns, Failures.of({index: kind for index, (kind, _) in first.items()}, first.values()))

    def stuck(self, items: range) -> list[Record]:
        """The items whose step changes nothing, or is no number."""
        at = np.arange(max(items.start, 1), items.stop)
        along = self.neighbours[0].coordinates[at - 1]
        x = self.center.entries(along)
        stepped = np.array([side.entries(along) for side in self.neighbours])
        moved = np.isfinite(stepped) & (stepped != x)
        return [
            Record(
                int(at[row]),
                "no step",
                f"{self.center.title(int(along[row]))} is {float(x[row])!r}, and a step further it is "
                f"{' and '.join(repr(float(end)) for end in stepped[:, row])}; wanted "
                f"{'a larger' if np.isfinite(stepped[:, row]).all() else 'another'} step",
                "",
                side=int(np.argmin(moved[:, row])),
            )
            for row in np.flatnonzero(~moved.all(axis=0))
        ]

    def merge(self, *parts: Part) -> Part:
        columns = joined([part.columns for part in parts], "coordinate", "")
        return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))

    def differences(self, columns: Mapping[str, Array]) -> tuple[float, Array, dict[int, Array]]:
        """f(x); for each coordinate the loss above less the loss below; and the losses by side."""
        losses = {side.side: columns[LOSS[side.side]] for side in self.neighbours}
        at_x = float(losses[self.neighbours[0].side][0])
        sides = {side: column[1:] for side, column in losses.items()}
        with np.errstate(all="ignore"):
            return at_x, np.subtract(sides.get(1, at_x), sides.get(-1, at_x)), sides

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        return placed(whole, retried)

    def result(self, whole: Part) -> GradientResult:
        columns, center = whole.columns, self.center
        along = columns["coordinate"][1:]
        loss, difference, losses = self.differences(columns)
        x = center.entries(along)
        ends = {side.side: side.entries(along) for side in self.neighbours}
        taken = ends.get(1, x) - ends.get(-1, x)
        with np.errstate(all="ignore"):
            quotient = difference / taken
        flags = np.where(difference == 0, UNCHANGED, 0).astype(np.uint8)
        for kind, runs in whole.failures.runs.items():
            for lo, hi in runs:
                flags[max(lo, 1) - 1 : hi - 1] = WITHOUT_STEP if kind == NO_STEP else FAILED
        flags[~np.isfinite(quotient) & (flags == 0)] = FAILED  # a quotient too large for float64
        quotient[flags > UNCHANGED] = np.nan

        def shaped(values: Array, rest: float, dtype: type = np.float64) -> dict[str, Array]:
            flat = np.full(center.size, rest, dtype)
            flat[along] = values
            return center.by_variable(flat)

        return GradientResult(
            loss=loss,
            gradient=shaped(quotient, np.nan),
            steps=shaped(taken / 2 if len(self.neighbours) == 2 else taken, np.nan),
            flags=shaped(flags, LEFT_OUT, np.uint8),
            losses={side: shaped(column, np.nan) for side, column in losses.items()},
            named={name: float(column[0]) for name, column in without_prefix(columns, BESIDE).items()},
            kinks=shaped(np.nan_to_num(columns[KINKS][1:]), 0, np.int64) if KINKS in columns else {},
            items=len(whole.items),
            failures=whole.failures,
        )


def gradient_of(
    center: Point, coordinates: Array, scheme: str, step: float | None = None, items: int | None = None
) -> Gradient:
    """The gradient at a point by forward, backward or central differences.

    Args:
        center: x.
        coordinates: all flat coordinates of x in the order in which they are taken, int64.
        scheme: forward, backward or central.
        step: h; None for eps^(1/2) max(1, |x|), or eps^(1/3) max(1, |x|) for central.
        items: one more than the coordinates to step along; all by default.
    """
    sides = SIDES[scheme]
    neighbours = tuple(Stencil(center, coordinates, side, len(sides), step) for side in sides)
    return Gradient(neighbours, 1 + center.size if items is None else items)
