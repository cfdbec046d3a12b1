"""A continuous distribution of which only some values are taken: the key `levels` of a variable."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from optitrip.core.arrays import Array
from optitrip.space.distribution import HIGHEST, LOWEST, Distribution

MOST = 2**20
"""Most levels, since all are looked at before a sweep; more are as good as continuous."""


@dataclass(frozen=True)
class Levels(Distribution):
    """Values of a continuous distribution, all equally likely.

    Between finite limits they are evenly spaced in u with both limits included, so that those of `log_uniform` are in
    geometric progression; else they are the values at the middles of equal intervals of u, which are equally probable.
    """

    among: Distribution
    count: int
    continuous: ClassVar[bool] = False

    @classmethod
    def of(cls, among: Distribution, count: object) -> Self:
        """Return some values of a distribution; raises ValueError for a number that is none, or a distribution without
        a range of values, or one whose values are too near to one another."""
        if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= MOST:
            raise ValueError(f"was {count!r}, wanted a whole number from 2 to {MOST:,}")
        if not among.drawn or not among.continuous:
            kind = "a finite number of values already" if among.levels or among.fixed else "no range to divide"
            raise ValueError(
                f"was {count}, but the variable has {kind}; remove this key, or list the values that are wanted, e.g. "
                "{ choice = [1, 10, 100] }"
            )
        found = cls(among, count)
        different = np.unique(found.values(found.extremes())).size
        if different < count:
            raise ValueError(f"was {count:,}, but only {different:,} of the values differ; wanted fewer levels")
        return found

    @property
    def levels(self) -> int:
        return self.count

    @property
    def positive(self) -> bool:
        return self.among.positive

    @property
    def limits(self) -> tuple[float, float]:
        return self.among.limits

    def extremes(self) -> Array:
        return (np.arange(self.count) + 0.5) / self.count

    def describe(self) -> Any:
        return self.among.describe()

    def values(self, unit: Array) -> Array:
        place = np.minimum(np.floor(unit * self.count), self.count - 1)
        low, high = self.among.limits
        if not math.isfinite(high - low):
            return self.among.values((place + 0.5) / self.count)
        inner = self.among.values(np.clip(place / (self.count - 1), LOWEST, HIGHEST))
        # The limits themselves: the outermost u, and an exponential of a logarithm, may be off by a rounding.
        return np.where(place == 0, low, np.where(place == self.count - 1, high, inner))
