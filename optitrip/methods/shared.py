"""Base classes of methods and the stages that several of them use: agreement and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from optitrip.core.arrays import Array, joined, overwritten
from optitrip.core.failures import RAISED, Failures, Problems
from optitrip.core.method import Items, Method, Points, Route, StopRule, digest_of
from optitrip.core.part import Part, adjacent, failures_replaced
from optitrip.errors import NoAnswer
from optitrip.loss.evaluation import Evaluation
from optitrip.loss.objective import Objective
from optitrip.runtime.tracebacks import record_of

P = TypeVar("P", bound=Points)


class MethodBase:
    """A method that evaluates every item with the objective itself and has one entry per item in each column.

    A subclass is a frozen dataclass with `kind` and `items`; the defaults below suit an auxiliary stage.
    """

    kind: str
    main: bool = False
    retried: bool = False
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
        return self.part(context.evaluate(self.values, items))

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self.part(Evaluation(items, problems=problems))

    def part(self, evaluation: Evaluation) -> Part:
        """Select the columns that the journal stores."""
        return Part(evaluation.items, {**evaluation.columns, "loss": evaluation.losses}, evaluation.failures)


def joined_part(parts: Sequence[Part], columns: Mapping[str, Array]) -> Part:
    return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))


def no_answer(reason: str, failures: Failures, items: Items) -> NoAnswer:
    """Return the error for a stage without a usable item, with the number of failures of each kind."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in failures.counts().items())
    return NoAnswer(f"{reason}: {counts}", failures, items)


@dataclass(frozen=True)
class Agreement(PointMethod[Points]):
    """A check that the fast call and the plain call give the same loss for the first `items` points.

    If a fast call (a batch, a structured difference) does not match the plain loss, the user's code has a bug that
    would otherwise go unnoticed; so once per sweep a few items are evaluated both ways. The result describes the first
    disagreement; it is empty if all agree.
    """

    points: Points
    items: int = 2
    kind = "agreement"
    fast_call = "losses"
    common_column = "batched"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

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

    def result(self, whole: Part) -> str:
        fast, plain, allowed = (whole.columns[name] for name in ("batched", "plain", "allowed"))
        # Two losses that are NaN, or the same infinity, agree.
        wrong = np.flatnonzero(~np.isclose(fast, plain, rtol=0, atol=allowed, equal_nan=True))
        if not len(wrong):
            return ""
        row = int(wrong[0])
        first = whole.failures.first()
        why = f"\n{first[1].traceback or first[1].message}" if first else ""
        return (
            f"{self.title(whole.items[row])}: {self.fast_call} gives {float(fast[row])!r} where the plain call gives "
            f"{float(plain[row])!r}; they may differ by {allowed[row]:.3g}. Correct one of them, or give the objective "
            f"a relative `tolerance`.{why}"
        )


def compared(items: range, fast: Evaluation, plain: Evaluation, allowed: Array) -> Part:
    """Return both losses of each item; the next stage records an item that fails both ways."""
    one_way = {items[row] for row in np.flatnonzero(np.isfinite(fast.losses) != np.isfinite(plain.losses)).tolist()}
    found = [(kind, record) for way in (fast, plain) for kind, record in way.problems if record.index in one_way]
    failures = Failures.of({record.index: kind for kind, record in found}, found)
    return Part(items, {"batched": fast.losses, "plain": plain.losses, "allowed": allowed}, failures)


def check_agreement(method: Agreement) -> Route:
    """Yield the agreement stage; raise NoAnswer with both losses unless the fast and the plain call agree."""
    disagreement: str = yield method
    if disagreement:
        raise NoAnswer(disagreement)


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
        except (Exception, SystemExit) as error:
            return self.failed_part(items, [(RAISED, record_of(items.start, error))])
        return Part(items, {name: np.asarray(value, np.float64) for name, value in report.items()})

    def failed_part(self, items: range, problems: Problems) -> Part:
        return Part(items, {}, Evaluation(items, problems=problems).failures)

    def result(self, whole: Part) -> ReportResult:
        return ReportResult(dict(whole.columns), whole.failures)
