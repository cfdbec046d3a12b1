"""Base classes of methods, and a stage that several of them use: the report on one point."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from optitrip.core.arrays import Array, joined, overwritten
from optitrip.core.failures import RAISED, Failures, Problems
from optitrip.core.method import Items, Method, Points, StopRule, digest_of
from optitrip.core.part import Part, adjacent, failures_replaced
from optitrip.errors import NoAnswer
from optitrip.loss.evaluation import Evaluation
from optitrip.loss.objective import Objective
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import record_of

P = TypeVar("P", bound=Points)


class MethodBase:
    """A method that evaluates every item with the objective itself and has one entry per item in each column.

    A subclass is a frozen dataclass with `kind` and `items`; the defaults below suit an auxiliary stage.
    """

    kind: str
    main: bool = False
    retried: bool = False
    optional: bool = False
    only_stored: bool = False
    joins: bool = False
    before: int = 0
    required_prefix: int = 0
    block: int = 0
    common_column: str = "loss"
    """Column that every part has; others may be missing where all items of a part failed."""

    def stop_rule(self: Method) -> StopRule:
        return StopRule(self.items)

    def prepare(self, objective: Objective) -> Any:
        return objective

    @property
    def preparation(self) -> bytes:
        return b""

    def evaluations(self, items: range) -> int:
        return len(items)

    def witness(self, part: Part) -> tuple[int, float] | None:
        del part
        return None

    def merge(self, *parts: Part) -> Part:
        return joined_part(parts, joined([part.columns for part in parts], self.common_column, ""))

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        base = whole.items.start
        places = [slice(part.items.start - base, part.items.stop - base) for part in retried]
        tables = [part.columns for part in (whole, *retried)]
        columns = overwritten(tables, len(whole.items), places, self.common_column, "")
        return Part(whole.items, columns, failures_replaced(whole, retried))


class PointMethod(MethodBase, Generic[P]):
    """A method with one point per item; it stores every number of their evaluation, unless `part` is overridden."""

    points: P

    def point_index(self, item: int) -> int:
        return item

    def sides(self, item: int) -> int:
        return self.points.sides(self.point_index(item))

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.points.point(self.point_index(item), side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.points.title(self.point_index(item), side)

    def values(self, items: range) -> dict[str, Array]:
        return self.points.values(items)

    def evaluate(self, context: Any, items: range) -> Part:
        return self.part(context.evaluate(self.values, items, *constraints(self.points)))

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self.part(Evaluation(items, problems=problems))

    def part(self, evaluation: Evaluation) -> Part:
        """Select the columns that the journal stores."""
        return Part(evaluation.items, {**evaluation.columns, "loss": evaluation.losses}, evaluation.failures)


def constraints(points: Points) -> tuple[Callable[..., Array], ...]:
    """Return the further argument of an evaluation of points that may be infeasible; nothing for others."""
    return (points.feasible,) if points.constrained else ()


def joined_part(parts: Sequence[Part], columns: Mapping[str, Array]) -> Part:
    return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))


def no_answer(reason: str, failures: Failures, items: Items) -> NoAnswer:
    """Return the error for a stage without a usable item, with the number of failures of each kind."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in failures.counts().items())
    return NoAnswer(f"{reason}: {counts}" if counts else reason, failures, items)


@dataclass(frozen=True, eq=False)
class ReportResult:
    values: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """Scalar figures by name, or a gradient in the shapes of the variables; float64."""
    failures: Failures = field(default_factory=Failures)

    @property
    def figures(self) -> dict[str, float]:
        """Scalar values by name."""
        return {name: float(value) for name, value in self.values.items() if not value.ndim}


@dataclass(frozen=True)
class Report(PointMethod[Points]):
    """A stage of one item: further figures, or the analytic gradient, that the objective reports for one point."""

    points: Points
    index: int
    gradient_by: tuple[str, ...] = ()
    """Variables of the analytic gradient; if empty, figures such as accuracy are reported instead."""
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
        except BaseException as error:
            return self.failed_part(items, [(RAISED, record_of(items.start, failure(error)))])
        return Part(items, {name: np.asarray(value, np.float64) for name, value in report.items()})

    def failed_part(self, items: range, problems: Problems) -> Part:
        return Part(items, {}, Evaluation(items, problems=problems).failures)

    def evaluations(self, items: range) -> int:
        return 0

    def result(self, whole: Part) -> ReportResult:
        return ReportResult(dict(whole.columns), whole.failures)


@dataclass(frozen=True)
class LossAtX(PointMethod[Points]):
    """The loss at the first point; the result is the loss."""

    points: Points
    joins: bool = False
    items = 1
    kind = "loss at x"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def result(self, whole: Part) -> float:
        return float(whole.columns["loss"][0])
