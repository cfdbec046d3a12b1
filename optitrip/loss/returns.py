"""What an objective gave back, made into losses and failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import INFINITE, NAN, Failures, Problems, Record


class NotANumber(TypeError):
    """The objective returned something that is no loss."""


RESERVED = ("index",)
"""Names of columns beside the loss that are ours."""


@dataclass(eq=False)
class Evaluation:
    """What a range of items came to, while it is filled and afterwards."""

    items: range
    columns: dict[str, Array] = field(default_factory=dict[str, Array])
    """`loss`, and the other numbers by name; float64 of shape (len(items),), NaN where there is none."""
    double: bool = True
    """Whether all batches gave their losses in float64."""
    problems: Problems = field(default_factory=list[tuple[str, Record]])
    """One for each item that failed."""

    @cached_property
    def losses(self) -> Array:
        return self.column("loss")

    @property
    def named(self) -> dict[str, Array]:
        """The numbers that the objective gave beside its losses."""
        return {name: column for name, column in self.columns.items() if name != "loss"}

    @property
    def failures(self) -> Failures:
        return Failures.of({record.index: kind for kind, record in self.problems}, self.problems)

    def column(self, name: str) -> Array:
        if name not in self.columns:
            self.columns[name] = np.full(len(self.items), np.nan)
        return self.columns[name]

    def put(self, row: int, given: Any) -> None:
        """Enter what a plain call returned.

        Raises:
            NotANumber: if it is neither a number nor a dict of them; then nothing is entered.
        """
        loss, named = split(given)
        numbers = {
            "loss": number(loss),
            **{name: number(value, f"{name!r} beside a loss") for name, value in named.items()},
        }
        for name, value in numbers.items():
            self.column(name)[row] = value

    def record_losses_that_are_not_finite(self) -> None:
        known = {record.index for _, record in self.problems}
        for row in np.flatnonzero(~np.isfinite(self.losses)).tolist():
            index, loss = self.items[row], self.losses[row]
            if index not in known:
                kind = NAN if math.isnan(loss) else INFINITE
                self.problems.append((kind, Record(index, "float", f"the loss was {loss}", "")))


def split(returned: Any) -> tuple[Any, dict[str, Any]]:
    """What was returned as the loss, and what beside it.

    Raises:
        NotANumber: for a dict without a loss, or with a name that is none.
    """
    if not isinstance(returned, Mapping):
        return returned, {}
    named: dict[Any, Any] = dict(returned)  # pyright: ignore[reportUnknownArgumentType]
    if "loss" not in named:
        raise NotANumber(
            f"a dict must hold 'loss' beside other numbers, held {', '.join(map(repr, named)) or 'nothing'}"
        )
    for name in named:
        if not isinstance(name, str) or name in RESERVED:
            raise NotANumber(f"a number beside the loss cannot be called {name!r}")
    return named.pop("loss"), named


def number(given: Any, what: str = "a loss") -> float:
    """A loss as a float: any real scalar, 0-d arrays of NumPy and torch included.

    Raises:
        NotANumber: for booleans, strings, complex numbers, arrays with axes, None and the like.
    """
    scalar = given[()] if isinstance(given, np.ndarray) and given.ndim == 0 else given
    unwanted = isinstance(scalar, bool | np.bool_ | str | bytes | complex | np.complexfloating)
    real = hasattr(scalar, "__float__") or hasattr(scalar, "__index__")
    if unwanted or not real or getattr(scalar, "ndim", 0) != 0:
        raise NotANumber(f"{what} must be one real number, was {abbreviated(given)}")
    try:
        return float(scalar)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotANumber(f"{what} must be one real number, was {abbreviated(given)}: {error}") from None


def batch(returned: Any, block: int, what: str = "losses") -> Array:
    """The losses of a block as float64, shape (block,).

    Raises:
        NotANumber: for another shape, or entries that are no real numbers.
    """
    try:
        given = np.asarray(returned)
    except Exception as error:  # ragged lists, or the user's own __array__
        raise NotANumber(f"{what} must be an array, was {abbreviated(returned)}: {error}") from None
    if given.shape != (block,) or given.dtype.kind not in "fiu":
        raise NotANumber(
            f"{what} must be {block} real numbers for {block} candidates, shape ({block},); "
            f"was {given.dtype} of shape {given.shape}"
        )
    return given.astype(np.float64)


def abbreviated(given: Any) -> str:
    """A value for a message: its type, and its shape or its text."""
    shape = getattr(given, "shape", None)
    kind = type(given).__name__
    return f"{kind} of shape {tuple(shape)}" if shape is not None else f"{kind} {str(given)[:80]!r}"
