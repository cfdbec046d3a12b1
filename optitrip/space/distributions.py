"""Distributions: inverse CDFs from the open unit interval to values. To add one, add a class and a line in the table.

Every distribution takes u in (0, 1) as float64 and works in float64; the cast to a variable's dtype comes last, so a
value may round to a bound: bounds are closed.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from optitrip.core.arrays import Array

LOWEST, HIGHEST = 2.0**-53, 1 - 2.0**-53
"""Smallest and largest u that a sampler returns."""


class Distribution(Protocol):
    """A frozen description with its inverse CDF. Other files use only this interface; most of it has defaults.

    A class in the table also has a class method `parse(entry)`, which raises ValueError for an invalid entry of a sweep
    file. An entry lists the fields in order, or is the bare value of a single field.
    """

    drawn: ClassVar[bool] = True
    """True if values depend on u; False for a constant, which needs no draw."""
    fixed: ClassVar[bool] = False
    """True if the value is the same at every point, so that a gradient leaves the variable out."""
    continuous: ClassVar[bool] = True
    """True if the values form an interval, so that derivatives exist."""
    positive: ClassVar[bool] = False
    """True if all values are above 0 whatever the fields."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value itself, for a variable that gives none."""
        return ()

    def extremes(self) -> Array:
        """Return points u, shape (n,), whose values include the smallest and the largest."""
        return np.array([LOWEST, 0.5, HIGHEST])

    @abstractmethod
    def values(self, unit: Array) -> Array:
        """Map u in (0, 1) to values, elementwise; `unit` may be overwritten."""


def finite(value: object, what: str) -> float:
    """Return a finite number as a float; raises ValueError for anything else, bools included."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number, was {value!r}")
    return number


def pair(entry: object, names: str) -> tuple[Any, Any]:
    """Return the two entries of a list; raises ValueError for anything else."""
    if not isinstance(entry, list | tuple) or len(entry) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError(f"wanted [{names}], was {entry!r}")
    return tuple(entry)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


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

    positive: ClassVar[bool] = True

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


@dataclass(frozen=True)
class Choice(Distribution):
    """One of several strings, numbers or booleans, all equally likely."""

    options: tuple[str | int | float | bool, ...]
    continuous: ClassVar[bool] = False

    @classmethod
    def parse(cls, entry: object) -> Self:
        if not isinstance(entry, list) or not entry:
            raise ValueError(f"wanted a list of one option or more, was {entry!r}")
        options: list[Any] = entry
        for option in options:
            if not isinstance(option, str | int | float):
                raise ValueError(f"an option must be a string, a number or a boolean, was {option!r}")
            if isinstance(option, float) and not math.isfinite(option):
                raise ValueError(f"an option was {option!r}, which is not finite")
        return cls(tuple(options))

    def extremes(self) -> Array:
        return (np.arange(len(self.options)) + 0.5) / len(self.options)  # any option may be the largest

    def values(self, unit: Array) -> Array:
        unit *= len(self.options)
        index = np.minimum(unit.astype(np.int64), len(self.options) - 1)
        return typed_array(self.options)[index]


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same value, a scalar or an array."""

    value: Any
    drawn: ClassVar[bool] = False
    fixed: ClassVar[bool] = True

    @classmethod
    def parse(cls, entry: object) -> Self:
        if isinstance(entry, list):
            if typed_array(entry).dtype == object:  # pyright: ignore[reportUnknownArgumentType]
                raise ValueError(f"a list must be a regular array of entries of one type, was {entry!r}")
            return cls(nested_tuple(entry))
        if not isinstance(entry, str | int | float):
            raise ValueError(f"wanted a number, a string, a boolean or a list, was {entry!r}")
        return cls(entry)

    @property
    def shape(self) -> tuple[int, ...]:
        return typed_array(self.value).shape

    def values(self, unit: Array) -> Array:
        constant = typed_array(self.value)
        shape = (*unit.shape[:1], *constant.shape) if constant.ndim else unit.shape
        return np.broadcast_to(constant, shape)


@dataclass(frozen=True)
class Free(Distribution):
    """No distribution: for a gradient's variable, whose value comes from the start point."""

    drawn: ClassVar[bool] = False

    def values(self, unit: Array) -> Array:
        raise ValueError("a variable without a distribution cannot be drawn")


NO_DISTRIBUTION: Distribution = Free()
"""Distribution of a variable that has none in the sweep file."""


def nested_tuple(entry: Any) -> Any:
    return tuple(nested_tuple(part) for part in entry) if isinstance(entry, list) else entry  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def typed_array(options: Any) -> Array:
    """Return an array of the options' common type, or of objects if they differ, so that 1 does not become '1'."""
    entries: list[Any] = np.asarray(options, dtype=object).ravel().tolist()
    types = {type(entry) for entry in entries}
    array = np.asarray(options) if len(types) == 1 and types <= {str, int, float, bool} else None
    if array is None or (types == {int} and array.dtype.kind != "i"):  # NumPy converts large integers to floats
        return np.asarray(options, object)
    return array


DISTRIBUTIONS: dict[str, Callable[[object], Distribution]] = {
    "normal": Normal.parse,
    "log_normal": LogNormal.parse,
    "uniform": Uniform.parse,
    "log_uniform": LogUniform.parse,
    "integer": Integer.parse,
    "log_integer": LogInteger.parse,
    "choice": Choice.parse,
    "constant": Constant.parse,
}
