"""Distributions: inverse CDFs from the open unit interval to values. To add one, add a class and a line in the table.

Every distribution takes u in (0, 1) as float64 and works in float64; the cast to a variable's dtype comes last, so a
value may round to a bound: bounds are closed.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from optitrip.core.arrays import Array
from optitrip.space import scipy_stats
from optitrip.space.distribution import HIGHEST, Distribution, finite, pair
from optitrip.space.listed import Choice, Constant


def ndtri(unit: Array) -> Array:
    """Apply the inverse CDF of the standard normal, in place."""
    from scipy import special  # takes 0.3 s, which a space without normals need not spend

    return special.ndtri(unit, out=unit)


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal distribution with a mean and a standard deviation."""

    mean: float
    deviation: float

    @classmethod
    def parse(cls, entry: object) -> Self:
        first, second = pair(entry, "mean, standard deviation")
        mean, deviation = finite(first, "mean"), finite(second, "standard deviation")
        if deviation <= 0:
            raise ValueError(f"standard deviation must be above 0, was {second!r}")
        return cls(mean, deviation)

    def values(self, unit: Array) -> Array:
        normal = ndtri(unit)
        normal *= self.deviation
        normal += self.mean
        return normal


@dataclass(frozen=True)
class LogNormal(Normal):
    """exp of a normal with this mean and standard deviation."""

    @property
    def positive(self) -> bool:
        return True

    @property
    def limits(self) -> tuple[float, float]:
        return sys.float_info.min, math.inf

    def values(self, unit: Array) -> Array:
        normal = super().values(unit)
        return np.exp(normal, out=normal)


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform distribution between low and high."""

    low: float
    high: float

    @classmethod
    def parse(cls, entry: object) -> Self:
        first, second = pair(entry, "low, high")
        low, high = finite(first, "low"), finite(second, "high")
        if not low < high:
            raise ValueError(f"low must be below high, was [{first!r}, {second!r}]")
        if not math.isfinite(high - low):
            raise ValueError(f"high - low must be finite, was [{first!r}, {second!r}]")
        return cls(low, high)

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def values(self, unit: Array) -> Array:
        width = self.high - self.low
        unit *= width
        unit += self.low
        # Rounding is monotonic: u above 0 gives low or more, and the largest u gives the largest value.
        if HIGHEST * width + self.low > self.high:
            np.minimum(unit, self.high, out=unit)
        return unit


@dataclass(frozen=True)
class LogUniform(Uniform):
    """Distribution whose logarithm is uniform between those of low and high, both above 0."""

    @classmethod
    def parse(cls, entry: object) -> Self:
        bounds = super().parse(entry)
        if bounds.low <= 0:
            raise ValueError(f"low must be above 0 for a logarithm, was {bounds.low!r}")
        return bounds

    def values(self, unit: Array) -> Array:
        exponent = Uniform(math.log(self.low), math.log(self.high)).values(unit)
        return np.clip(np.exp(exponent, out=exponent), self.low, self.high, out=exponent)


@dataclass(frozen=True)
class Integer(Distribution):
    """Whole numbers from low to high, both included, all equally likely."""

    low: int
    high: int
    continuous: ClassVar[bool] = False

    WIDEST: ClassVar[int] = 2**48
    """Most integers whose probabilities, by the 2^52 values of u, differ by at most 1/16."""

    @classmethod
    def parse(cls, entry: object) -> Self:
        low, high = pair(entry, "low, high")
        for bound in (low, high):
            if isinstance(bound, bool) or not isinstance(bound, int):
                raise ValueError(f"wanted [low, high] as integers, was {entry!r}")
        if low > high:
            raise ValueError(f"low must not be above high, was {entry!r}")
        if high - low >= cls.WIDEST or max(abs(low), abs(high)) >= 2**62:
            raise ValueError(f"at most 2^48 integers of size up to 2^62 can be drawn evenly, was {entry!r}")
        return cls(low, high)

    @property
    def levels(self) -> int:
        return self.high - self.low + 1

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def values(self, unit: Array) -> Array:
        count = self.high - self.low + 1
        unit *= count
        return np.minimum(unit.astype(np.int64), count - 1) + self.low


@dataclass(frozen=True)
class LogInteger(Integer):
    """Whole numbers from low to high, both included and at least 1, with a uniform logarithm: for sizes and counts.

    A value is a number whose logarithm is uniform between those of low - 1/2 and high + 1/2, rounded. So n has a
    probability proportional to log((n + 1/2) / (n - 1/2)), nearly 1 / n, and each doubling gets as many draws as any
    other.
    """

    LARGEST: ClassVar[int] = 2**40
    """Largest number whose probability the 2^52 values of u reproduce to one part in fifty."""

    @property
    def levels(self) -> int:
        return 0  # each doubling has the same interval of u

    @classmethod
    def parse(cls, entry: object) -> Self:
        bounds = super().parse(entry)
        if bounds.low < 1:
            raise ValueError(f"low must be at least 1 for a logarithm, was {entry!r}")
        if bounds.high > cls.LARGEST:
            raise ValueError(f"high must be at most 2^40, was {entry!r}")
        return bounds

    def values(self, unit: Array) -> Array:
        exact = LogUniform(self.low - 0.5, self.high + 0.5).values(unit)
        return np.clip(np.rint(exact, out=exact), self.low, self.high, out=exact).astype(np.int64)


DISTRIBUTIONS: dict[str, Callable[[object], Distribution]] = {
    "normal": Normal.parse,
    "log_normal": LogNormal.parse,
    "uniform": Uniform.parse,
    "log_uniform": LogUniform.parse,
    "integer": Integer.parse,
    "log_integer": LogInteger.parse,
    "choice": Choice.parse,
    "constant": Constant.parse,
    "scipy": scipy_stats.parse,
}
