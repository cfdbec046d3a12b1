"""Tilings: the rows of a stage that count, chosen so that no item counts twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def chain(rows: Iterable[Any], start: int) -> Iterator[Any]:
    """Yield the rows of a tiling from `start`, out of rows that begin with (lo, hi) and are in that order."""
    longest: Any = None
    lo, end = -1, start
    for row in rows:
        if row[0] >= end:
            if longest is not None:
                yield longest
            longest, lo, end = row, row[0], row[1]
        elif row[0] == lo:
            longest, end = row, row[1]
    if longest is not None:
        yield longest


def missing(tiles: Sequence[range], items: int, start: int = 0) -> list[range]:
    """Return the ranges of [start, items) that a tiling lacks."""
    starts = [start, *(tile.stop for tile in tiles)]
    stops = [*(tile.start for tile in tiles), items]
    return [range(lo, hi) for lo, hi in zip(starts, stops, strict=True) if lo < hi]
