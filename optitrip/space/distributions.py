"""Distributions: inverse CDFs from the open unit interval to values. To add one, add a class and its line in the table.

Every distribution takes u in (0, 1) as float64 and works in float64; the cast to a variable's dtype comes last, so a
value may round to a bound: bounds are closed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from optitrip.core.arrays import Array

Number = int | float


LOWEST, HIGHEST = 2.0**-53, 1 - 2.0**-53
"""The outermost u that a sampler gives."""


class Distribution(Protocol):
    """A frozen description with the inverse of its CDF. All that others know of it is here; most is as a default says.

    Its fields, in their order, are what a sweep file gives for its word: a list, or the value itself of a single field.
    """

    drawn: ClassVar[bool] = True
    """Whether values depend on u: a constant's do not, so nothing is drawn for it."""
    fixed: ClassVar[bool] = False
    """Whether its value is the same in every point, so that a gradient takes no step in it."""
    continuous: ClassVar[bool] = True
    """Whether values near a value are values too; without that there is no derivative."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that its own value has, where a variable need not say one."""
        return ()

    def extremes(self) -> Array:
        """Give some u in (0, 1), shape (n,), whose values include the smallest and the largest."""
        return np.array([LOWEST, 0.5, HIGHEST])

    @abstractmethod
    def values(self, unit: Array) -> Array:
        """Map u in (0, 1) to values, elementwise; `unit` may be used up as scratch."""
        ...


def finite(value: object, what: str) -> float:
    """A finite float.

    Raises:
        ValueError: for anything else, bools included.
    """
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number, was {value!r}")
    return number


def pair(given: object, names: str) -> tuple[Any, Any]:
    """The two entries of a list.

    Raises:
        ValueError: if `given` is not a list of two.
    """
    if not isinstance(given, list | tuple) or len(given) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError(f"wanted [{names}], was {given!r}")
    return tuple(given)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def ascending(given: object) -> tuple[float, float]:
    """Two finite numbers, the first below the second."""
    first, second = pair(given, "low, high")
    low, high = finite(first, "low"), finite(second, "high")
    if not low < high:
        raise ValueError(f"low must be below high, was [{first!r}, {second!r}]")
    if not math.isfinite(high - low):
        raise ValueError(f"high - low must be finite, was [{first!r}, {second!r}]")
    return low, high


def ndtri(unit: Array) -> Array:
    """The inverse of the standard normal's CDF, in place."""
    from scipy import special  # 0.3 s, which a space without normals need not pay

    return special.ndtri(unit, out=unit)


@dataclass(frozen=True)
class Normal(Distribution):
    """Mean and standard deviation."""

    mean: float
    deviation: float

    @classmethod
    def parse(cls, given: object) -> Normal:
        first, second = pair(given, "mean, standard deviation")
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
class LogNormal(Distribution):
    """exp of a normal with this mean and standard deviation."""

    mean: float
    deviation: float

    @classmethod
    def parse(cls, given: object) -> LogNormal:
        normal = Normal.parse(given)
        return cls(normal.mean, normal.deviation)

    def values(self, unit: Array) -> Array:
        normal = Normal(self.mean, self.deviation).values(unit)
        return np.exp(normal, out=normal)


@dataclass(frozen=True)
class Uniform(Distribution):
    """Between low and high."""

    low: float
    high: float

    @classmethod
    def parse(cls, given: object) -> Uniform:
        return cls(*ascending(given))

    def values(self, unit: Array) -> Array:
        width = self.high - self.low
        unit *= width
        unit += self.low
        # Rounding is monotonic: what is above 0 ends at low or above, and what ends highest is the highest u.
        if HIGHEST * width + self.low > self.high:
            np.minimum(unit, self.high, out=unit)
        return unit


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Its logarithm is uniform between those of low and high, both above 0."""

    low: float
    high: float

    @classmethod
    def parse(cls, given: object) -> LogUniform:
        low, high = ascending(given)
        if low <= 0:
            raise ValueError(f"low must be above 0 for a logarithm, was {low!r}")
        return cls(low, high)

    def values(self, unit: Array) -> Array:
        exponent = Uniform(math.log(self.low), math.log(self.high)).values(unit)
        return np.clip(np.exp(exponent, out=exponent), self.low, self.high, out=exponent)


@dataclass(frozen=True)
class Integer(Distribution):
    """A whole number from low to high, both included."""

    low: int
    high: int
    continuous: ClassVar[bool] = False

    WIDEST: ClassVar[int] = 2**48
    """With 2^52 values of u, this many integers are still drawn evenly to one part in sixteen."""

    @classmethod
    def parse(cls, given: object) -> Integer:
        low, high = pair(given, "low, high")
        for value in (low, high):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"wanted [low, high] as integers, was {given!r}")
        if low > high:
            raise ValueError(f"low must not be above high, was {given!r}")
        if high - low >= cls.WIDEST or max(abs(low), abs(high)) >= 2**62:
            raise ValueError(f"at most 2^48 integers of size up to 2^62 can be drawn evenly, was {given!r}")
        return cls(low, high)

    def values(self, unit: Array) -> Array:
        count = self.high - self.low + 1
        unit *= count
        return np.minimum(unit.astype(np.int64), count - 1) + self.low


@dataclass(frozen=True)
class LogInteger(Distribution):
    """A whole number from low to high, both included and at least 1, whose logarithm is uniform: for sizes and counts.

    A number whose logarithm is uniform between those of low - 1/2 and high + 1/2, rounded: n is as likely as
    log((n + 1/2) / (n - 1/2)), which is nearly 1 / n, so each doubling holds as many draws as any other.
    """

    low: int
    high: int
    continuous: ClassVar[bool] = False

    LARGEST: ClassVar[int] = 2**40
    """With 2^52 values of u, whole numbers up to here still have their shares to one part in fifty."""

    @classmethod
    def parse(cls, given: object) -> LogInteger:
        bounds = Integer.parse(given)
        if bounds.low < 1:
            raise ValueError(f"low must be at least 1 for a logarithm, was {given!r}")
        if bounds.high > cls.LARGEST:
            raise ValueError(f"high must be at most 2^40, was {given!r}")
        return cls(bounds.low, bounds.high)

    def values(self, unit: Array) -> Array:
        exact = LogUniform(self.low - 0.5, self.high + 0.5).values(unit)
        return np.clip(np.rint(exact, out=exact), self.low, self.high, out=exact).astype(np.int64)


@dataclass(frozen=True)
class Choice(Distribution):
    """One of some strings, numbers or booleans, each as likely."""

    options: tuple[str | Number | bool, ...]
    continuous: ClassVar[bool] = False

    @classmethod
    def parse(cls, given: object) -> Choice:
        if not isinstance(given, list) or not given:
            raise ValueError(f"wanted a list of one option or more, was {given!r}")
        options: list[Any] = given
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
        return table(self.options)[index]


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same value."""

    value: Any
    drawn: ClassVar[bool] = False
    fixed: ClassVar[bool] = True

    @classmethod
    def parse(cls, given: object) -> Constant:
        if isinstance(given, list):
            numbers = table(given)  # pyright: ignore[reportUnknownArgumentType]
            if numbers.dtype == object:
                raise ValueError(f"a list must be a regular array of entries of one type, was {given!r}")
            return cls(tuple_of(given))
        if not isinstance(given, str | int | float):
            raise ValueError(f"wanted a number, a string, a boolean or a list, was {given!r}")
        return cls(given)

    @property
    def shape(self) -> tuple[int, ...]:
        return table(self.value).shape

    def values(self, unit: Array) -> Array:
        constant = table(self.value)
        shape = (*unit.shape[:1], *constant.shape) if constant.ndim else unit.shape
        return np.broadcast_to(constant, shape)


@dataclass(frozen=True)
class Free(Distribution):
    """No distribution: a variable of a gradient, whose values come from the point where it is taken."""

    drawn: ClassVar[bool] = False

    def values(self, unit: Array) -> Array:
        del unit
        raise ValueError("a variable without a distribution cannot be drawn")


NO_DISTRIBUTION: Distribution = Free()
"""What a variable has for which a sweep file gives none."""


def tuple_of(nested: Any) -> Any:
    return tuple(tuple_of(entry) for entry in nested) if isinstance(nested, list) else nested  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def table(options: Any) -> Array:
    """An array of the options: of the type they share, else of objects, so that 1 does not turn to '1'."""
    entries: list[Any] = np.asarray(options, dtype=object).ravel().tolist()
    types = {type(entry) for entry in entries}
    same = np.asarray(options) if len(types) == 1 and types <= {str, int, float, bool} else None
    if same is None or (types == {int} and same.dtype.kind != "i"):  # NumPy turns large integers to floats
        return np.asarray(options, object)
    return same


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
