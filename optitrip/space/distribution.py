"""The interface of a distribution, an inverse CDF from the open unit interval to values, and checks of its entries."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np

from optitrip.core.arrays import Array, Coded

LOWEST, HIGHEST = 2.0**-53, 1 - 2.0**-53
"""Smallest and largest u that a sampler returns."""


class Distribution(Protocol):
    """A frozen description with its inverse CDF. Other files use only this interface; most of it has defaults.

    A class in the table also has a class method `parse(entry)`, which raises ValueError for an invalid entry of a sweep
    file. An entry lists the fields in order, or is the bare value of a single field.
    """

    drawn: ClassVar[bool] = True
    """True if values depend on u; False for a constant, which needs no draw."""
    fixed: ClassVar[bool] = False
    """True if the value is the same at every point, so that a gradient leaves the variable out."""
    continuous: ClassVar[bool] = True
    """True if the values form an interval, so that derivatives exist."""
    ordered: ClassVar[bool] = True
    """True if values that lie side by side are alike; False for options."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value itself, for a variable that gives none."""
        return ()

    @property
    def positive(self) -> bool:
        """True if all values are above 0, so that one which is 0 is too small to be represented."""
        return False

    @property
    def levels(self) -> int:
        """Number of values, if they are those of equal intervals of u; 0 otherwise."""
        return 0

    @property
    def options(self) -> tuple[Any, ...]:
        """Values that are written out; empty for a range."""
        return ()

    @property
    def limits(self) -> tuple[float, float]:
        """Closed interval that a gradient must not leave; infinite by default."""
        return -math.inf, math.inf

    def extremes(self) -> Array:
        """Return points u, shape (n,), whose values include the smallest and the largest."""
        return np.array([LOWEST, 0.5, HIGHEST])

    def describe(self) -> Any:
        """Return the entry of a sweep file in its one canonical spelling; None without fields."""
        fields = [value for name, value in vars(self).items() if not name.startswith("_")]  # without cached ones
        return fields[0] if len(fields) == 1 else fields or None

    def coded(self, unit: Array) -> Coded | None:
        """Return values that are written out as a column of codes, of which one without words has no place in a table;
        None for numbers of a range. `unit` may be overwritten."""
        return None

    @abstractmethod
    def values(self, unit: Array) -> Array:
        """Map u in (0, 1) to values, elementwise; `unit` may be overwritten."""


def finite(value: object, what: str) -> float:
    """Return a finite number as a float; raises ValueError for anything else, bools included."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number, was {value!r}")
    return number


def pair(entry: object, names: str) -> tuple[Any, Any]:
    """Return the two entries of a list; raises ValueError for anything else."""
    if not isinstance(entry, list | tuple) or len(entry) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError(f"wanted [{names}], was {entry!r}")
    return tuple(entry)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
