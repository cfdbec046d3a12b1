"""How much of the variation of the loss each variable explains alone, from candidates that were drawn for other ends.

The measure is the first-order Sobol' index, Var E[y | x] / Var y, estimated from the given candidates by bins of equal
counts, also known as the correlation ratio (E. Plischke, E. Borgonovo, C. L. Smith, "Global sensitivity measures from
given data", European Journal of Operational Research 226, 2013, section 3). y is the rank of the loss, so that a few
huge losses do not decide it. The bins explain some of any y by chance; that is subtracted (T. L. Kelley, "An unbiased
correlation ratio measure", PNAS 21, 1935).

What E[y | x] varies within a bin is lost; of a smooth one this is nearly c / bins^2. So about 1.5 sqrt(n) bins and half
as many are extrapolated to infinitely many, (4 S - S_half) / 3. (With n^(1/3) bins and no extrapolation, the loss for
Ishigami's function was a tenth of the index at n = 1,000, three times its standard error.) Variables of few values have
a bin for each, and lose nothing. A variable that exists at some candidates only is ranked among these.

The standard error is the jackknife's, leaving out one of twenty random groups of candidates at a time.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from optitrip.core.arrays import Array, Coded, Column, ours
from optitrip.samplers.random import stream_key, words

LEAST, MOST, ENTRIES = 40, 100_000, 2**24
"""Numbers of candidates: with fewer the measure says nothing, and of more only so many are used; and most numbers that
are drawn for it."""
FEWEST_BINS, MOST_BINS, GROUPS = 4, 256, 20
QUANTILE = 2.093
"""Student's t of 19 degrees of freedom, one fewer than groups, that 2.5 % exceed."""


class Importance(NamedTuple):
    """Importance of one variable."""

    share: float
    """Share of the variance of the ranks of the loss, from below 0, by chance, to 1."""
    error: float
    """Standard error of the share."""
    chance: float
    """Level below which 95 % of variables without influence stay."""

    @property
    def interval(self) -> float:
        """Half width of the 95 % interval."""
        return QUANTILE * self.error


class Sample(NamedTuple):
    """Candidates that a method drew, by which variables can be ranked."""

    columns: Mapping[str, Column]
    """Values of each scalar variable that was drawn; NaN where it does not exist."""
    losses: Array
    """Loss of each candidate, float64 and finite."""
    failed: int = 0
    """Number of candidates that are left out because they failed."""
    left_out: Mapping[str, str] = MappingProxyType({})
    """Reasons why other variables are not ranked, by name, e.g. that one is an array."""
    independent: bool = True
    """True if candidates were drawn without regard to the losses of others."""
    measure: str = "loss"
    """Name of the losses."""


def most_used(variables: int) -> int:
    """Return how many candidates are used for so many variables."""
    return min(MOST, ENTRIES // max(variables, 1))


@ours()
def ranked(sample: Sample) -> dict[str, Importance | None]:
    """Return the importance of each variable of a sample, the most important first; None if it cannot be told: there
    are too few candidates, the variable hardly varies, or all losses are the same. A variable that some candidates do
    not have, where it is NaN, is ranked among the others."""
    found = {name: importance(numbers(column), sample.losses) for name, column in sample.columns.items()}
    order = sorted(found.items(), key=lambda item: -np.inf if item[1] is None else item[1].share, reverse=True)
    return dict(order)


def numbers(column: Column) -> Array:
    """Return a column as numbers: its values, or the codes of a choice."""
    return column.codes if isinstance(column, Coded) else column


def importance(values: Array, loss: Array) -> Importance | None:
    """Return the importance of a variable; None if there are too few candidates or it hardly varies.

    `values` are numbers, or codes of a choice as integers, NaN where the variable does not exist; such candidates are
    left out. `loss` is finite.
    """
    if not (there := existing_rows(values)).all():
        values, loss = values[there], loss[there]
    count = len(loss)
    if count < LEAST:
        return None
    bins, few = binned(values)
    _, places, ties = np.unique(loss, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[places]  # ties share the mean of their ranks
    levels = int(bins.max()) + 1
    if levels < 2 or ranks.min() == ranks.max():
        return None
    groups = (words(stream_key(0, "jackknife", ""), 0, count) % np.uint64(GROUPS)).astype(np.int64)
    cells = np.bincount(bins * GROUPS + groups, minlength=levels * GROUPS).reshape(levels, GROUPS)
    sums = np.bincount(bins * GROUPS + groups, ranks, levels * GROUPS).reshape(levels, GROUPS)
    squares = np.bincount(groups, ranks**2, GROUPS)
    explains = explained if few else extrapolated
    share = explains(cells.sum(1), sums.sum(1), float(squares.sum()))
    without = np.array(
        [
            explains(cells.sum(1) - cells[:, g], sums.sum(1) - sums[:, g], float(squares.sum() - squares[g]))
            for g in range(GROUPS)
        ]
    )
    variance = (GROUPS - 1) / GROUPS * float(((without - without.mean()) ** 2).sum())
    return Importance(share, variance**0.5, by_chance(count, levels, few=few))


def existing_rows(values: Column) -> Array:
    """Return at which candidates a variable exists, bool of shape (n,)."""
    found = numbers(values)
    return ~np.isnan(found) if found.dtype.kind == "f" else np.ones(len(found), bool)


def binned(values: Array) -> tuple[Array, bool]:
    """Return a bin from 0 for each value, and whether each distinct value has one of its own, as where these are few;
    else bins have equal counts."""
    distinct, places = np.unique(values, return_inverse=True)
    most = int(np.clip(1.5 * len(values) ** 0.5, FEWEST_BINS, MOST_BINS))
    if len(distinct) <= most:
        return places, True
    edges = np.quantile(values, np.arange(1, most) / most)
    return np.unique(np.searchsorted(edges, values), return_inverse=True)[1], False


def extrapolated(counts: Array, sums: Array, squares: float) -> float:
    """Return the share of the variance between infinitely many bins, from the bins and pairs of them."""
    pairs = np.arange(0, len(counts), 2)
    halved = explained(np.add.reduceat(counts, pairs), np.add.reduceat(sums, pairs), squares)
    return (4 * explained(counts, sums, squares) - halved) / 3


def explained(counts: Array, sums: Array, squares: float) -> float:
    """Return the corrected share of the variance between bins, from their counts, their sums and all squares."""
    used = counts > 0
    counts, sums = counts[used], sums[used]
    total, mean = int(counts.sum()), float(sums.sum() / counts.sum())
    between = float((counts * (sums / counts - mean) ** 2).sum())
    return corrected(between / (squares - total * mean**2), total, len(counts))


def corrected(ratio: float, count: int, levels: int) -> float:
    return 1 - (1 - ratio) * (count - 1) / (count - levels)


def by_chance(count: int, levels: int, *, few: bool) -> float:
    """Return the level that 5 % of variables without influence exceed.

    For ranks (n - 1) times the plain ratio is the statistic of W. H. Kruskal and W. A. Wallis (JASA 47, 1952), nearly
    chi-squared with one degree of freedom fewer than bins if x has no influence. The extrapolation has the chi-squared
    of half the bins once and that of the others 4/3 times; such a sum is nearly a multiple of one chi-squared (F. E.
    Satterthwaite, Biometrics Bulletin 2, 1946).
    """
    from scipy.special import chdtri  # not `scipy.stats`, which takes most of a second to import

    if few:
        return corrected(float(chdtri(levels - 1, 0.05)) / (count - 1), count, levels)
    half = -(-levels // 2)
    mean, variance = half - 1 + 4 / 3 * (levels - half), 2 * (half - 1) + 32 / 9 * (levels - half)
    return (variance / (2 * mean) * float(chdtri(2 * mean**2 / variance, 0.05)) - mean) / (count - 1)
