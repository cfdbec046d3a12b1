"""Variables that do not exist at a point, as a parameter that only one of several kernels has."""

from collections.abc import Mapping
from enum import Enum

import numpy as np

from optitrip.core.arrays import Array


class Absent(Enum):
    """The value of a variable that does not exist at a point; it is neither passed to the loss nor shown."""

    ABSENT = 0

    def __str__(self) -> str:
        return ""


ABSENT = Absent.ABSENT


def exists(column: Array) -> Array:
    """Return for each point whether a variable exists there, bool of shape (n,)."""
    if not column.dtype.hasobject or column.ndim > 1:
        return np.ones(len(column), bool)
    return np.array([entry is not ABSENT for entry in column.tolist()], bool)


def existing(values: Mapping[str, Array]) -> dict[str, Array]:
    """Return a point, given as a batch of one, without the variables that do not exist there."""
    return {name: column for name, column in values.items() if not (column.ndim == 1 and column[0] is ABSENT)}
