"""The main stage of a descent: what another method computes at x, as one step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optitrip.core.arrays import Array
from optitrip.core.failures import Problems
from optitrip.core.method import Method, StopRule, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.methods.shared import MethodBase


@dataclass(frozen=True)
class Step(MethodBase):
    """The stage that computes the slope at x for one step.

    Args:
        inner: the stage of another method; its item 0 is f(x), in the column `loss_column`.
        number: number of the step, from 0.
        loss_column: column of the losses at x.
        center: x.
    """

    inner: Method
    number: int
    loss_column: str
    center: Point
    kind = "descent"
    main = True
    retried = True
    joins = True

    @property
    def items(self) -> int:
        return self.inner.items

    @property
    def before(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.number

    @property
    def required_prefix(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        # Without a loss at a later point, the best before it is the answer.
        return 0 if self.number else self.inner.required_prefix

    @property
    def block(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.block

    @property
    def preparation(self) -> bytes:
        return self.inner.preparation

    def loss_in(self, part: Part) -> float | None:
        """Return the loss at x if a part holds it."""
        column = part.columns.get(self.loss_column)
        return float(column[0]) if column is not None and not part.items.start and len(column) else None

    def stop_rule(self) -> StopRule:
        return self.inner.stop_rule()

    def digest(self) -> bytes:
        return digest_of(self.kind, {"step": self.inner.digest().hex()})

    def prepare(self, objective: Any) -> Any:
        return self.inner.prepare(objective)

    def evaluate(self, context: Any, items: range) -> Part:
        return self.inner.evaluate(context, items)

    def evaluations(self, items: range) -> int:
        return self.inner.evaluations(items)

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self.inner.failed_part(items, problems)

    def merge(self, *parts: Part) -> Part:
        return self.inner.merge(*parts)

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        return self.inner.replaced(whole, retried)

    def witness(self, part: Part) -> tuple[int, float] | None:
        return self.inner.witness(part) if not self.number else None  # one step shows what another node computes

    def result(self, whole: Part) -> Any:
        return self.inner.result(whole)

    def sides(self, item: int) -> int:
        return self.inner.sides(item)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.inner.point(item, side)

    def title(self, item: int, side: int | None = 0) -> str:
        return f"step {self.number}: {self.inner.title(item, side)}"
