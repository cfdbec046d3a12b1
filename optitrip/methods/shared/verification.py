"""Verification: the losses of chosen candidates, by the objective itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.methods.shared.base import PointMethod
from optitrip.space.candidates import Candidates


@dataclass(frozen=True)
class CandidateSubset:
    """Some candidates of a search as points of their own."""

    candidates: Candidates
    indices: tuple[int, ...]

    def values(self, items: range) -> dict[str, Array]:
        points = [self.point(item) for item in items]
        values = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
        for column in values.values():
            column.flags.writeable = False
        return values

    def sides(self, item: int) -> int:
        return self.candidates.sides(self.indices[item])

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.candidates.point(self.indices[item], side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.candidates.title(self.indices[item], side)

    def describe(self) -> dict[str, Any]:
        return {"draws": self.candidates.describe(), "candidates": list(self.indices)}


@dataclass(frozen=True, eq=False)
class VerificationResult:
    losses: Array
    """Losses of the chosen candidates, float64; NaN where one failed."""
    named: Mapping[str, Array]
    """The other numbers of the objective by name, beside `losses`."""
    failures: Failures


@dataclass(frozen=True)
class Verification(PointMethod[CandidateSubset]):
    """The losses of chosen candidates."""

    points: CandidateSubset
    kind = "verification"
    retried = True

    @property
    def items(self) -> int:
        return len(self.points.indices)

    def digest(self) -> bytes:
        return digest_of(self.kind, self.points.describe())

    def result(self, whole: Part) -> VerificationResult:
        columns = dict(whole.columns)
        return VerificationResult(columns.pop("loss"), columns, whole.failures)
