"""How much of the variation of the loss each parameter explains alone.

The measure is the first-order Sobol' index, Var E[y | x] / Var y, estimated from the given candidates by bins of equal
counts, also known as the correlation ratio (E. Plischke, E. Borgonovo, C. L. Smith, "Global sensitivity measures from
given data", European Journal of Operational Research 226, 2013, section 3). y is the rank of the loss, so that a few
huge losses do not decide it. The bins explain some of any y by chance; that is subtracted (T. L. Kelley, "An unbiased
correlation ratio measure", PNAS 21, 1935). For ranks (n - 1) times the plain ratio is the statistic of W. H. Kruskal
and W. A. Wallis (JASA 47, 1952), nearly chi-squared with one degree of freedom fewer than bins if x has no influence.
The interval is the jackknife's, leaving out one of twenty random groups of candidates at a time.
"""

from typing import NamedTuple

import numpy as np

from optitrip.core.arrays import Array
from optitrip.samplers.random import stream_key, words

LEAST, MOST = 40, 100_000
"""Numbers of candidates: with fewer the measure says nothing, and of more only so many are used."""
MOST_BINS, GROUPS = 32, 20


class Importance(NamedTuple):
    """Importance of one parameter."""

    share: float
    """Share of the variance of the ranks of the loss, from below 0, by chance, to 1."""
    error: float
    """Half width of the 95 % interval."""
    chance: float
    """Level below which 95 % of parameters without influence stay."""


def importance(values: Array, loss: Array) -> Importance | None:
    """Return the importance of a parameter; None if there are too few candidates or it hardly varies.

    `values` are numbers, or codes of a choice as integers; `loss` is finite.
    """
    from scipy.special import chdtri  # not `scipy.stats`, which takes most of a second to import

    count = len(loss)
    if count < LEAST:
        return None
    bins = binned(values)
    _, places, ties = np.unique(loss, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[places]  # ties share the mean of their ranks
    levels = int(bins.max()) + 1
    if levels < 2 or ranks.min() == ranks.max():
        return None
    groups = (words(stream_key(0, "jackknife", ""), 0, count) % np.uint64(GROUPS)).astype(np.int64)
    cells = np.bincount(bins * GROUPS + groups, minlength=levels * GROUPS).reshape(levels, GROUPS)
    sums = np.bincount(bins * GROUPS + groups, ranks, levels * GROUPS).reshape(levels, GROUPS)
    squares = np.bincount(groups, ranks**2, GROUPS)
    share = explained(cells.sum(1), sums.sum(1), float(squares.sum()))
    without = np.array(
        [
            explained(cells.sum(1) - cells[:, g], sums.sum(1) - sums[:, g], float(squares.sum() - squares[g]))
            for g in range(GROUPS)
        ]
    )
    variance = (GROUPS - 1) / GROUPS * float(((without - without.mean()) ** 2).sum())
    quantile = float(chdtri(levels - 1, 0.05)) / (count - 1)
    return Importance(share, 1.96 * variance**0.5, corrected(quantile, count, levels))


def binned(values: Array) -> Array:
    """Return a bin from 0 for each value: one for each distinct value if these are few, else of equal counts."""
    distinct, places = np.unique(values, return_inverse=True)
    most = int(np.clip(len(values) ** (1 / 3), 4, MOST_BINS))
    if len(distinct) <= most:
        return places
    return np.unique(np.searchsorted(np.quantile(values, np.arange(1, most) / most), values), return_inverse=True)[1]


def explained(counts: Array, sums: Array, squares: float) -> float:
    """Return the corrected share of the variance between bins, from their counts, their sums and all squares."""
    used = counts > 0
    counts, sums = counts[used], sums[used]
    total, mean = int(counts.sum()), float(sums.sum() / counts.sum())
    between = float((counts * (sums / counts - mean) ** 2).sum())
    return corrected(between / (squares - total * mean**2), total, len(counts))


def corrected(ratio: float, count: int, levels: int) -> float:
    return 1 - (1 - ratio) * (count - 1) / (count - levels)
