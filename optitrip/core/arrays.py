"""Columns of arrays by name: select, join and overwrite them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def without_prefix(columns: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the columns whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}


def joined(sides: Sequence[Mapping[str, Array]], always: str, prefix: str) -> dict[str, Array]:
    """Concatenate the column `always`, which all of successive parts have, and those that begin with a prefix.

    A column that one part lacks, because everything in it failed, is NaN there.
    """
    names = {name for side in sides for name in side if name.startswith(prefix) and name != always}
    return {
        name: np.concatenate([side[name] if name in side else np.full(len(side[always]), np.nan) for side in sides])
        for name in [always, *sorted(names)]
    }


def overwritten(
    sides: Sequence[Mapping[str, Array]], length: int, places: Sequence[slice], always: str, prefix: str
) -> dict[str, Array]:
    """Copy the columns of a whole, the first of `sides`, that `joined` would choose; write later parts into places.

    A column that the whole or a later part lacks is NaN there.
    """
    whole, *later = sides
    result: dict[str, Array] = {}
    for name in {name for side in sides for name in side if name == always or name.startswith(prefix)}:
        column = whole.get(name, np.full(length, np.nan))
        column = column.astype(np.float64) if any(name not in side for side in sides) else column.copy()
        for place, columns in zip(places, later, strict=True):
            column[place] = columns.get(name, np.nan)
        result[name] = column
    return result
