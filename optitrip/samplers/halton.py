"""The Halton sampler: in each coordinate the digits of the index in a prime base, reversed, each digit permuted.

J. H. Halton, "On the efficiency of certain quasi-random sequences of points in evaluating multi-dimensional integrals",
Numerische Mathematik 2, 1960; A. B. Owen, "A randomized Halton algorithm in R", arXiv:1706.02808, 2017: a random
permutation for every base and every digit place, leading zeros included.

Any b^k rows that begin at a multiple of b^k have one point in each of b^k equal intervals of a coordinate of base b,
where random points leave a third of the intervals empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from optitrip.core.arrays import Array
from optitrip.samplers.random import stream_key, words
from optitrip.samplers.sampler import Sampler

PRIMES = tuple(n for n in range(2, 174) if all(n % d for d in range(2, n)))
MOST_COORDINATES = len(PRIMES)
"""Largest number of coordinates, 40. With more, points are no more even than random ones: of 1,000 points in d
coordinates, the centred discrepancy is 0.16 of that of random points for d = 10, 0.60 for 20, 0.86 for 30, 0.96 for 40
and 1 from 50 on (medians of 15 seeds)."""
LARGEST_INDEX = 2**53
EDGE = 2.0**-53
"""Distance of the outermost points from 0 and 1, as for the random sampler."""


@dataclass(frozen=True)
class Halton(Sampler):
    """Points that fill the cube evenly; row n depends on the seed, the names and sizes of all variables, and n.

    The coordinates take the primes in order: variables by name, and within a variable its entries in C order. So the
    order of variables in a sweep file does not matter, but another variable may move the values of those after it.
    """

    name: ClassVar[str] = "halton"

    def check(self, design: Mapping[str, int]) -> None:
        """Check the number of coordinates; any number of items is valid, since raising it moves no point."""
        count = sum(design.values())
        if count > MOST_COORDINATES:
            raise ValueError(
                f"was 'halton' for {count:,} numbers per candidate; it suits at most {MOST_COORDINATES}. Use "
                'sampler = "random", or make some of the variables constant'
            )

    def unit(self, seed: int, design: Mapping[str, int], items: range) -> dict[str, Array]:
        unit = {name: np.empty((len(items), size)) for name, size in design.items()}
        coordinates = [(name, place) for name in sorted(design) for place in range(design[name])]
        for base, (name, place) in zip(PRIMES[: len(coordinates)], coordinates, strict=True):
            unit[name][:, place] = radical_inverse(items, base, scramble(seed, base))
        return unit


def digits(base: int) -> int:
    """Return the number of digits of the largest index; float64 cannot resolve more."""
    count = 1
    while base**count <= LARGEST_INDEX:
        count += 1
    return count


@lru_cache(256)
def scramble(seed: int, base: int) -> Array:
    """Draw a permutation of 0 to base - 1 for each digit place, the last place first; int64.

    All permutations of a base come from one stream, e.g. `[seed, "scramble", "halton 7"]`, one word for each entry.
    """
    drawn = words(stream_key(seed, "scramble", f"halton {base}"), 0, digits(base) * base)
    permutations = np.argsort(drawn.reshape(-1, base), axis=1, kind="stable")
    permutations.flags.writeable = False
    return permutations


def radical_inverse(items: range, base: int, permutations: Array) -> Array:
    """Mirror the digits of consecutive indices, up to 2^53, at the radix point, each permuted for its place (the
    permutation of the last place comes first). Return float64 in the open interval (0, 1), shape (len(items),).

    All but the last division is exact, in integers below 2^61.
    """
    places = len(permutations)
    # From the first digit to the last: neighbours differ only in their last digits, so few leading ones are distinct.
    behind, low = np.zeros(1, np.int64), items.start // base**places
    for place in reversed(range(places)):
        unit, lower = base**place, low
        low, high = items.start // unit, (items.stop - 1) // unit
        before, digit = np.divmod(np.arange(low, high + 1), base)
        behind = behind[before - lower] + permutations[place][digit] * base ** (places - 1 - place)
    # The middle of the last digit's interval, as if further digits followed.
    return np.clip((behind + 0.5) / base**places, EDGE, 1 - EDGE)
