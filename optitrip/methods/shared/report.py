"""Report: what the objective says of one point beside its loss. A stage of one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import RAISED, Failures, Problems
from optitrip.core.method import Points, digest_of
from optitrip.core.part import Part
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation
from optitrip.methods.shared.base import PointMethod
from optitrip.runtime.tracebacks import record_of


@dataclass(frozen=True, eq=False)
class ReportResult:
    values: Mapping[str, Array]
    """Figures without axes by name, or a gradient in the shapes of the variables; float64."""
    failures: Failures

    @property
    def figures(self) -> dict[str, float]:
        """The values without axes."""
        return {name: float(value) for name, value in self.values.items() if not value.ndim}


@dataclass(frozen=True)
class Report(PointMethod[Points]):
    """The figures, e.g. accuracy, or the analytic gradient, of the point of this index."""

    points: Points
    index: int
    gradient_by: tuple[str, ...] = ()
    """The variables of a gradient; without them, the figures."""
    kind = "report"
    items = 1

    def point_index(self, item: int) -> int:
        return self.index

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe(), "index": self.index, "by": self.gradient_by})

    def evaluate(self, context: Objective, items: range) -> Part:
        point = self.point(items.start)
        try:
            report = context.gradient(point, self.gradient_by) if self.gradient_by else context.report(point)
        except (Exception, SystemExit) as error:
            return self.failed_part(items, [(RAISED, record_of(items.start, error))])
        return Part(items, {name: np.asarray(value, np.float64) for name, value in report.items()})

    def failed_part(self, items: range, problems: Problems) -> Part:
        return Part(items, {}, Evaluation(items, problems=problems).failures)

    def result(self, whole: Part) -> ReportResult:
        return ReportResult(dict(whole.columns), whole.failures)
