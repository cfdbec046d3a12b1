"""Gradient from structured differences, which an objective that knows its own structure gives without cancellation.

`around(**x)` is called once per worker; `deltas(coordinates, steps)` of its result gives f(x + h e_i) - f(x) for many
coordinates at once. Quotients, steps and flags are computed as for the gradient from losses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import NAN, RAISED, Problems, Record
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.loss.evaluation import Evaluation, stretches
from optitrip.loss.objective import Objective
from optitrip.loss.returns import DOUBLE, NotANumber, as_batch
from optitrip.methods.checks import Agreement, compared
from optitrip.methods.gradient.method import KINKS, Gradient
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import record_of

ROUNDED = 4 * DOUBLE
"""Relative error of a delta that is computed without cancellation."""


@dataclass(frozen=True, eq=False)
class Linearization:
    """An objective prepared around one point."""

    objective: Objective
    around: Any
    """Result of the objective's `around`, or the exception that it raised."""
    at_x: Evaluation
    """Loss at the point from the plain call: a full block of copies of the point would take longer than all deltas."""


@dataclass(frozen=True)
class Deltas(Gradient):
    """The gradient from deltas, computed in whole blocks of items so that its bits do not depend on slices."""

    block: int = 256
    """Number of items per call; item n belongs to call n div block. The last block may be shorter."""
    prefix = "delta"

    def digest(self) -> bytes:
        return digest_of("deltas", {"sides": [stencil.describe() for stencil in self.stencils], "block": self.block})

    @property
    def loss_column(self) -> str:
        return "loss"

    def prepare(self, objective: Objective) -> Linearization:
        at_x = objective.evaluate_plainly(self.points.values, range(1))
        try:
            around = objective.around(self.points.point(0))
        except BaseException as error:  # recorded for each item, like any exception of the loss
            around = failure(error)
        return Linearization(objective, around, at_x)

    @property
    def preparation(self) -> bytes:
        return digest_of("around", {"x": self.center.digest})

    def evaluate(self, context: Any, items: range) -> Part:
        columns = {"coordinate": self.coordinates_of(items), "loss": np.full(len(items), np.nan)}
        columns |= {name: np.zeros(len(items)) for name in self.measured}
        if hasattr(context.around, KINKS):
            columns[KINKS] = np.zeros(len(items))  # NaN where an item is lost
        problems: Problems = []
        if len(items) and items.start == 0:
            columns["loss"][0] = context.at_x.losses[0]
            problems += context.at_x.problems
        for wanted in stretches(items, self.block, self.block):
            self._call(context, wanted, items.start, columns, problems)
        return self.part(items, columns, problems)

    def evaluations(self, items: range) -> int:
        return int(0 in items)

    def _call(
        self, context: Linearization, wanted: range, first: int, columns: dict[str, Array], problems: Problems
    ) -> None:
        """Compute the whole block that contains the wanted items, and store these from row wanted.start - first on."""
        low = wanted.start // self.block * self.block
        block = range(max(low, 1), min(low + self.block, 1 + self.center.size))
        stepping = range(max(wanted.start, 1), wanted.stop)
        if not stepping:
            return
        along = self.points.coordinates[block.start - 1 : block.stop - 1]
        steps = self.taken(along)
        coordinates = np.tile(along, len(steps))
        h = np.nan_to_num(np.concatenate(steps), nan=0.0, posinf=0.0, neginf=0.0)
        rows = slice(stepping.start - first, stepping.stop - first)
        around, run = context.around, context.objective.state.run
        try:
            if isinstance(around, BaseException):
                raise around
            deltas = as_batch(run(around.deltas, coordinates, h), len(h), "deltas").reshape(len(steps), -1)
            kinks = np.asarray(run(around.kinks, coordinates, h) if KINKS in columns else np.zeros(len(h), np.int64))
            kinks = kinks.reshape(len(steps), -1)[: len(self.scheme.offsets)].sum(axis=0)
        except BaseException as error:
            reported = failure(error) if not isinstance(error, NotANumber) else TypeError(str(error))
            # One call covers all of them, so the item at fault is unknown.
            problems += self.at_unknown_side([(RAISED, record_of(index, reported)) for index in stepping])
            for name in self.measured:
                columns[name][rows] = np.nan
            return
        places = slice(stepping.start - block.start, stepping.stop - block.start)
        for number, (name, found) in enumerate(zip(self.measured, deltas, strict=True)):
            columns[name][rows] = found[places]
            for row in np.flatnonzero(~np.isfinite(found[places])).tolist():
                message = f"the delta was {found[places][row]}"
                problems.append((NAN, Record(stepping[row], "float", message, "", side=number)))
        if KINKS in columns:
            columns[KINKS][rows] = kinks[places]

    def differences(self, columns: Mapping[str, Array]) -> tuple[float, Array, Array]:
        deltas = np.array([columns[name][1:] for name in self.measured])
        return float(columns["loss"][0]), deltas, ROUNDED * np.abs(deltas)


def deltas_of(by_losses: Gradient, block: int = 256) -> Deltas:
    """Make the gradient from structured differences at the same points as one from losses."""
    return Deltas(by_losses.stencils, by_losses.items, by_losses.scheme, by_losses.noise, block=block)


@dataclass(frozen=True)
class DeltasAgreement(Agreement):
    """A check that deltas and plain calls give the same losses; its items are coordinates, each on every side.

    Args:
        points: stencil of the method's first side, along the coordinates to compare.
        method: deltas along these coordinates.
    """

    method: Deltas = field(kw_only=True)
    fast_call = "deltas"

    def digest(self) -> bytes:
        return digest_of("deltas agreement", {"method": self.method.digest().hex()})

    def prepare(self, objective: Objective) -> Linearization:
        return self.method.prepare(objective)

    @property
    def preparation(self) -> bytes:
        return self.method.preparation

    @property
    def _sides(self) -> int:
        return len(self.method.stencils)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.method.point(1 + item // self._sides, item % self._sides)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.method.title(1 + item // self._sides, item % self._sides)

    def evaluate(self, context: Any, items: range) -> Part:
        objective: Objective = context.objective
        sides, at_x = self._sides, float(context.at_x.losses[0])
        coordinates = range(1 + items.start // sides, 1 + -(-items.stop // sides))
        rows = slice(items.start - sides * (coordinates.start - 1), items.stop - sides * (coordinates.start - 1))
        deltas = self.method.evaluate(context, coordinates)
        by_side = [objective.evaluate_plainly(stencil.values, coordinates) for stencil in self.method.stencils]
        fast, plain = Evaluation(items), Evaluation(items)
        fast.losses[:] = at_x + np.stack([deltas.columns[name] for name in self.method.measured], axis=1).ravel()[rows]
        plain.losses[:] = np.stack([found.losses for found in by_side], axis=1).ravel()[rows]
        # Without a step there is nothing to compare; the gradient itself flags the coordinate.
        stepless = {record.index for record in self.method.without_step(coordinates)}
        plain.losses[[row for row, item in enumerate(items) if 1 + item // sides in stepless]] = np.nan
        plain.problems += [
            (kind, replace(record, index=(record.index - 1) * sides + side))
            for side, found in enumerate(by_side)
            for kind, record in found.problems
        ]
        fast.problems += [
            (kind, replace(record, index=(record.index - 1) * sides + side, side=0))
            for kind, records in deltas.failures.records.items()
            for record in records
            for side in (range(sides) if record.side is None else [record.side])
        ]
        # A long step may end where the loss, and with it the rounding, is much larger than at x.
        largest = np.maximum(np.abs(plain.losses), abs(at_x))
        allowed = np.array([objective.allowed_difference(loss, double=True) for loss in largest.tolist()])
        part = compared(items, fast, plain, allowed)
        return replace(part, columns={**part.columns, "at_x": np.full(len(items), at_x)})

    def evaluations(self, items: range) -> int:
        return len(items)

    def failed_part(self, items: range, problems: Problems) -> Part:
        part = super().failed_part(items, problems)
        return replace(part, columns={**part.columns, "at_x": np.full(len(items), np.nan)})

    def conclusive(self, whole: Part) -> bool:
        """Return whether some plain difference on every side is above rounding: else its delta may have any value."""
        columns = whole.columns
        with np.errstate(invalid="ignore"):
            clear = np.abs(columns["plain"] - columns["at_x"]) > 2 * columns["allowed"]
        return all(clear[side :: self._sides].any() for side in range(self._sides))
