"""Agreement: items evaluated by the batch and by the plain call, which must give the same loss.

A fast step of the ladder that differs from the plain loss is the user's bug that no one would ever see; so once a sweep
two items pay for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import NOTHING, AllItems, Points, digest_of
from optitrip.core.part import Part, adjacent, placed
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation


@dataclass(frozen=True)
class Disagreement:
    """An item whose two losses differ by more than is allowed."""

    index: int
    batched: float
    plain: float
    allowed: float


@dataclass(frozen=True, eq=False)
class AgreementResult:
    disagreements: tuple[Disagreement, ...]
    failures: Failures


@dataclass(frozen=True)
class Agreement:
    """The first `items` of some points, both ways."""

    points: Points
    items: int = 2
    kind: str = "agreement"
    main: bool = False
    retried: bool = False
    required_prefix: int = 0
    block: int = 0

    def sides(self, item: int) -> int:
        return self.points.sides(item)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.points.point(item, side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.points.title(item, side)

    def stop_rule(self) -> AllItems:
        return AllItems(self.items)

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def prepare(self, objective: Objective) -> Any:
        return objective

    @property
    def preparation(self) -> bytes:
        return NOTHING

    def evaluate(self, context: Any, items: range) -> Part:
        in_batch = context.evaluate(self.points.values, items)
        one_by_one = context.evaluate_plainly(self.points.values, items)
        allowed = [
            context.allowed_difference(loss, double=in_batch.double) if np.isfinite(loss) else 0.0
            for loss in one_by_one.losses.tolist()
        ]
        return compared(items, in_batch, one_by_one, np.array(allowed))

    def failed_part(self, items: range, problems: Problems) -> Part:
        nothing = Evaluation(items, problems=problems)
        return compared(items, nothing, nothing, np.zeros(len(items)))

    def merge(self, *parts: Part) -> Part:
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
        return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        return placed(whole, retried)

    def result(self, whole: Part) -> AgreementResult:
        rows = zip(*(whole.columns[name].tolist() for name in ("batched", "plain", "allowed")), strict=True)
        found = [
            Disagreement(index, batched, plain, allowed)
            for index, (batched, plain, allowed) in zip(whole.items, rows, strict=True)
            if not agree(batched, plain, allowed)
        ]
        return AgreementResult(tuple(found), whole.failures)


def compared(items: range, fast: Evaluation, plain: Evaluation, allowed: Array) -> Part:
    """What fails both ways is the next stage's to record; what fails one way only is told here."""
    ours = {items[row] for row in np.flatnonzero(np.isfinite(fast.losses) != np.isfinite(plain.losses)).tolist()}
    found = [(kind, record) for way in (fast, plain) for kind, record in way.problems if record.index in ours]
    failures = Failures.of({record.index: kind for kind, record in found}, found)
    return Part(items, {"batched": fast.losses, "plain": plain.losses, "allowed": allowed}, failures)


def agree(batched: float, plain: float, allowed: float) -> bool:
    """Whether two losses are as near as is allowed; two that are NaN, or the same infinity, agree."""
    return bool(np.isclose(batched, plain, rtol=0, atol=allowed, equal_nan=True))
