"""Gradient: one finite difference of the loss along each coordinate.

    forward    (f(x + h e_i) - f(x)) / h
    backward   (f(x) - f(x - h e_i)) / h
    central    (f(x + h e_i) - f(x - h e_i)) / 2h

(Stanford CS231n, "Optimization: computing the gradient numerically"; J. Nocedal, S. J. Wright, "Numerical
Optimization", 2nd ed., equations 8.3 and 8.7.) In floating point x + h is rounded, so the quotient divides by the
step actually taken, (x + h) - x, and never by h.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from optitrip.core.arrays import Array, without_prefix
from optitrip.core.failures import NO_STEP, Failures, Problems, Record
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.loss.returns import DOUBLE
from optitrip.methods.gradient.stencil import Stencil, stepped_title
from optitrip.methods.shared import MethodBase

SIDES: dict[str, tuple[int, ...]] = {"forward": (1,), "backward": (-1,), "central": (1, -1)}
"""Sides of x on which the loss is computed, by scheme."""
LOSS = {1: "loss_up", -1: "loss_down"}
"""Columns of the losses, by side."""
BESIDE, KINKS = "beside_", "kinks"

UNCHANGED, FAILED, WITHOUT_STEP, LEFT_OUT, IMPRECISE = 1, 2, 4, 8, 16
"""Bit flags of a coordinate: the losses are bitwise equal, so that the derivative is 0 or below the resolution of the
loss; a loss failed or the quotient overflowed; x + h is x or not finite; it was not requested; the bound on its error
is over `PRECISE` of its magnitude. With FAILED, WITHOUT_STEP or LEFT_OUT the derivative is NaN."""
PRECISE = 0.02


@dataclass(frozen=True, eq=False)
class GradientResult:
    """A numeric gradient; arrays by name have the shapes of the variables."""

    loss: float
    """f(x)."""
    gradient: Mapping[str, Array]
    """Quotients, float64; NaN where a flag explains why."""
    steps: Mapping[str, Array]
    """Steps actually taken, float64: (x + h) - x, or half of (x + h) - (x - h) for central differences."""
    flags: Mapping[str, Array]
    """Bit flags UNCHANGED, FAILED, WITHOUT_STEP, LEFT_OUT and IMPRECISE, uint8."""
    bounds: Mapping[str, Array]
    """Bound on the error of each quotient, float64, as far as the losses show it; empty if they were not subtracted."""
    losses: Mapping[int, Mapping[str, Array]]
    """Losses by side, 1 for x + h and -1 for x - h, float64; NaN if missing."""
    named: Mapping[str, float]
    """Other numbers that the objective returned at x."""
    kinks: Mapping[str, Array]
    """Number of kinks of the loss between x and x + h, int64; empty if the objective does not count them."""
    items: int
    failures: Failures

    @property
    def flat(self) -> Array:
        """Entries of all variables, concatenated."""
        return np.concatenate([part.ravel() for part in self.gradient.values()])

    def flagged(self, flag: int) -> int:
        return sum(int(np.count_nonzero(flags & flag)) for flags in self.flags.values())


@dataclass(frozen=True)
class Gradient(MethodBase):
    """The gradient along the first `items - 1` of the stencils' coordinates; item 0 is f(x)."""

    stencils: tuple[Stencil, ...]
    """Stencils of the scheme, one per side; `gradient_of` makes them."""
    items: int
    kind = "gradient"
    main = True
    retried = True
    required_prefix = 1  # without f(x) there is no gradient
    common_column = "coordinate"
    side_columns: ClassVar[Mapping[int, str]] = LOSS

    @property
    def points(self) -> Stencil:
        """Stencil of the first side."""
        return self.stencils[0]

    @property
    def center(self) -> Point:
        return self.points.center

    @property
    def measured(self) -> list[str]:
        """Columns of the losses, one per side."""
        return [self.side_columns[stencil.side] for stencil in self.stencils]

    @property
    def loss_column(self) -> str:
        """Column of losses that the live line shows."""
        return self.measured[0]

    def sides(self, item: int) -> int:
        return len(self.stencils) if item else 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.stencils[side].point(item)

    def title(self, item: int, side: int | None = 0) -> str:
        steps = [f"{stencil.sign}h" for number, stencil in enumerate(self.stencils) if side in (number, None)]
        return stepped_title(self.center, self.points.coordinates, item, " or ".join(steps))

    def witness(self, part: Part) -> tuple[int, float] | None:
        losses = part.columns.get(self.loss_column)
        known = not part.items.start and losses is not None and np.isfinite(losses[0])
        return (0, float(losses[0])) if known and losses is not None else None

    def digest(self) -> bytes:
        return digest_of(self.kind, {"sides": [stencil.describe() for stencil in self.stencils]})

    def evaluate(self, context: Any, items: range) -> Part:
        problems: Problems = []
        columns: dict[str, Array] = {"coordinate": self.coordinates_of(items)}
        for number, stencil in enumerate(self.stencils):
            # x itself is the same on both sides, and its loss may be expensive.
            shared = number > 0 and items.start == 0 and len(items) > 0
            found = context.evaluate(stencil.values, items[1:] if shared else items)
            losses = found.losses
            if shared:
                losses = np.concatenate([columns[self.loss_column][:1], losses])
            columns[self.measured[number]] = losses
            problems += [(kind, replace(record, side=number)) for kind, record in found.problems]
            if not number:
                columns |= {BESIDE + name: column for name, column in found.extras.items()}
        return self.part(items, columns, problems)

    def evaluations(self, items: range) -> int:
        return len(self.stencils) * len(items) - (len(self.stencils) - 1 if 0 in items else 0)

    def failed_part(self, items: range, problems: Problems) -> Part:
        columns = {name: np.full(len(items), np.nan) for name in [self.loss_column, *self.measured]}
        columns["coordinate"] = self.coordinates_of(items)
        return self.part(items, columns, self.at_unknown_side(problems))

    def at_unknown_side(self, problems: Problems) -> Problems:
        """Return problems of whole items without a side where they may concern any of several points."""
        return [
            (kind, replace(record, side=None) if self.sides(record.index) > 1 else record) for kind, record in problems
        ]

    def coordinates_of(self, items: range) -> Array:
        """Return the coordinate of each item, -1 for x itself; int64."""
        along = self.points.coordinates[max(items.start, 1) - 1 : max(items.stop, 1) - 1]
        return np.concatenate([[-1][: len(items) - len(along)], along]).astype(np.int64)

    def part(self, items: range, columns: dict[str, Array], problems: Problems) -> Part:
        """Return the part with these columns (NaN without a step) and one failure per item: a missing step, else its
        first problem."""
        without_step = self.without_step(items)
        for name in self.measured:
            columns[name][[record.index - items.start for record in without_step]] = np.nan
        first: dict[int, tuple[str, Record]] = {record.index: (NO_STEP, record) for record in without_step}
        for kind, record in problems:
            first.setdefault(record.index, (kind, record))
        return Part(items, columns, Failures.of({index: kind for index, (kind, _) in first.items()}, first.values()))

    def without_step(self, items: range) -> list[Record]:
        """Return a record for each item whose step leaves x unchanged or leads to NaN or infinity."""
        stepping = np.arange(max(items.start, 1), items.stop)
        along = self.points.coordinates[stepping - 1]
        x = self.center.entries(along)
        stepped = np.array([stencil.entries(along) for stencil in self.stencils])
        moved = np.isfinite(stepped) & (stepped != x)
        return [
            Record(
                int(stepping[row]),
                "no step",
                f"{self.center.title(int(along[row]))} is {float(x[row])!r}, and after the step it is "
                f"{' and '.join(repr(float(end)) for end in stepped[:, row])}; wanted "
                f"{'a larger' if np.isfinite(stepped[:, row]).all() else 'another'} step",
                "",
                side=int(np.argmin(moved[:, row])),
            )
            for row in np.flatnonzero(~moved.all(axis=0))
        ]

    def differences(self, columns: Mapping[str, Array]) -> tuple[float, Array, dict[int, Array]]:
        """Return f(x), the difference between the upper and lower loss of each coordinate, and the losses by side."""
        losses = {stencil.side: columns[LOSS[stencil.side]] for stencil in self.stencils}
        at_x = float(losses[self.points.side][0])
        sides = {side: column[1:] for side, column in losses.items()}
        with np.errstate(all="ignore"):
            return at_x, np.subtract(sides.get(1, at_x), sides.get(-1, at_x)), sides

    def error_bounds(self, loss: float, losses: Mapping[int, Array], steps: Array) -> Array:
        """Return a bound on the error of each quotient; NaN where a loss is missing.

        Rounding contributes up to 2 eps |f| / h. The steps for a loss coarser than float64 are so long that it may bend
        or cross kinks between x - h and x + h; there the difference between the forward and the backward quotient is
        added.
        """
        sides, eps = list(losses.values()), self.points.eps
        with np.errstate(all="ignore"):
            bounds = 2 * eps * np.max(np.abs([np.full(len(steps), loss), *sides]), axis=0) / steps
            if len(sides) == 2 and eps > DOUBLE:
                bounds += np.abs(sides[0] - 2 * loss + sides[1]) / steps
        return bounds

    def result(self, whole: Part) -> GradientResult:
        columns, center = whole.columns, self.center
        along = columns["coordinate"][1:]
        loss, difference, losses = self.differences(columns)
        x = center.entries(along)
        ends = {stencil.side: stencil.entries(along) for stencil in self.stencils}
        taken = ends.get(1, x) - ends.get(-1, x)
        with np.errstate(all="ignore"):
            quotient = difference / taken
        flags = np.where(difference == 0, UNCHANGED, 0).astype(np.uint8)
        for kind, runs in whole.failures.runs.items():
            for lo, hi in runs:
                flags[max(lo, 1) - 1 : hi - 1] = WITHOUT_STEP if kind == NO_STEP else FAILED
        flags[~np.isfinite(quotient) & (flags == 0)] = FAILED  # a quotient too large for float64
        quotient[flags > UNCHANGED] = np.nan
        step = taken / 2 if len(self.stencils) == 2 else taken
        bounds = self.error_bounds(loss, losses, np.abs(step))
        if len(bounds):
            flags[(flags == 0) & (bounds > PRECISE * np.abs(quotient))] = IMPRECISE

        def shaped(values: Array, rest: float, dtype: type = np.float64) -> dict[str, Array]:
            flat = np.full(center.size, rest, dtype)
            flat[along] = values
            return center.by_variable(flat)

        return GradientResult(
            loss=loss,
            gradient=shaped(quotient, np.nan),
            steps=shaped(step, np.nan),
            flags=shaped(flags, LEFT_OUT, np.uint8),
            bounds=shaped(bounds, np.nan) if len(bounds) else {},
            losses={side: shaped(column, np.nan) for side, column in losses.items()},
            named={name: float(column[0]) for name, column in without_prefix(columns, BESIDE).items()},
            kinks=shaped(np.nan_to_num(columns[KINKS][1:]), 0, np.int64) if KINKS in columns else {},
            items=len(whole.items),
            failures=whole.failures,
        )


def gradient_of(
    center: Point,
    coordinates: Array,
    scheme: str,
    step: float | None = None,
    items: int | None = None,
    eps: float = DOUBLE,
) -> Gradient:
    """Make the gradient at a point along the first `items` - 1 (by default all) of the flat `coordinates`, int64, with
    forward, backward or central differences; `step` is h, None for the stencil's default at the loss's `eps`."""
    sides = SIDES[scheme]
    stencils = tuple(Stencil(center, coordinates, side, len(sides), step, eps) for side in sides)
    return Gradient(stencils, 1 + center.size if items is None else items)
