"""Turns what an objective returned into losses and failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import INFINITE, INVALID, NAN, RAISED, Failures, Problems, Record
from optitrip.runtime.tracebacks import record_of


class NotANumber(TypeError):
    """The objective returned something that is not a loss."""


@dataclass(eq=False)
class Evaluation:
    """The outcome of a range of items, filled in while they are evaluated."""

    items: range
    columns: dict[str, Array] = field(default_factory=dict[str, Array])
    """`loss`, and the other numbers by name; float64 of shape (len(items),), NaN where there is none."""
    double: bool = True
    """True if all batches returned their losses in float64."""
    problems: Problems = field(default_factory=list[tuple[str, Record]])
    """Kind and record of each failed item."""

    @cached_property
    def losses(self) -> Array:
        return self.column("loss")

    @property
    def extras(self) -> dict[str, Array]:
        """The numbers that the objective returned beside its losses, by name."""
        return {name: column for name, column in self.columns.items() if name != "loss"}

    @property
    def failures(self) -> Failures:
        return Failures.of({record.index: kind for kind, record in self.problems}, self.problems)

    def column(self, name: str) -> Array:
        if name not in self.columns:
            self.columns[name] = np.full(len(self.items), np.nan)
        return self.columns[name]

    def store(self, row: int, returned: Any) -> None:
        """Store what a plain call returned. Raises NotANumber if it is neither a number nor a dict of numbers; then
        nothing is stored."""
        loss, extras = split_loss(returned)
        numbers = {"loss": as_number(loss)}
        numbers |= {name: as_number(value, f"{name!r} beside a loss") for name, value in extras.items()}
        for name, value in numbers.items():
            self.column(name)[row] = value

    def add_failure(self, index: int, error: BaseException) -> None:
        """Record that the loss of an item raised, or is not a number."""
        if isinstance(error, NotANumber):
            self.problems.append((INVALID, Record(index, "TypeError", str(error), "")))
        else:
            self.problems.append((RAISED, record_of(index, error)))

    def record_losses_that_are_not_finite(self) -> None:
        failed = {record.index for _, record in self.problems}
        for row in np.flatnonzero(~np.isfinite(self.losses)).tolist():
            index, loss = self.items[row], self.losses[row]
            if index not in failed:
                kind = NAN if math.isnan(loss) else INFINITE
                self.problems.append((kind, Record(index, "float", f"the loss was {loss}", "")))


def split_loss(returned: Any) -> tuple[Any, dict[str, Any]]:
    """Split what was returned into the loss and the other numbers by name. Raises NotANumber for a dict without a loss,
    or with a name that cannot be used."""
    if not isinstance(returned, Mapping):
        return returned, {}
    extras: dict[Any, Any] = dict(returned)  # pyright: ignore[reportUnknownArgumentType]
    if "loss" not in extras:
        raise NotANumber(
            f"a dict must hold 'loss' beside other numbers, held {', '.join(map(repr, extras)) or 'nothing'}"
        )
    for name in extras:
        if not isinstance(name, str) or name == "index":  # a column that optitrip adds
            raise NotANumber(f"a number beside the loss cannot be called {name!r}")
    return extras.pop("loss"), extras


def as_number(value: Any, what: str = "a loss") -> float:
    """Convert any real scalar to a float, 0-d arrays of NumPy and torch included. Raises NotANumber for booleans,
    strings, complex numbers, arrays with axes, None and the like."""
    scalar = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    unwanted = isinstance(scalar, bool | np.bool_ | str | bytes | complex | np.complexfloating)
    real = hasattr(scalar, "__float__") or hasattr(scalar, "__index__")
    if unwanted or not real or getattr(scalar, "ndim", 0) != 0:
        raise NotANumber(f"{what} must be one real number, was {abbreviate(value)}")
    try:
        return float(scalar)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotANumber(f"{what} must be one real number, was {abbreviate(value)}: {error}") from None


def as_batch(returned: Any, block: int, what: str = "losses") -> Array:
    """Convert the losses of a block to float64 of shape (block,). Raises NotANumber for another shape, or entries that
    are not real numbers."""
    try:
        array = np.asarray(returned)
    except Exception as error:  # ragged lists, or the user's own __array__
        raise NotANumber(f"{what} must be an array, was {abbreviate(returned)}: {error}") from None
    if array.shape != (block,) or array.dtype.kind not in "fiu":
        raise NotANumber(
            f"{what} must be {block} real numbers for {block} candidates, shape ({block},); "
            f"was {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.float64)


def abbreviate(value: Any) -> str:
    """Describe a value in a message: its type, and its shape or its text."""
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    return f"{kind} of shape {tuple(shape)}" if shape is not None else f"{kind} {str(value)[:80]!r}"
