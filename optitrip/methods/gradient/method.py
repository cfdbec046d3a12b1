"""Gradient: one finite difference of the loss along each coordinate.

In floating point x + h is rounded, so the differences divide by the step actually taken, (x + h) - x, and never by h.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from optitrip.core.arrays import Array, without_prefix
from optitrip.core.failures import NO_STEP, Failures, Problems, Record
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.loss.returns import DOUBLE
from optitrip.methods.gradient.estimate import Derivatives, derivatives
from optitrip.methods.gradient.flags import OUTSIDE, flags_of
from optitrip.methods.gradient.moves import Moves
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.refine import combined
from optitrip.methods.gradient.result import GradientResult
from optitrip.methods.gradient.schemes import SCHEMES, Scheme
from optitrip.methods.gradient.stencil import Stencil, step_text, stepped_title
from optitrip.methods.shared import MethodBase

Further = TypeVar("Further", bound="Refinement")
BESIDE, KINKS = "beside_", "kinks"


def column_name(prefix: str, offset: float) -> str:
    """Return the column of the losses at a multiple of the step, e.g. loss_up, loss_down_2."""
    side, size = "up" if offset > 0 else "down", abs(offset)
    return f"{prefix}_{side}" if size == 1 else f"{prefix}_{side}_{size:g}"


@dataclass(frozen=True)
class Gradient(MethodBase):
    """The gradient along the first `items - 1` of the coordinates; item 0 is f(x). `gradient_of` makes it."""

    stencils: tuple[Stencil, ...]
    """Stencils of the scheme, one per multiple of the step."""
    items: int
    scheme: Scheme
    noise: Noise = field(default_factory=Noise)
    """Noise of the loss, for the error estimates."""
    f0: float | None = None
    """Loss at x if it is known, so that it is not evaluated."""
    kind = "gradient"
    main = True
    retried = True
    required_prefix = 1  # without f(x) there is no gradient
    common_column = "coordinate"
    prefix = "loss"
    """Prefix of the columns with losses."""

    @property
    def points(self) -> Stencil:
        """Stencil of the first multiple."""
        return self.stencils[0]

    @property
    def moves(self) -> Moves:
        return self.points.moves

    @property
    def center(self) -> Point:
        return self.points.center

    @property
    def measured(self) -> list[str]:
        """Columns of the losses, one per multiple of the step."""
        return [column_name(self.prefix, offset) for offset in self.moves.offsets]

    @property
    def loss_column(self) -> str:
        """Column of losses that the live line shows."""
        return self.measured[0]

    def sides(self, item: int) -> int:
        return len(self.stencils) if item else 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.stencils[side].point(item)

    def title(self, item: int, side: int | None = 0) -> str:
        steps = [step_text(one.offset) for number, one in enumerate(self.stencils) if side in (number, None)]
        return stepped_title(self.center, self.points.coordinates, item, " or ".join(steps))

    def witness(self, part: Part) -> tuple[int, float] | None:
        losses = part.columns.get(self.loss_column)
        known = not part.items.start and losses is not None and np.isfinite(losses[0])
        return (0, float(losses[0])) if known and losses is not None else None

    def digest(self) -> bytes:
        known = {} if self.f0 is None else {"f0": self.f0}
        return digest_of(self.kind, {"sides": [stencil.describe() for stencil in self.stencils], **known})

    def evaluate(self, context: Any, items: range) -> Part:
        problems: Problems = []
        columns: dict[str, Array] = {"coordinate": self.coordinates_of(items)}
        at_x = [] if self.f0 is None or items.start else [self.f0][: len(items)]
        for number, stencil in enumerate(self.stencils):
            # x itself is the same on all sides, and its loss may be expensive.
            found = context.evaluate(stencil.values, items[len(at_x) :])
            columns[self.measured[number]] = np.concatenate([at_x, found.losses])
            problems += [(kind, replace(record, side=number)) for kind, record in found.problems]
            if not number:
                beside = {BESIDE + name: column for name, column in found.extras.items()}
                columns |= {name: np.concatenate([[np.nan] * len(at_x), column]) for name, column in beside.items()}
                at_x = columns[self.loss_column][:1] if items.start == 0 else at_x
        return self.part(items, columns, problems)

    def evaluations(self, items: range) -> int:
        at_x = 1 if self.f0 is None else 0
        return len(self.stencils) * len(items) - (len(self.stencils) - at_x if 0 in items else 0)

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
        """Return a record for each item of which a step leaves x unchanged or leads to NaN or infinity; steps for the
        error estimate alone do not count."""
        stepping = np.arange(max(items.start, 1), items.stop)
        along = self.points.coordinates[stepping - 1]
        x = self.center.entries(along)
        stepped = self.moves.entries(along)[: len(self.scheme.offsets)]
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

    def differences(self, columns: Mapping[str, Array]) -> tuple[float, Array, Array]:
        """Return f(x), the losses at each multiple of the step minus f(x), and their noise; both of shape (multiples,
        coordinates)."""
        losses = np.array([columns[name] for name in self.measured])
        at_x, deltas = float(losses[0, 0]), losses[:, 1:] - losses[0, 0]
        with np.errstate(all="ignore"):
            finite = np.where(np.isfinite(losses), np.abs(losses), 0)
            noise = self.noise.at(finite.max(axis=0)[1:])
            along = columns["coordinate"][1:]
            displaced = self.points.displaced(along)
            if displaced.any():
                slopes = np.fmax.reduce(np.abs(deltas / self.taken(along)), axis=0)
                noise = np.hypot(noise, np.nan_to_num(slopes * displaced))
            return at_x, deltas, np.broadcast_to(noise, deltas.shape)

    def taken(self, along: Array) -> Array:
        """Return the displacements from x that are really taken, of shape (multiples, coordinates)."""
        with np.errstate(all="ignore"):
            return self.moves.entries(along) - self.center.entries(along)

    def steps(self, taken: Array) -> Array:
        """Return the steps taken: half the distance of the first two points if they are x + h and x - h."""
        first, *others = self.moves.offsets
        with np.errstate(all="ignore"):
            return (taken[0] - taken[1]) / (2 * first) if others[:1] == [-first] else taken[0] / first

    def found(self, whole: Part) -> tuple[float, Array, Array, Derivatives]:
        """Return f(x), displacements, differences of losses and derivatives along the coordinates."""
        loss, deltas, noise = self.differences(whole.columns)
        taken = self.taken(whole.columns["coordinate"][1:])
        return loss, taken, deltas, derivatives(self.scheme, self.moves.offsets, taken, deltas, noise)

    def result(self, whole: Part) -> GradientResult:
        columns, center = whole.columns, self.center
        along = columns["coordinate"][1:]
        loss, taken, deltas, found = self.found(whole)
        kinks = np.nan_to_num(columns[KINKS][1:]) if KINKS in columns else None
        flags = flags_of(found, deltas, len(self.scheme.offsets), whole.failures, kinks, errors=self.has_errors)
        return GradientResult(
            center=center,
            coordinates=along,
            offsets=self.moves.offsets,
            loss=loss,
            found=found,
            has_errors=self.has_errors,
            step=self.steps(taken),
            flag=flags | np.where(self.moves.outside(along), OUTSIDE, 0).astype(np.uint16),
            deltas=deltas,
            named={name: float(column[0]) for name, column in without_prefix(columns, BESIDE).items()},
            kink_counts=kinks,
            items=len(whole.items),
            failures=whole.failures,
        )

    @property
    def has_errors(self) -> bool:
        """True if the losses show the truncation error."""
        return len(self.moves.offsets) >= len(self.scheme.nodes(errors=True))


@dataclass(frozen=True)
class Refinement(Gradient):
    """A further round along some of the coordinates, with better steps."""

    kind = "refinement"
    main = False

    def merged(self, first: GradientResult, second: GradientResult) -> GradientResult:
        """Return what follows from the results before and of this round."""
        return combined(first, second, self.scheme.order)


def taken_again(stage: type[Further], method: Gradient, coordinates: Array, steps: Array, loss: float) -> Further:
    """Make a stage of differences of the same kind along some coordinates, int64, with other steps h, float64 of their
    shape; f(x) is known."""
    h = np.full(method.center.size, np.nan)
    h[coordinates] = steps
    moves = replace(method.moves, step=h)
    stencils = tuple(replace(stencil, moves=moves, coordinates=coordinates) for stencil in method.stencils)
    return stage(stencils, 1 + len(coordinates), method.scheme, method.noise, loss)


def gradient_of(
    center: Point,
    coordinates: Array,
    scheme: str,
    step: float | Array | None = None,
    items: int | None = None,
    eps: float = DOUBLE,
    *,
    errors: bool = False,
    noise: Noise | None = None,
    limits: Limits | None = None,
    f0: float | None = None,
) -> Gradient:
    """Make the gradient at a point along the first `items` - 1 (by default all) of the flat `coordinates`, int64.

    `step` is h, None for the default at the loss's `eps`; with `errors`, losses that show the truncation error are
    evaluated too; variables stay within their `limits`; `f0` is the loss at the point, if it is known.
    """
    chosen = SCHEMES[scheme]
    moves = Moves(center, chosen.nodes(errors=errors), step, chosen.order, eps, limits)
    stencils = tuple(Stencil(moves, coordinates, node) for node in range(len(moves.offsets)))
    items = 1 + len(coordinates) if items is None else items
    return Gradient(stencils, items, chosen, noise or Noise(eps=eps), f0)
