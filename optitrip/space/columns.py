"""The scalar variables of chosen candidates as columns of a table, drawn again from the indices."""

from collections.abc import Iterator

import numpy as np

from optitrip.core.arrays import Array, Coded, Column, ours
from optitrip.space.variables import Candidates, Space, Variable

DRAWN_AT_ONCE = 2**16
"""Number of consecutive candidates that are drawn at a time."""


@ours()
def scalar_columns(candidates: Candidates, indices: Array) -> dict[str, Column]:
    """Draw the scalar variables of some candidates, in the given order; choices and constants are coded.

    Arrays have no column: `candidates.point(index)` draws them. Nor has a constant that is another Python object.
    """
    order = np.argsort(indices, kind="stable")
    units = unit_columns(candidates, indices[order])
    columns: dict[str, Column] = {}
    for variable in scalars(candidates.space):
        unit = np.empty(len(indices))
        if variable.name in units:
            unit[order] = units.pop(variable.name)
        column = variable.distribution.coded(unit)
        column = column_of(variable, unit) if column is None else column
        if not isinstance(column, Coded) or column.words:
            columns[variable.name] = column
    return columns


def column_of(variable: Variable, unit: Array) -> Column:
    """Return the values at u; those that are no numbers as text."""
    values = variable.values(unit[:, np.newaxis])
    if values.dtype.kind in "iuf":
        return values
    words, codes = np.unique(np.array(list(map(str, values.tolist()))), return_inverse=True)
    return Coded(codes.astype(np.int32), words.tolist())


def scalars(space: Space) -> list[Variable]:
    return [variable for variable in space.variables if not variable.shape and space.drawable]


def unit_columns(candidates: Candidates, indices: Array) -> dict[str, Array]:
    """Draw u in (0, 1) for each drawn scalar variable of candidates in ascending order."""
    sizes = candidates.space.sizes
    few = [v.name for v in scalars(candidates.space) if v.name in sizes]
    if not few or not len(indices):
        return {name: np.empty(0) for name in few}
    units = {name: np.empty(len(indices)) for name in few}
    for rows in blocks(indices):
        items = range(int(indices[rows.start]), int(indices[rows.stop - 1]) + 1)
        points = candidates.unit(few, items)
        for name, column in units.items():
            column[rows] = points[name][indices[rows] - items.start, 0]
    return units


def blocks(indices: Array) -> Iterator[slice]:
    """Cut ascending indices into runs, each from a range of at most `DRAWN_AT_ONCE` candidates."""
    start = 0
    while start < len(indices):
        stop = int(np.searchsorted(indices, indices[start] + DRAWN_AT_ONCE))
        yield slice(start, stop)
        start = stop
