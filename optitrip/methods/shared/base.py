"""Base classes of methods: the answers to the protocol `Method` that most of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from optitrip.core.arrays import Array, joined, overwritten
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import Items, Method, Points, StopRule
from optitrip.core.part import Part, adjacent, failures_replaced
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation

P = TypeVar("P", bound=Points)


class MethodBase:
    """A method that evaluates every item by the objective itself and keeps one entry an item in each column.

    A subclass is a frozen dataclass with `kind` and `items`; the values below suit a stage that only serves another.
    """

    kind: str
    main: bool = False
    retried: bool = False
    required_prefix: int = 0
    block: int = 0
    common_column: str = "loss"
    """A column that every part has; others may be missing where all items of a part failed."""

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
        sides = [part.columns for part in (whole, *retried)]
        columns = overwritten(sides, len(whole.items), places, self.common_column, "")
        return Part(whole.items, columns, failures_replaced(whole, retried))


class PointMethod(MethodBase, Generic[P]):
    """A method whose items are points, one each; it keeps all numbers of their evaluation unless `part` selects."""

    points: P

    def point_index(self, item: int) -> int:
        """Return which of the points an item is."""
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
        """Return what the journal stores of an evaluation."""
        return Part(evaluation.items, {**evaluation.columns, "loss": evaluation.losses}, evaluation.failures)


def joined_part(parts: Sequence[Part], columns: Mapping[str, Array]) -> Part:
    """Return adjacent parts as one with these columns."""
    return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))


def no_answer(reason: str, failures: Failures, items: Items) -> NoAnswer:
    """Return the error of a stage without a usable item, with the number of failures of each kind."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in failures.counts().items())
    return NoAnswer(f"{reason}: {counts}", failures, items)
