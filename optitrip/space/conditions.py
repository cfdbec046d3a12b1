"""Variables that exist under a condition only, and conditions on points at which some variables do not exist."""

from collections.abc import Mapping

import numpy as np

from optitrip.core.absent import ABSENT, exists
from optitrip.core.arrays import Array
from optitrip.space.expression import Expression
from optitrip.space.listed import typed_array


def where_it_exists(column: Array, kept: Array) -> Array:
    """Return a column of Python objects, or of arrays, in which a variable is absent except where it is `kept`."""
    entries = column.tolist() if column.ndim == 1 else list(column)
    found = np.empty(len(entries), object)
    for row, entry in enumerate(entries):
        found[row] = entry if kept[row] else ABSENT
    found.flags.writeable = False
    return found


def natural(column: Array) -> Array:
    """Return a column that has no absent entries any more, in the type of the variable."""
    if not column.dtype.hasobject or column.ndim > 1:
        return column
    entries = column.tolist()
    return np.stack(entries) if entries and isinstance(entries[0], np.ndarray) else typed_array(entries)


def satisfied(condition: Expression, values: Mapping[str, Array], count: int, *, otherwise: bool) -> Array:
    """Return where a condition holds, bool of shape (count,); `otherwise` where one of its variables does not exist.

    Args:
        condition: condition over some of the variables.
        values: values of shape (count, *shape) by name.
        count: number of points.
        otherwise: what holds where a variable of the condition does not exist.
    """
    columns = {name: values[name] for name in condition.names}
    if not any(column.dtype.hasobject and column.ndim == 1 for column in columns.values()):
        return condition.holds(columns, count)
    rows = np.flatnonzero(np.logical_and.reduce([exists(column) for column in columns.values()]))
    found = np.full(count, otherwise)
    if len(rows):
        there = {name: natural(column[rows]) for name, column in columns.items()}
        found[rows] = condition.holds(there, len(rows))
    return found
