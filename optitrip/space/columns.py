"""The scalar variables of chosen candidates as columns of a table, drawn again from the indices."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from optitrip.core.absent import ABSENT, exists
from optitrip.core.arrays import Array, Coded, Column, ours
from optitrip.space.candidates import Candidates
from optitrip.space.listed import literals
from optitrip.space.variables import Space, Variable

DRAWN_AT_ONCE = 2**16
"""Number of consecutive candidates that are drawn at a time."""


@ours()
def scalar_columns(candidates: Candidates, indices: Array) -> dict[str, Column]:
    """Draw the scalar variables of some candidates, in the given order; choices and constants are coded.

    Arrays have no column: `candidates.point(index)` draws them. Nor has a constant that is another Python object.
    """
    if candidates.given or candidates.space.conditional:
        return columns_of_values(candidates, indices)
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
    return numbers_or_text(variable.values(unit[:, np.newaxis]))


def columns_of_values(candidates: Candidates, indices: Array) -> dict[str, Column]:
    """Return the scalar variables of candidates of which some are given, or lack a variable: a number is NaN there, and
    an option is an empty text."""
    order = np.argsort(indices, kind="stable")
    wanted, pieces = scalars(candidates.space), list[dict[str, Array]]()
    for rows in blocks(indices[order]):
        some = indices[order[rows]]
        values = candidates.values(range(int(some[0]), int(some[-1]) + 1))
        pieces.append({variable.name: values[variable.name][some - some[0]] for variable in wanted})
    columns: dict[str, Column] = {}
    for variable in wanted:
        none = candidates.values(range(1))[variable.name][:0]
        column = np.concatenate([none, *(piece[variable.name] for piece in pieces)])
        column[order] = column.copy()
        columns[variable.name] = shown(column, () if variable.distribution.fixed else variable.distribution.options)
    return columns


def shown(column: Array, options: Sequence[Any]) -> Column:
    """Return a column in which a variable may be absent: options by their literals, others as numbers or text."""
    if options:
        words = list(map(str, literals(options))) if column.dtype.hasobject else literals(options)
        entries = column.tolist()
        places = [len(words) if entry is ABSENT else place_of(entry, options) for entry in entries]
        return Coded(np.array(places, np.int32), [*words, ""] if len(words) in places else words)
    there = exists(column)
    if column.dtype.hasobject and all(type(entry) in (int, float) for entry in column[there].tolist()):
        return np.array([np.nan if entry is ABSENT else entry for entry in column.tolist()], np.float64)
    return numbers_or_text(column)


def ranking_columns(candidates: Candidates, indices: Array) -> dict[str, Column]:
    """Return the columns by which variables are ranked: those of `scalar_columns`, but NaN, too, where an option does
    not exist; there a code would count as one more option."""
    columns = scalar_columns(candidates, indices)
    for variable in candidates.space.conditional:
        column, options = columns.get(variable.name), variable.distribution.options
        if isinstance(column, Coded) and options and len(column.words) > len(options):
            columns[variable.name] = np.where(column.codes < len(options), column.codes, np.nan)
    return columns


def place_of(entry: Any, options: Sequence[Any]) -> int:
    """Return the place of an option that is equal and of its type."""
    return next(place for place, option in enumerate(options) if type(option) is type(entry) and option == entry)


def numbers_or_text(values: Array) -> Column:
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
