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
    """Concatenate the column `always`, and those that begin with a prefix, of successive parts.

    A column that one part lacks, because everything in it failed, is NaN there; `always` is in all parts and gives the
    lengths.
    """
    names = {name for side in sides for name in side if name.startswith(prefix) and name != always}
    return {
        name: np.concatenate([side[name] if name in side else np.full(len(side[always]), np.nan) for side in sides])
        for name in [always, *sorted(names)]
    }


def overwritten(column: Array | None, length: int, updates: Sequence[tuple[slice, Array | None]]) -> Array:
    """Return a copy of a column with each update written into its slice; where either is missing, it is NaN."""
    if column is None:
        result = np.full(length, np.nan)
    else:
        result = column.astype(np.float64) if any(values is None for _, values in updates) else column.copy()
    for places, values in updates:
        result[places] = np.nan if values is None else values
    return result
