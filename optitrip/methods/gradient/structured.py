"""Gradient by deltas: an objective that knows its own structure gives the differences, without cancellation.

`around(**x)` is made once a worker; its `deltas(coordinates, steps)` are f(x + h e_i) - f(x) for many coordinates at
once. The quotients, their steps and their flags are those of the gradient by losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import NAN, RAISED, Problems, Record
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation, NotANumber, batch
from optitrip.methods.gradient.method import KINKS, Gradient
from optitrip.methods.shared.consistency import Agreement, compared
from optitrip.runtime.tracebacks import record_of

DELTA = {1: "delta_up", -1: "delta_down"}


@dataclass(frozen=True, eq=False)
class Around:
    """An objective, and what it made of itself around one point."""

    objective: Objective
    made: Any
    at_x: Evaluation
    """The loss at the point, by the plain call: a block of copies of it would take longer than all deltas."""


@dataclass(frozen=True)
class Deltas(Gradient):
    """The gradient by deltas; they are asked for in whole blocks of items, so that their bits do not depend on slices.

    Args:
        block: items a call; item n belongs to call n div block. The last call is as short as the point makes it.
    """

    block: int = 256

    def digest(self) -> bytes:
        return digest_of("deltas", {"sides": [side.describe() for side in self.neighbours], "block": self.block})

    @property
    def first_loss(self) -> str:
        return "loss"

    def prepare(self, objective: Objective) -> Around:
        at_x = objective.evaluate_plainly(self.points.values, range(1))
        try:
            made = objective.around(self.points.point(0))
        except (Exception, SystemExit) as error:  # recorded where deltas are wanted, as any exception of the loss
            made = error
        return Around(objective, made, at_x)

    @property
    def preparation(self) -> bytes:
        return digest_of("around", {"x": self.center.digest})

    def evaluate(self, context: Any, items: range) -> Part:
        stuck = self.stuck(items)
        along = self.along(items)
        columns = {"coordinate": along, "loss": np.full(len(items), np.nan)}
        columns |= {DELTA[side.side]: np.zeros(len(items)) for side in self.neighbours}
        if hasattr(context.made, KINKS):
            columns[KINKS] = np.zeros(len(items))  # NaN where an item is lost
        problems: Problems = []
        if len(items) and items.start == 0:
            columns["loss"][0] = context.at_x.losses[0]
            problems += context.at_x.problems
        start = items.start
        while start < items.stop:
            stop = min(items.stop, (start // self.block + 1) * self.block)
            self._call(context.made, range(start, stop), items.start, columns, problems)
            start = stop
        return self.part(items, columns, [DELTA[side.side] for side in self.neighbours], stuck, problems)

    def failed_part(self, items: range, problems: Problems) -> Part:
        nothing = {DELTA[side.side]: np.full(len(items), np.nan) for side in self.neighbours}
        columns = {"coordinate": self.along(items), "loss": np.full(len(items), np.nan), **nothing}
        return self.part(items, columns, list(nothing), self.stuck(items), self.at_any_side(problems))

    def _call(self, made: Any, wanted: range, first: int, columns: dict[str, Array], problems: Problems) -> None:
        """One call for the whole block around the wanted items, which begin at row wanted.start - first."""
        low = wanted.start // self.block * self.block
        whole = range(max(low, 1), min(low + self.block, 1 + self.center.size))
        asked = range(max(wanted.start, 1), wanted.stop)
        if not asked:
            return
        along = self.points.coordinates[whole.start - 1 : whole.stop - 1]
        x = self.center.entries(along)
        steps = [side.entries(along) - x for side in self.neighbours]
        coordinates = np.tile(along, len(steps))
        h = np.nan_to_num(np.concatenate(steps), nan=0.0, posinf=0.0, neginf=0.0)
        rows = slice(asked.start - first, asked.stop - first)
        try:
            if isinstance(made, BaseException):
                raise made
            deltas = batch(made.deltas(coordinates, h), len(h), "deltas").reshape(len(steps), -1)
            kinks = np.asarray(made.kinks(coordinates, h) if KINKS in columns else np.zeros(len(h), np.int64))
            kinks = kinks.reshape(len(steps), -1).sum(axis=0)
        except (Exception, SystemExit) as error:
            shown = error if not isinstance(error, NotANumber) else TypeError(str(error))
            # One call is for all of them, so none is known to be at fault.
            problems += self.at_any_side([(RAISED, record_of(index, shown)) for index in asked])
            for side in self.neighbours:
                columns[DELTA[side.side]][rows] = np.nan
            return
        places = slice(asked.start - whole.start, asked.stop - whole.start)
        for number, (side, found) in enumerate(zip(self.neighbours, deltas, strict=True)):
            columns[DELTA[side.side]][rows] = found[places]
            for row in np.flatnonzero(~np.isfinite(found[places])).tolist():
                said = f"the delta was {found[places][row]}"
                problems.append((NAN, Record(asked[row], "float", said, "", side=number)))
        if KINKS in columns:
            columns[KINKS][rows] = kinks[places]

    def differences(self, columns: Mapping[str, Array]) -> tuple[float, Array, dict[int, Array]]:
        at_x = float(columns["loss"][0])
        deltas = {side.side: columns[DELTA[side.side]][1:] for side in self.neighbours}
        losses = {side: at_x + delta for side, delta in deltas.items()}
        return at_x, np.subtract(deltas.get(1, 0.0), deltas.get(-1, 0.0)), losses


@dataclass(frozen=True)
class DeltasAgreement(Agreement):
    """The first coordinates by deltas and by plain calls, which must give the same losses."""

    method: Deltas | None = None

    def digest(self) -> bytes:
        assert self.method is not None
        return digest_of("deltas agreement", {"method": self.method.digest().hex()})

    def prepare(self, objective: Objective) -> Any:
        assert self.method is not None
        return self.method.prepare(objective)

    @property
    def preparation(self) -> bytes:
        assert self.method is not None
        return self.method.preparation

    def evaluate(self, context: Any, items: range) -> Part:
        assert self.method is not None
        objective: Objective = context.objective
        by_deltas = self.method.evaluate(context, items)
        plain = objective.evaluate_plainly(self.points.values, items)
        # Without a step there is nothing to compare; the gradient itself flags it.
        plain.losses[[record.index - items.start for record in self.method.stuck(items)]] = np.nan
        at_x = float(context.at_x.losses[0])
        delta = by_deltas.columns[DELTA[self.method.neighbours[0].side]]
        # Only the first side is compared here.
        problems = [
            (kind, r) for kind, records in by_deltas.failures.records.items() for r in records if r.side in (0, None)
        ]
        fast = Evaluation(items, {"loss": at_x + delta}, problems=problems)
        return compared(items, fast, plain, np.full(len(items), objective.allowed_of_deltas(at_x)))
