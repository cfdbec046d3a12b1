"""The random sampler: Philox 4x64-10 used as a counter, so that row n depends on (seed, name, size, n) alone.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC '11.

NumPy promises the bits of the Philox bit generator across versions, but not those of `standard_normal` or `random`; so
only raw words are taken from it, and optitrip itself maps words to numbers.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optitrip.core.arrays import Array
from optitrip.samplers.sampler import Sampler

WORDS_PER_COUNT = 4


def stream_key(seed: int, purpose: str, name: str) -> int:
    """Return a stream's 128-bit Philox key: blake2b-128, read little-endian, of the JSON `[seed, purpose, name]`."""
    text = json.dumps([seed, purpose, name], separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def words(key: int, start: int, count: int) -> Array:
    """Return the 64-bit words `start` to `start + count` of the stream of `key`, uint64, shape (count,)."""
    group, skip = divmod(start, WORDS_PER_COUNT)
    philox = np.random.Philox(key=key, counter=group)
    return philox.random_raw(skip + count)[skip:]


def open_unit(raw: Array) -> Array:
    """Map 64-bit words to float64 in the open interval (0, 1): u = ((word >> 12) + 0.5) / 2^52.

    The more usual (word >> 11) / 2^53 + 2^-54 rounds to 1 for the highest words. `raw` is overwritten: its upper 52
    bits become the fraction of a float64 in [1, 2), from which subtracting 1 - 2^-53 is exact; this takes half as long
    as converting integers.
    """
    raw >>= np.uint64(12)
    raw |= np.uint64(0x3FF0000000000000)
    unit = raw.view(np.float64)
    unit -= 1 - 2.0**-53
    return unit


def permutation(seed: int, purpose: str, name: str, count: int) -> Array:
    """Return 0 to count - 1 in random order, int64: the order that sorts the first words of a stream."""
    return np.argsort(words(stream_key(seed, purpose, name), 0, count), kind="stable")


def uniform_index(key: int, count: int) -> int:
    """Draw an index below `count`, each equally likely, so that a larger count changes it no more often than it must.

    The index jumps from n to floor((n + 1) / u), u uniform in (0, 1], while that is below the count: J. Lamping,
    E. Veach, "A fast, minimal memory, consistent hash algorithm", arXiv:1406.2294. It takes 1 + ln(count) words on
    average; integers, so that every machine draws the same.
    """
    index = 0
    for word in words(key, 0, 256).tolist():
        following = ((index + 1) << 64) // (word + 1)
        if following >= count:
            break
        index = following
    return index


@dataclass(frozen=True)
class Random(Sampler):
    """Independent uniform points; row n of a variable starts at word n * size of its own stream."""

    name: ClassVar[str] = "random"
    separate: ClassVar[bool] = True
    purpose: str = "candidate"

    def unit(self, seed: int, design: Mapping[str, int], items: range) -> dict[str, Array]:
        return {
            name: open_unit(words(stream_key(seed, self.purpose, name), items.start * size, len(items) * size)).reshape(
                len(items), size
            )
            for name, size in design.items()
        }
