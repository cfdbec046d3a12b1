"""Tilings: which of the rows of a stage count, so that no item counts twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def chain(rows: Iterable[Any], start: int) -> Iterator[Any]:
    """Of rows that begin with (lo, hi), in that order, those of a tiling."""
    held: Any = None
    at, end = -1, start
    for row in rows:
        if row[0] >= end:
            if held is not None:
                yield held
            held, at, end = row, row[0], row[1]
        elif row[0] == at:
            held, end = row, row[1]
    if held is not None:
        yield held


def missing(tiles: Sequence[range], items: int, start: int = 0) -> list[range]:
    """What a tiling lacks of [start, items)."""
    gaps: list[range] = []
    at = start
    for tile in [*tiles, range(items, items)]:
        if tile.start > at:
            gaps.append(range(at, tile.start))
        at = tile.stop
    return gaps
