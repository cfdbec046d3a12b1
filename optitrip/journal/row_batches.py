"""Rows of a journal, many at a time: to make a part of each costs ten times what it costs to read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optitrip.core.observer import Times
from optitrip.part import Array, Failures, Part, layout

FEW = 8
"""Rows, of which to make a part each is quicker."""
Row = tuple[int, int, bytes, bytes, int, int, int]
"""Of a part: first item, one past the last, columns, failures, when it was written, and what of it plays no part here;
not a class of its own, since there may be a million."""


class Strung(NamedTuple):
    """Adjacent rows as parts that are still to be merged: one whose columns are all of theirs, one after the other, or,
    where these do not fit together, as many as there are rows."""

    parts: list[Part]
    times: Times

    @classmethod
    def of(cls, rows: Sequence[Row], few: int = FEW) -> Strung:
        starts, stops, columns, failures, written, *_ = zip(*rows, strict=True)
        times = Times(starts, written)
        joined = strung(columns) if len(rows) > few else None
        if joined is None:
            each = zip(starts, stops, columns, failures, strict=True)
            return cls([Part.from_bytes(range(lo, hi), data, failed) for lo, hi, data, failed in each], times)
        found = [Failures.from_bytes(failed) for failed in dict.fromkeys(failures)]
        return cls([Part(range(starts[0], stops[-1]), joined, Failures().then(*found))], times)


def strung(rows: Sequence[bytes]) -> dict[str, Array] | None:
    """The columns of rows, each with that of one row after that of another; None if not all have the same columns.

    Rows of one layout are taken apart together; then each group's values go to their places.
    """
    bodies: defaultdict[bytes, list[bytes]] = defaultdict(list)
    members: defaultdict[bytes, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        head, _, body = row.partition(b"\n")
        bodies[head].append(body)
        members[head].append(number)
    layouts = {head: layout(head) for head in bodies}
    kinds = {tuple((name, dtype, len(shape), shape[1:]) for name, dtype, shape, _ in one) for one in layouts.values()}
    if len(kinds) > 1 or any(not dimensions for _, _, dimensions, _ in next(iter(kinds))):
        return None
    tables = {head: np.frombuffer(b"".join(of), np.uint8).reshape(len(of), -1) for head, of in bodies.items()}
    places = {head: np.array(of) for head, of in members.items()}
    columns: dict[str, Array] = {}
    offsets = dict.fromkeys(layouts, 0)
    for column, (name, dtype, shape, _) in enumerate(next(iter(layouts.values()))):
        lengths = np.empty(len(rows), np.int64)
        for head, one in layouts.items():
            lengths[places[head]] = one[column][2][0]
        firsts = np.cumsum(lengths) - lengths
        whole = np.empty((int(lengths.sum()), *shape[1:]), dtype)
        for head, one in layouts.items():
            count = one[column][3]
            width = count * dtype.itemsize
            values = np.ascontiguousarray(tables[head][:, offsets[head] : offsets[head] + width]).view(dtype)
            length = one[column][2][0]
            where = firsts[places[head]][:, None] + np.arange(length)
            whole[where.ravel()] = values.reshape(-1, *shape[1:]) if count else whole[:0]
            offsets[head] += width
        columns[name] = whole
    return columns
