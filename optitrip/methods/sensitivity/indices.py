"""Sobol' indices from the losses of Saltelli's design, with standard errors.

f is centred on the mean of all f(A) and f(B), and V is the mean square of these. With A_i for A whose variable i is
B's, and sums over N rows,

    first-order   S_i = 1/N sum f(B) (f(A_i) - f(A)) / V         (A. Saltelli et al., Computer Physics Communications
                                                                  181, 2010, table 2 (b))
    total         T_i = 1/2N sum (f(A) - f(A_i))^2 / V           (M. J. W. Jansen, Computer Physics Communications
                                                                  117, 1999)

Both are ratios of means over independent rows, so their standard errors are those of the delta method: the deviation
over rows of (u - S v) / V, divided by the root of N, where u and v are a row's terms in the numerator and in V. A
bootstrap gives the same at a thousand times the work. A variable that f ignores has 0 in both, with an error of 0.
"""

from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.sensitivity.design import FIRST, A, B

FEWEST = 2
"""Fewest rows that have a variance."""


@dataclass(frozen=True, eq=False)
class Indices:
    """Indices of the variables, in the order of the design."""

    rows: int
    """Number of rows that were used: those without a failure."""
    mean: float
    deviation: float
    """Mean and standard deviation of the losses at A and B."""
    first: Array
    first_error: Array
    total: Array
    total_error: Array
    """Indices and their standard errors, float64 of shape (variables,); NaN if the loss has no variance."""


@ours()
def indices(losses: Array) -> Indices:
    """Return the indices from losses of shape (rows, 2 + variables), in the order of the design; a row in which one is
    not finite is left out."""
    used = losses[np.isfinite(losses).all(axis=1)]
    count, factors = len(used), losses.shape[1] - FIRST
    # Divided by the largest, so that squares neither overflow nor vanish.
    ends = used[:, [A, B]]
    largest = float(np.abs(used).max()) if count else 0.0
    scale = largest or 1.0
    mean = float((ends / scale).mean()) if count else np.nan
    f = used / scale - mean
    if count < FEWEST or np.ptp(ends) == 0:
        unknown = np.full(factors, np.nan)
        return Indices(count, mean * scale, 0.0 if count else np.nan, unknown, unknown, unknown, unknown)
    v = np.square(f[:, [A, B]]).mean(axis=1)
    variance = float(v.mean())
    first, first_error = np.empty(factors), np.empty(factors)
    total, total_error = np.empty(factors), np.empty(factors)
    for i in range(factors):
        moved = f[:, FIRST + i] - f[:, A]
        first[i], first_error[i] = ratio(f[:, B] * moved, v, variance)
        total[i], total_error[i] = ratio(np.square(moved) / 2, v, variance)
    return Indices(count, mean * scale, variance**0.5 * scale, first, first_error, total, total_error)


def ratio(u: Array, v: Array, mean: float) -> tuple[float, float]:
    """Return the ratio of two means over rows, and its standard error; `mean` is that of v."""
    found = float(u.mean()) / mean
    influence = (u - found * v) / mean
    return found, float(np.sqrt(np.square(influence).sum() / (len(u) * (len(u) - 1))))
