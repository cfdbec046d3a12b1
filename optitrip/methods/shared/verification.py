"""Verification: the losses of chosen candidates, by the objective itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, joined
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import NOTHING, AllItems, digest_of
from optitrip.core.part import Part, adjacent, placed
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation
from optitrip.space.candidates import Candidates


@dataclass(frozen=True)
class CandidateSubset:
    """Some candidates of a search as points of their own."""

    draws: Candidates
    candidates: tuple[int, ...]

    def values(self, items: range) -> dict[str, Array]:
        points = [self.draws.point(self.candidates[item]) for item in items]
        values = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
        for column in values.values():
            column.flags.writeable = False
        return values

    def sides(self, item: int) -> int:
        return self.draws.sides(self.candidates[item])

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.draws.point(self.candidates[item], side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.draws.title(self.candidates[item], side)

    def describe(self) -> dict[str, Any]:
        return {"draws": self.draws.describe(), "candidates": list(self.candidates)}


@dataclass(frozen=True, eq=False)
class VerificationResult:
    losses: Array
    """Of each chosen candidate; NaN where it failed."""
    named: Mapping[str, Array]
    """The other numbers of the objective by name, beside `losses`."""
    failures: Failures


@dataclass(frozen=True)
class Verification:
    """The losses of chosen candidates."""

    points: CandidateSubset
    kind: str = "verification"
    main: bool = False
    retried: bool = True
    required_prefix: int = 0
    block: int = 0

    @property
    def items(self) -> int:
        return len(self.points.candidates)

    def sides(self, item: int) -> int:
        return self.points.sides(item)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.points.point(item, side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.points.title(item, side)

    def stop_rule(self) -> AllItems:
        return AllItems(self.items)

    def digest(self) -> bytes:
        return digest_of(self.kind, self.points.describe())

    def prepare(self, objective: Objective) -> Objective:
        return objective

    @property
    def preparation(self) -> bytes:
        return NOTHING

    def evaluate(self, context: Objective, items: range) -> Part:
        return self._part(context.evaluate(self.points.values, items))

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self._part(Evaluation(items, problems=problems))

    def _part(self, found: Evaluation) -> Part:
        return Part(found.items, dict(found.columns) | {"loss": found.losses}, found.failures)

    def merge(self, *parts: Part) -> Part:
        columns = joined([part.columns for part in parts], "loss", "")
        return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        return placed(whole, retried)

    def result(self, whole: Part) -> VerificationResult:
        columns = dict(whole.columns)
        return VerificationResult(columns.pop("loss"), columns, whole.failures)
