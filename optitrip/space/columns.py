"""The scalar variables of chosen candidates as columns of a table, drawn again from the indices."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, Coded, Column, ours
from optitrip.samplers import SAMPLERS
from optitrip.space.listed import Choice, Constant, option_array
from optitrip.space.variables import Candidates, Space

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
        distribution = variable.distribution
        if isinstance(distribution, Constant):
            if not isinstance(distribution.value, str | int | float):
                continue
            column = Coded(np.zeros(len(indices), np.int32), literals([distribution.value]))
        else:
            unit = np.empty(len(indices))
            unit[order] = units[variable.name]
            if isinstance(distribution, Choice):
                column = Coded(distribution.places(unit).astype(np.int32), literals(distribution.options))
            else:
                column = variable.values(unit[:, np.newaxis])
        columns[variable.name] = column
    return columns


def scalars(space: Space) -> list[Any]:
    return [variable for variable in space.variables if not variable.shape and space.drawable]


def unit_columns(candidates: Candidates, indices: Array) -> dict[str, Array]:
    """Draw u in (0, 1) for each drawn scalar variable of candidates in ascending order."""
    sampler, sizes = SAMPLERS[candidates.sampler], candidates.space.sizes
    names = [variable.name for variable in scalars(candidates.space) if variable.name in sizes]
    if sampler.separate:  # arrays may be large
        sizes = {name: sizes[name] for name in names}
    units = {name: np.empty(len(indices)) for name in names}
    for rows in blocks(indices) if names else ():
        drawn = range(int(indices[rows.start]), int(indices[rows.stop - 1]) + 1)
        points = sampler.unit(candidates.seed, sizes, drawn)
        for name, column in units.items():
            column[rows] = points[name][indices[rows] - drawn.start, 0]
    return units


def blocks(indices: Array) -> Iterator[slice]:
    """Cut ascending indices into runs, each from a range of at most `DRAWN_AT_ONCE` candidates."""
    start = 0
    while start < len(indices):
        stop = int(np.searchsorted(indices, indices[start] + DRAWN_AT_ONCE))
        yield slice(start, stop)
        start = stop


def literals(options: Sequence[Any]) -> list[Any]:
    """Return options as strings, floats, 64-bit integers or booleans of one type: those of several types as text."""
    array = option_array(tuple(options))
    if array.dtype.kind in "iufbU" and array.ndim == 1:
        return array.tolist()
    texts = [option if isinstance(option, str) else repr(option) for option in options]
    return texts if len({*texts}) == len(texts) else list(map(repr, options))
