"""Report: what the objective says of one point beside its loss. A stage of one item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import RAISED, Failures, Problems
from optitrip.core.method import NOTHING, AllItems, Points, digest_of
from optitrip.core.part import Part
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation
from optitrip.runtime.tracebacks import record_of


@dataclass(frozen=True, eq=False)
class ReportResult:
    values: Mapping[str, Array]
    """By name: figures without axes, or a gradient in the shapes of the variables; float64."""
    failures: Failures

    @property
    def figures(self) -> dict[str, float]:
        """What has no axes."""
        return {name: float(value) for name, value in self.values.items() if not value.ndim}


@dataclass(frozen=True)
class Report:
    """The figures, e.g. accuracy, or the analytic gradient, of the point of this index."""

    points: Points
    index: int
    gradient_by: tuple[str, ...] = ()
    """The variables of a gradient; without them, the figures."""
    items: int = 1
    kind: str = "report"
    main: bool = False
    retried: bool = False
    required_prefix: int = 0
    block: int = 0

    def sides(self, item: int) -> int:
        del item  # there is but one
        return self.points.sides(self.index)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        del item
        return self.points.point(self.index, side)

    def title(self, item: int, side: int | None = 0) -> str:
        del item
        return self.points.title(self.index, side)

    def stop_rule(self) -> AllItems:
        return AllItems(self.items)

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe(), "index": self.index, "by": self.gradient_by})

    def prepare(self, objective: Objective) -> Objective:
        return objective

    @property
    def preparation(self) -> bytes:
        return NOTHING

    def evaluate(self, context: Objective, items: range) -> Part:
        point = self.point(items.start)
        try:
            said = context.gradient(point, self.gradient_by) if self.gradient_by else context.report(point)
        except (Exception, SystemExit) as error:
            return Part(items, {}, Failures.of({items.start: RAISED}, [(RAISED, record_of(items.start, error))]))
        return Part(items, {name: np.asarray(value, np.float64) for name, value in said.items()})

    def failed_part(self, items: range, problems: Problems) -> Part:
        return Part(items, {}, Evaluation(items, problems=problems).failures)

    def merge(self, *parts: Part) -> Part:
        raise ValueError(
            f"a report has one item, so {', '.join(str(part.items) for part in parts)} cannot be its parts"
        )

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        return retried[0] if retried else whole  # there is but one item

    def result(self, whole: Part) -> ReportResult:
        return ReportResult(dict(whole.columns), whole.failures)
