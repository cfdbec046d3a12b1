"""Arrays, and columns of them joined, overwritten and selected by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def named(columns: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The columns whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}


def joined(sides: Sequence[Mapping[str, Array]], whole: str, prefix: str) -> dict[str, Array]:
    """The column `whole`, and those that begin with a prefix, of parts one after the other.

    A column that one of them lacks, because everything in it failed, is NaN there; `whole` is in all of them and gives
    the lengths.
    """
    names = {name for side in sides for name in side if name.startswith(prefix) and name != whole}
    return {
        name: np.concatenate([side[name] if name in side else np.full(len(side[whole]), np.nan) for side in sides])
        for name in [whole, *sorted(names)]
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
