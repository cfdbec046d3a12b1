"""The rows of a stage: selects those that count, so that no item counts twice, and decodes them.

Rows are decoded in bulk: building one part per row takes ten times as long as reading them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.core.observer import Times
from optitrip.core.part import Part, layout

FEW = 8
"""Largest number of rows for which building one part per row is faster."""
Row = tuple[int, int, bytes, bytes, int, int, int]
"""First item, one past the last, columns, failures, time of writing in milliseconds since 1970, and two unused numbers.

A tuple, not a class, since there may be a million."""


def chain(rows: Iterable[Any], start: int) -> Iterator[Any]:
    """Yield the rows of a tiling from `start`, selected from rows that begin with (lo, hi) and are sorted by them."""
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
    """Return the ranges of [start, items) that a tiling does not cover."""
    starts = [start, *(tile.stop for tile in tiles)]
    stops = [*(tile.start for tile in tiles), items]
    return [range(lo, hi) for lo, hi in zip(starts, stops, strict=True) if lo < hi]


class RowBatch(NamedTuple):
    """Adjacent rows, decoded but not merged: one part or one per row, and the time at which each row was written."""

    parts: list[Part]
    times: Times


def decode(rows: Sequence[Row], few: int = FEW) -> RowBatch:
    """Decode adjacent rows; up to `few` of them, or rows with unlike columns, become one part each."""
    starts, stops, columns, failures, written, *_ = zip(*rows, strict=True)
    joined = concatenated(columns) if len(rows) > few else None
    if joined is None:
        each = zip(starts, stops, columns, failures, strict=True)
        parts = [Part.from_bytes(range(lo, hi), data, failed) for lo, hi, data, failed in each]
    else:
        found = [Failures.from_bytes(failed) for failed in dict.fromkeys(failures)]
        parts = [Part(range(starts[0], stops[-1]), joined, Failures().then(*found))]
    return RowBatch(parts, Times(starts, written))


def concatenated(rows: Sequence[bytes]) -> dict[str, Array] | None:
    """Concatenate the columns of rows; return None if not all rows have the same columns.

    Rows with equal layouts are split in one operation, and their values are then scattered to their places.
    """
    bodies: defaultdict[bytes, list[bytes]] = defaultdict(list)
    members: defaultdict[bytes, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        head, _, body = row.partition(b"\n")
        bodies[head].append(body)
        members[head].append(number)
    layouts = {head: layout(head) for head in bodies}
    kinds = {tuple((name, dtype, len(shape), shape[1:]) for name, dtype, shape, _ in of) for of in layouts.values()}
    if len(kinds) > 1 or any(not dimensions for _, _, dimensions, _ in next(iter(kinds))):
        return None
    tables = {head: np.frombuffer(b"".join(body), np.uint8).reshape(len(body), -1) for head, body in bodies.items()}
    places = {head: np.array(numbers) for head, numbers in members.items()}
    columns: dict[str, Array] = {}
    offsets = dict.fromkeys(layouts, 0)
    for column, (name, dtype, shape, _) in enumerate(next(iter(layouts.values()))):
        lengths = np.empty(len(rows), np.int64)
        for head in layouts:
            lengths[places[head]] = layouts[head][column][2][0]
        firsts = np.cumsum(lengths) - lengths
        values = np.empty((int(lengths.sum()), *shape[1:]), dtype)
        for head in layouts:
            _, _, (length, *_), count = layouts[head][column]
            width = count * dtype.itemsize
            group = np.ascontiguousarray(tables[head][:, offsets[head] : offsets[head] + width]).view(dtype)
            targets = firsts[places[head]][:, None] + np.arange(length)
            values[targets.ravel()] = group.reshape(-1, *shape[1:]) if count else values[:0]
            offsets[head] += width
        columns[name] = values
    return columns
