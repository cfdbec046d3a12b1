"""The main stage of a descent: what another method computes at x, as one step."""

from dataclasses import dataclass
from typing import Any, Protocol

from optitrip.core.arrays import Array
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.loss.objective import Objective
from optitrip.methods.wrapped import Wrapped


class Rows(Protocol):
    """Chooses rows of the data of a loss; frozen and pure."""

    def rows(self, samples: int) -> Array:
        """Return the numbers of the chosen rows, int64, of data with so many rows."""
        ...


@dataclass(frozen=True)
class Step(Wrapped):
    """The stage that computes the slope at x for one step.

    Args:
        inner: the stage of another method; its item 0 is f(x), in the column `loss_column`.
        number: number of the step, from 0.
        loss_column: column of the losses at x.
        center: x.
        begun: number of steps of the descents before this one.
        rows: rows of the data on which losses are computed; None for all.
    """

    number: int
    loss_column: str
    center: Point
    begun: int = 0
    rows: Rows | None = None
    kind = "descent"
    main = True
    retried = True
    joins = True

    def digest(self) -> bytes:
        whole = super().digest()
        return whole if self.rows is None else digest_of(self.kind, {"of": whole.hex(), "rows": repr(self.rows)})

    @property
    def preparation(self) -> bytes:
        return super().preparation + (b"" if self.rows is None else repr(self.rows).encode())

    def prepare(self, objective: Objective) -> Any:
        if self.rows is not None:
            objective = objective.subset(self.rows.rows(objective.capabilities.samples))
        return super().prepare(objective)

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
