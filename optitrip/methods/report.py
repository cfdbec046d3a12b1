"""Report: the objective's extra figures, e.g. accuracy, of one candidate. A stage of one item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optitrip.methods.draws import Draws, digest_of
from optitrip.objective import Objective
from optitrip.part import RAISED, Array, Failures, Part
from optitrip.returned import recorded


@dataclass(frozen=True, eq=False)
class ReportResult:
    figures: dict[str, float]
    failures: Failures


@dataclass(frozen=True)
class Report:
    """The figures of the candidate of this index."""

    draws: Draws
    candidate: int
    items: int = 1
    kind: str = "report"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"draws": self.draws.describe(), "candidate": self.candidate})

    def prepare(self, objective: Objective) -> Objective:
        return objective

    def evaluate(self, context: Objective, items: range) -> Part:
        columns: dict[str, Array] = {}
        try:
            figures = context.report(self.draws.point(self.candidate))
        except (Exception, SystemExit) as error:
            kind = {items.start: RAISED}
            return Part(items, columns, Failures.of(kind, [(RAISED, recorded(items.start, error))]))
        columns = {name: np.array([value]) for name, value in figures.items()}
        return Part(items, columns)

    def merge(self, left: Part, right: Part) -> Part:
        raise ValueError(f"a report has one item, so {left.items} and {right.items} cannot both be its parts")

    def result(self, whole: Part) -> ReportResult:
        return ReportResult({name: float(column[0]) for name, column in whole.columns.items()}, whole.failures)
