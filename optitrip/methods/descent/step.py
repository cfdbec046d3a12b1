"""The main stage of a descent: what another method computes at x, as one step."""

from dataclasses import dataclass

from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.methods.wrapped import Wrapped


@dataclass(frozen=True)
class Step(Wrapped):
    """The stage that computes the slope at x for one step.

    Args:
        inner: the stage of another method; its item 0 is f(x), in the column `loss_column`.
        number: number of the step, from 0.
        loss_column: column of the losses at x.
        center: x.
        begun: number of steps of the descents before this one.
    """

    number: int
    loss_column: str
    center: Point
    begun: int = 0
    kind = "descent"
    main = True
    retried = True
    joins = True

    @property
    def before(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.begun + self.number

    @property
    def required_prefix(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        # Without a loss at a later point, the best before it is the answer.
        return 0 if self.number else self.inner.required_prefix

    def loss_in(self, part: Part) -> float | None:
        """Return the loss at x if a part holds it."""
        column = part.columns.get(self.loss_column)
        return float(column[0]) if column is not None and not part.items.start and len(column) else None

    def witness(self, part: Part) -> tuple[int, float] | None:
        return self.inner.witness(part) if not self.number else None  # one step shows what another node computes

    def title(self, item: int, side: int | None = 0) -> str:
        return f"step {self.number}: {self.inner.title(item, side)}"
