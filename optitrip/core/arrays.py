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


def overwritten(whole: Array | None, part: Array | None, places: Array, length: int) -> Array:
    """A column with that of a part in its places; NaN where there is none."""
    if whole is None and part is not None:
        whole = np.full(length, np.nan)
    assert whole is not None
    column = whole.copy() if part is not None else whole.astype(np.float64)
    column[places] = np.nan if part is None else part
    return column
