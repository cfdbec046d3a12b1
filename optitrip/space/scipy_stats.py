"""Any distribution of `scipy.stats`, by its name and its arguments, through its inverse CDF `ppf`.

In a sweep file `x = { scipy = { name = "gamma", a = 2.0, scale = 3.0 } }`: the shape parameters by SciPy's names,
`loc`, and `scale` of a continuous one. `scipy.stats` is imported once such an entry is used.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.differences import nearest
from optitrip.space.distribution import HIGHEST, LOWEST, Distribution, finite

DEFAULTS = {"loc": 0.0, "scale": 1.0}
LARGEST = 2.0**53
"""Largest value of a discrete distribution: beyond it, SciPy's floats are no longer all the whole numbers."""
FAR, LIGHTEST = 2.0**40, 2.0**-106
"""A large whole number, and how likely it may be: a power of its size then has 2^20 as its largest value at any u."""
OUTERMOST = 2.0**-44
"""Distance from 0 and 1 to which u is moved where SciPy's `ppf` is infinite by a rounding, as that of halfnorm is."""
TRIED = 33
"""Number of points u at which a distribution is tried before a sweep; some of SciPy's take a millisecond each."""


@dataclass(frozen=True)
class Continuous(Distribution):
    """A continuous distribution of `scipy.stats`, with float64 values."""

    name: str
    arguments: tuple[tuple[str, float], ...]
    """Shape parameters in SciPy's order, then loc and scale if they are not 0 and 1."""

    @cached_property
    def _frozen(self) -> Any:
        from scipy import stats

        return getattr(stats, self.name)(**dict(self.arguments))

    @cached_property
    def _support(self) -> tuple[float, float]:
        low, high = self._frozen.support()
        return float(low), float(high)

    @property
    def positive(self) -> bool:
        return self._support[0] >= 0

    @property
    def limits(self) -> tuple[float, float]:
        return self._support

    @property
    def tail(self) -> float:
        """Probability of a whole number as large as `FAR`, times that number."""
        return float(self._frozen.pmf(FAR) * FAR)

    def describe(self) -> Any:
        return {"name": self.name, **dict(self.arguments)}

    def values(self, unit: Array) -> Array:
        found = np.asarray(self._frozen.ppf(unit), np.float64)
        lost = np.isinf(found)
        if lost.any():
            found[lost] = self._frozen.ppf(np.clip(unit[lost], OUTERMOST, 1 - OUTERMOST))
        return np.clip(found, *self._support)


@dataclass(frozen=True)
class Discrete(Continuous):
    """A discrete distribution of `scipy.stats`, with int64 values."""

    continuous: ClassVar[bool] = False

    @property
    def positive(self) -> bool:
        return False

    def values(self, unit: Array) -> Array:
        return super().values(unit).astype(np.int64)


def parse(entry: object) -> Distribution:
    """Return the distribution of a table of a name and arguments; raises ValueError, with what was given and what was
    wanted, for an unknown name, for wrong or missing arguments, and for those for which SciPy gives no numbers."""
    given: dict[str, Any] = dict(entry) if isinstance(entry, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f'wanted a name and arguments, e.g. {{ name = "gamma", a = 2.0, scale = 3.0 }}, was {entry!r}')
    from scipy import stats

    kinds = stats.rv_continuous, stats.rv_discrete
    known: dict[str, Any] = {word: found for word, found in vars(stats).items() if isinstance(found, kinds)}
    if name not in known:
        raise ValueError(f"name was {name!r}, which is no distribution of scipy.stats; {nearest(name, sorted(known))}")
    continuous = isinstance(known[name], stats.rv_continuous)
    shapes: list[str] = [word.strip() for word in (known[name].shapes or "").split(",") if word.strip()]
    accepted = [*shapes, "loc", *["scale"] * continuous]
    for word in given:
        if word not in accepted:
            raise ValueError(f"{word} is no argument of {name}; {nearest(word, accepted)}")
    if missing := [word for word in shapes if word not in given]:
        raise ValueError(f"{name} needs {' and '.join(missing)}, was {entry!r}; it takes {', '.join(accepted)}")
    arguments = {word: finite(given[word], word) for word in accepted if word in given}
    arguments = {word: value for word, value in arguments.items() if value != DEFAULTS.get(word)}
    made = (Continuous if continuous else Discrete)(name, tuple(arguments.items()))
    check(made, ", ".join(f"{word} = {value!r}" for word, value in arguments.items()) or "no arguments")
    return made


@ours()
def check(made: Continuous, arguments: str) -> None:
    """Raise ValueError if a distribution gives no numbers, or ones that are too large to be whole."""
    try:
        if not made.continuous and math.isinf(made.limits[1]) and made.tail > LIGHTEST:
            raise ValueError(
                f"{made.name} has a heavy tail with {arguments}, for which SciPy adds up millions of probabilities; "
                "wanted a lighter one, or a continuous distribution"
            )
        tried = Continuous(made.name, made.arguments).values(np.linspace(LOWEST, HIGHEST, TRIED))
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{made.name} fails with {arguments}: {error}; wanted other arguments") from None
    if np.isnan(tried).any():
        raise ValueError(
            f"{made.name} gives no numbers (NaN) with {arguments}; wanted arguments for which SciPy defines it"
        )
    if not made.continuous and np.abs(tried).max() > LARGEST:
        raise ValueError(
            f"{made.name} reaches {float(np.abs(tried).max()):.3g} with {arguments}; wanted whole numbers up to 2^53"
        )
