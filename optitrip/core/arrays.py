"""Columns of arrays by name: select, join and overwrite them; and NumPy's error state for our arithmetic."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Coded(NamedTuple):
    """A column with few distinct values, e.g. the options of a choice."""

    codes: Array
    """Place in `words` of each row's value, int32."""
    words: Sequence[Any]
    """Strings, floats, ints or booleans, all of one type."""

    def tolist(self) -> list[Any]:
        return [self.words[code] for code in self.codes.tolist()]


Column = Array | Coded
"""A column of a table: numbers, or coded values."""


def ours() -> np.errstate:
    """Return a context, or a decorator, for optitrip's own arithmetic, whatever the user has told NumPy to raise:
    infinities and NaN are found in its results."""
    return np.errstate(all="ignore")


def without_prefix(columns: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the columns whose names begin with a prefix, with the prefix removed from the names."""
    return {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}


def joined(parts: Sequence[Mapping[str, Array]], common: str, prefix: str) -> dict[str, Array]:
    """Concatenate the columns of adjacent parts: `common`, which every part has, and those that begin with a prefix.

    If a part lacks a column because all its items failed, the entries for that part are NaN.
    """
    return {
        name: np.concatenate([part[name] if name in part else np.full(len(part[common]), np.nan) for part in parts])
        for name in selected(parts, common, prefix)
    }


def selected(parts: Sequence[Mapping[str, Array]], common: str, prefix: str) -> list[str]:
    """Return the names that any of the parts has: `common` first, then those with a prefix, sorted, as in files."""
    names = {name for part in parts for name in part if name == common or name.startswith(prefix)}
    return sorted(names, key=lambda name: (name != common, name))


def overwritten(
    parts: Sequence[Mapping[str, Array]], length: int, places: Sequence[slice], common: str, prefix: str
) -> dict[str, Array]:
    """Copy the columns of the first part that `joined` would select, and overwrite each place with a later part.

    Entries that a part has no column for are NaN.
    """
    whole, *later = parts
    result: dict[str, Array] = {}
    for name in selected(parts, common, prefix):
        column = whole.get(name, np.full(length, np.nan))
        column = column.astype(np.float64) if any(name not in part for part in parts) else column.copy()
        for place, columns in zip(places, later, strict=True):
            column[place] = columns.get(name, np.nan)
        result[name] = column
    return result
