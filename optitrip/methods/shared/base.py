"""Base classes of methods: the answers to the protocol `Method` that most of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from optitrip.core.arrays import Array, joined
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import NOTHING, AllItems, Method, Points, StopRule
from optitrip.core.part import Part, adjacent, placed
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
        return AllItems(self.items)

    def prepare(self, objective: Objective) -> Any:
        return objective

    @property
    def preparation(self) -> bytes:
        return NOTHING

    def merge(self, *parts: Part) -> Part:
        return joined_part(parts, joined([part.columns for part in parts], self.common_column, ""))

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        return placed(whole, retried)


class PointMethod(MethodBase, Generic[P]):
    """A method whose items are points, one each; it keeps all numbers of their evaluation unless `part` selects."""

    points: P

    def sides(self, item: int) -> int:
        return self.points.sides(item)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.points.point(item, side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.points.title(item, side)

    def evaluate(self, context: Any, items: range) -> Part:
        return self.part(context.evaluate(self.points.values, items))

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self.part(Evaluation(items, problems=problems))

    def part(self, evaluation: Evaluation) -> Part:
        """Return what the journal stores of an evaluation."""
        return Part(evaluation.items, {**evaluation.columns, "loss": evaluation.losses}, evaluation.failures)


def joined_part(parts: Sequence[Part], columns: Mapping[str, Array]) -> Part:
    """Return adjacent parts as one with these columns."""
    return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))
