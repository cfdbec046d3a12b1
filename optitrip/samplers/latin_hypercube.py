"""The Latin hypercube sampler: N candidates, of which one is in each of N equal intervals of every coordinate.

M. D. McKay, R. J. Beckman, W. J. Conover, "A comparison of three methods for selecting values of input variables in the
analysis of output from a computer code", Technometrics 21, 1979.

**N is part of the design**: all candidates are drawn together, so another number of them is another sweep, of which no
candidate is the same. To add candidates to a sweep that has run, choose another sampler from the start.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from optitrip.core.arrays import Array
from optitrip.samplers.random import Random, permutation
from optitrip.samplers.sampler import Design, Sampler

MOST_NUMBERS = 2**25
"""Largest number of candidates times coordinates. Every worker holds their permutations, 4 bytes a number, so at most
128 MiB, and draws them once, in 0.2 s for a million numbers and some 10 s for all."""
EDGE = 2.0**-53
"""Distance of the outermost points from 0 and 1, as for the random sampler."""


@dataclass(frozen=True)
class LatinHypercube(Sampler):
    """Points of which each coordinate alone is spread evenly, in any number of coordinates; row n depends on the seed,
    the name of the variable, n and N. After the last row the intervals begin again."""

    name: ClassVar[str] = "latin_hypercube"
    separate: ClassVar[bool] = True

    def check(self, design: Design) -> None:
        """Check that candidates are drawn together, and that their permutations fit into the memory of a worker."""
        if design.candidates is None:
            raise ValueError(
                "was 'latin_hypercube', which draws all candidates of a search together; a candidate for itself is "
                'drawn by sampler = "random", "halton" or "sobol"'
            )
        numbers = design.candidates * sum(design.values())
        if numbers > MOST_NUMBERS:
            raise ValueError(
                f"was 'latin_hypercube' for {design.candidates:,} candidates of {sum(design.values()):,} numbers, "
                f"{numbers:,} in all; every worker holds them, and at most {MOST_NUMBERS:,} are allowed. Use sampler = "
                '"random", "halton" or "sobol", which hold none'
            )

    def identity(self, design: Design) -> str:
        return f"{self.name} of {design.candidates or 1:,} candidates"

    def unit(self, seed: int, design: Design, items: range) -> dict[str, Array]:
        count = design.candidates or 1
        rows = np.arange(items.start, items.stop) % count
        unit = Random().unit(seed, design, items)
        for name, strata in permutations(seed, tuple(sorted(design.items())), count).items():
            unit[name] += strata[rows]
            unit[name] /= count
            np.clip(unit[name], EDGE, 1 - EDGE, out=unit[name])
        return unit


@lru_cache(2)
def permutations(seed: int, sizes: tuple[tuple[str, int], ...], count: int) -> dict[str, Array]:
    """Draw the interval of each row in each coordinate, uint32 of shape (count, size) for each variable.

    Each coordinate has a stream, e.g. `[seed, "scramble", "latin_hypercube 2 x"]` for place 2 of the variable x.
    """
    found: dict[str, Array] = {}
    for name, size in sizes:
        strata = np.empty((count, size), np.uint32)
        for place in range(size):
            strata[:, place] = permutation(seed, "scramble", f"latin_hypercube {place} {name}", count)
        strata.flags.writeable = False
        found[name] = strata
    return found
