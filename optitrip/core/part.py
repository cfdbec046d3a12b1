"""Part: what a worker returns for a slice, i.e. its range of items, a few small columns, and the failures."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures


@dataclass(frozen=True, eq=False)
class Part:
    """The outcome of a range of items.

    `columns` are named arrays whose lengths the method defines; the points themselves are never among them. To compare
    parts, compare `columns_bytes()`: NaN equals nothing, and -0.0 equals 0.0.
    """

    items: range
    columns: Mapping[str, Array]
    failures: Failures = field(default_factory=Failures)

    def columns_bytes(self) -> bytes:
        """Return the columns, to the bit: one line of JSON (name, dtype, shape of each), then the raw bytes."""
        # Not `np.savez`: a zip file carries time stamps, so equal columns would not give equal bytes.
        columns = sorted(self.columns.items())
        if any(column.dtype.hasobject for _, column in columns):
            raise TypeError(f"columns hold numbers, not objects: {[name for name, _ in columns]}")
        head = heading(tuple((name, column.dtype.str, column.shape) for name, column in columns))
        return b"".join([head, b"\n", *(column.tobytes() for _, column in columns)])

    def agrees(self, other: "Part", noise: float) -> bool:
        """Return whether two parts of the same items have equal columns, but for a relative difference; then only
        numbers at the same places are compared, since the order of losses that are nearly equal may differ."""
        if self.columns_bytes() == other.columns_bytes():
            return True
        pairs = [(column, other.columns.get(name)) for name, column in self.columns.items() if column.dtype.kind == "f"]
        return noise > 0 and all(
            two is None or one.shape != two.shape or np.allclose(one, two, rtol=noise, atol=0, equal_nan=True)
            for one, two in pairs
        )

    @classmethod
    def from_bytes(cls, items: range, columns: bytes, failures: bytes) -> "Part":
        head, _, body = columns.partition(b"\n")
        arrays: dict[str, Array] = {}
        place = 0
        for name, dtype, shape, count in layout(head):
            arrays[name] = np.frombuffer(body, dtype, count, place).reshape(shape)
            place += count * dtype.itemsize
        return cls(items, arrays, Failures.from_bytes(failures))


@lru_cache(4_096)
def heading(columns: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bytes:
    """Encode name, dtype and shape of each column as JSON; most parts of a stage share them."""
    return json.dumps(columns, separators=(",", ":")).encode()


@lru_cache(4_096)
def layout(head: bytes) -> tuple[tuple[str, np.dtype[Any], tuple[int, ...], int], ...]:
    """Decode name, dtype, shape and number of entries of each column; most parts of a stage share them."""
    return tuple((name, np.dtype(code), tuple(shape), math.prod(shape)) for name, code, shape in json.loads(head))


def adjacent(*parts: Part) -> range:
    """Return the joined range of parts; raise ValueError if one does not begin where the one before it ends."""
    for left, right in pairwise(parts):
        if left.items.stop != right.items.start:
            raise ValueError(f"parts {left.items} and {right.items} are not adjacent")
    return range(parts[0].items.start, parts[-1].items.stop)


def failures_replaced(whole: Part, retried: Sequence[Part]) -> Failures:
    """Return the failures of a part, with those of retried items replaced."""
    later = Failures().then(*(part.failures for part in retried))
    return whole.failures.replaced([part.items for part in retried], later)
