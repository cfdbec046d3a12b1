"""Checks what a variable's dtype makes of a distribution, before anything is drawn: the cast comes last, and may leave
infinities, zeros in place of small numbers, or a handful of values in place of an interval."""

import reprlib

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.space.distribution import HIGHEST, LOWEST, Distribution

FEWEST = 16
"""Smallest number of distinct values of an interval."""
GRID = 1_025
"""Number of points u at which the values of an interval are counted."""


def check_rounding(distribution: Distribution, dtype: str) -> None:
    """Raise ValueError if a distribution is no longer what it was after the cast of its floating-point values to
    `dtype`; the message gives the fields, what became of them, and what to do."""
    problem = rounding_problem(distribution, dtype)
    if problem is None:
        return
    given = distribution.describe()
    helps = dtype != "float64" and rounding_problem(distribution, "float64") is None
    raise ValueError(f"was {reprlib.repr(given)}, which {problem}" + ', or dtype = "float64"' * helps)


@ours()
def rounding_problem(distribution: Distribution, dtype: str) -> str | None:
    """Return what is wrong with the values after the cast, and what was wanted; None if nothing is."""
    exact, cast = values_at(distribution, distribution.extremes(), dtype)
    limits = np.finfo(dtype)
    if cast.dtype.kind != "f":
        return None
    # An option may be infinite or NaN on purpose.
    infinite = ~np.isfinite(cast) & (distribution.continuous | np.isfinite(exact))
    if infinite.any():
        return f"reaches values that are not finite in {dtype}; wanted values up to {float(limits.max):.2g}"
    zero = exact[becomes_zero(distribution, exact, cast)]
    if zero.size:
        wanted = f"wanted values of at least {float(limits.smallest_subnormal):.2g} in size"
        return f"reaches {float(zero[0]):.3g}, which is 0 in {dtype}; {wanted}" if zero[0] else f"reaches 0; {wanted}"
    if distribution.continuous and distribution.drawn:
        return coarseness(distribution, dtype)
    if distribution.drawn and np.unique(cast).size < np.unique(exact).size:
        return f"has different options that are equal in {dtype}; wanted options further apart"
    return None


@ours()
def underflow(distribution: Distribution, dtype: str) -> str | None:
    """Return how many draws of a positive distribution are 0, since they are too small; None if none are."""
    if not distribution.positive or values_at(distribution, distribution.extremes(), dtype)[1].all():
        return None
    _, cast = values_at(distribution, np.linspace(LOWEST, HIGHEST, GRID), dtype)
    share = 1 - np.count_nonzero(cast) / GRID
    return f"{f'{share:.0%}' if share >= 0.01 else 'under 1%'} of its values are too small for {dtype}, and become 0"


def values_at(distribution: Distribution, unit: Array, dtype: str) -> tuple[Array, Array]:
    """Return the values at points u, flat, before and after the cast of floating-point values."""
    exact = distribution.values(unit[:, np.newaxis]).ravel()
    return exact, exact.astype(dtype) if exact.dtype.kind == "f" else exact


def becomes_zero(distribution: Distribution, exact: Array, cast: Array) -> Array:
    """Return which of the extremes are 0 after the cast and should not be. An interval that holds 0 may round to it."""
    if distribution.positive:
        return (cast == 0) & (exact != 0)  # `underflow` tells of zeros in float64 itself
    holds_zero = distribution.continuous and distribution.drawn and exact.min() <= 0 <= exact.max()
    return (cast == 0) & (exact != 0) & (not holds_zero)


def coarseness(distribution: Distribution, dtype: str) -> str | None:
    """Return how few values an interval has after the cast, and what was wanted; None if they are enough."""
    _, cast = values_at(distribution, np.linspace(LOWEST, HIGHEST, GRID), dtype)
    distinct = np.unique(cast + 0)  # -0.0 is shown as 0.0
    if distinct.size >= FEWEST:
        return None
    low, high = float(distinct[0]), float(distinct[-1])
    found = f"only {distinct.size} values, from {low!r} to {high!r}," if low < high else f"the one value {low!r}"
    apart = float(np.spacing(np.abs(distinct).max()))
    return (
        f"has {found} in {dtype}, whose numbers there are {apart:.2g} apart; wanted "
        "a width of many times that (draw the distance from a fixed number, and add that number in the loss)"
    )
