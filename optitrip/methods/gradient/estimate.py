"""Derivatives from losses at a few points along a coordinate, and error estimates for them.

The error is the truncation error, estimated from differences of two steps or orders, plus the rounding error, from the
measured noise of the loss. Both are estimates: `tests/benchmarks/gradients.py` prints how often they hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.gradient.schemes import Scheme

TRUNCATION, ROUNDING = 2.0, 3.5
"""Safety factors: of estimated truncation errors, and of the standard deviation that noise gives a derivative."""
LONG = 0.05
"""Ratio of higher to lower terms from which on a step is too long to tell by how much."""
EVIDENT = 3.0
"""Number of standard deviations of the noise above which a term is not noise."""
TINY = float(np.finfo(np.float64).tiny)
COARSE = 0.25
"""Largest ratio of the terms of third and fourth order to those of first and second at which a step is still called
short; where it is longer, nothing is known of the truncation error."""


@dataclass(frozen=True, eq=False)
class Derivatives:
    """Derivatives along some coordinates; all arrays float64 of shape (coordinates,), NaN where nothing is known."""

    value: Array
    truncation: Array
    """Estimate of the truncation error, with its safety factor."""
    likely: Array
    """Truncation error if the terms of the Taylor series of the loss go on declining as those do that are known."""
    rounding: Array
    """Estimate of the error from the noise of the loss, with its safety factor."""
    coarse: Array
    """Ratio of higher to lower terms, which is small if the step is short for this loss."""
    evident: Array
    """True where the truncation error stands out from the noise; bool."""
    jump: Array
    """Difference of the slopes to both sides of x if the loss has a kink there, else 0."""
    one_sided: Array
    """True where only losses on one side of x were used by a scheme of two sides, or on its other side; bool."""
    doubtful: Array
    """True where two steps gave derivatives that their errors do not explain; bool."""

    @property
    def error(self) -> Array:
        """Estimate of the whole error."""
        with ours():
            return np.maximum(self.truncation + self.rounding, np.abs(self.jump) / 2)


@ours()
def derivatives(scheme: Scheme, offsets: Sequence[float], taken: Array, deltas: Array, noise: Array) -> Derivatives:
    """Return the derivatives of a scheme.

    Args:
        scheme: the scheme.
        offsets: multiples of the step, of which those of the scheme come first.
        taken: displacements from x that were really taken, of shape (offsets, coordinates).
        deltas: f(x + displacement) - f(x), of the same shape; NaN where a loss is missing.
        noise: standard deviation of the losses, of the same shape.
    """
    usable = np.isfinite(deltas) & np.isfinite(taken) & (taken != 0)
    first = taken[0] / offsets[0]
    regular = usable.all(axis=0) & (np.abs(taken / np.array(offsets)[:, None] / first - 1) < 0.1).all(axis=0)
    own = np.zeros_like(usable)
    own[: len(scheme.offsets)] = True
    # Where a point is missing, or had to be placed elsewhere, the polynomial goes through all that is left.
    used = np.where(regular, own, usable)
    weights = derivative_weights(taken, used)
    value = total(weights, deltas, used)
    value[~used.any(axis=0)] = np.nan
    spread = np.abs(weights * noise)
    largest = np.maximum(spread.max(axis=0), TINY)  # the squares themselves may be out of range
    rounding = ROUNDING * largest * np.sqrt(total(np.ones_like(spread), (spread / largest) ** 2, used))
    truncation, coarse, jump = np.full_like(value, np.nan), np.zeros_like(value), np.zeros_like(value)
    evident = np.zeros(len(value), bool)
    if len(offsets) > 1:
        truncation = np.abs(value - dropped(taken, deltas, usable))
        # Points on one side approach a singularity beyond a limit slowly, so that a change of 1 % is a warning.
        coarse = np.where(regular, 0.0, LONG / 0.01 * truncation / np.maximum(np.abs(value), TINY))
    likely = truncation.copy()
    if len(offsets) >= len(scheme.nodes(errors=True)):
        noisiest = noise.max(axis=0, initial=0)
        shown = shown_by(scheme.order, first, deltas, value, noisiest)
        truncation[regular], coarse[regular] = shown.truncation[regular], shown.coarse[regular]
        likely[regular] = shown.likely[regular]
        evident = regular & (shown.change > EVIDENT * noisiest)
    if len(offsets) >= 4:
        jump[regular] = jumps(offsets, first, deltas, noise)[regular]
    truncation = TRUNCATION * truncation
    unknown = (coarse > COARSE) | ((used.sum(axis=0) == 1) & ~regular)
    slopes = np.fmax.reduce(np.abs(np.where(usable, deltas, np.nan) / taken), axis=0)
    truncation[unknown] = np.fmax(truncation, slopes)[unknown]
    kinked = jump != 0
    truncation[kinked] = np.fmax(truncation, farthest_slope(taken, deltas, value))[kinked]
    upper, lower = (used & (taken > 0)).any(axis=0), (used & (taken < 0)).any(axis=0)
    return Derivatives(
        value, truncation, likely, rounding, coarse, evident, jump, ~regular & (upper != lower), np.zeros_like(regular)
    )


def derivative_weights(taken: Array, used: Array) -> Array:
    """Return the weights of the losses in the derivative at x of the polynomial through f(x) and the losses used.

    B. Fornberg, "Generation of finite difference formulas on arbitrarily spaced grids", Math. Comp. 51, 1988; for the
    first derivative they are the products below. The weight of f(x) is minus their sum, so they apply to differences.
    """
    weights = np.where(used, 1 / np.where(used, taken, 1), 0.0)
    for k in range(len(taken)):
        for j in range(len(taken)):
            if j != k:
                both = used[j] & used[k]
                weights[k] *= np.where(both, taken[j] / np.where(both, taken[j] - taken[k], 1), 1.0)
    return weights


def total(weights: Array, values: Array, used: Array) -> Array:
    """Return sums over the points used, always in their order, so that bits do not depend on how many there are."""
    result = np.zeros(values.shape[1])
    for weight, value, use in zip(weights, values, used, strict=True):
        result += np.where(use, weight * np.where(use, value, 0), 0)
    return result


def dropped(taken: Array, deltas: Array, usable: Array) -> Array:
    """Return the derivative without the farthest usable point; 0 where there is only one."""
    farthest = np.argmax(np.where(usable, np.abs(taken), -1), axis=0)
    left = usable.copy()
    left[farthest, np.arange(taken.shape[1])] = False
    return total(derivative_weights(taken, left), deltas, left)


def farthest_slope(taken: Array, deltas: Array, value: Array) -> Array:
    """Return the largest difference of a value from the slopes between neighbouring points, of which x is one."""
    nothing = np.zeros((1, taken.shape[1]))
    places, losses = np.concatenate([nothing, taken]), np.concatenate([nothing, deltas])
    order = np.argsort(places, axis=0)
    slopes = np.diff(np.take_along_axis(losses, order, axis=0), axis=0)
    return np.abs(slopes / np.diff(np.take_along_axis(places, order, axis=0), axis=0) - value).max(axis=0)


class Shown(NamedTuple):
    """An estimate of the truncation error as the losses show it; float64 arrays of shape (coordinates,)."""

    truncation: Array
    likely: Array
    """Truncation error without caution."""
    change: Array
    """Term in the losses from which it follows."""
    coarse: Array
    """Ratio of higher to lower terms of the Taylor series of the loss."""


def one_sided(h: Array, deltas: Array, value: Array) -> Shown:
    """Halving the step halves the truncation error of a one-sided difference."""
    change = np.abs(deltas[1] / (h / 2) - value)
    return Shown(2 * change, 2 * change, change * np.abs(h), np.zeros_like(value))


def central(h: Array, deltas: Array, value: Array) -> Shown:
    """Halving the step leaves a quarter of the truncation error of a central difference."""
    change = np.abs((deltas[2] - deltas[3]) / h - value)
    return Shown(4 / 3 * change, 4 / 3 * change, change * np.abs(h), np.zeros_like(value))


def four_point(h: Array, deltas: Array, value: Array, noise: Array) -> Shown:
    """Extrapolate the terms of the Taylor series of f: those of order 1 to 4 are known, and that of order 5, four times
    which is the error, continues their decline."""
    even, even_2 = (deltas[0] + deltas[1]) / 2, (deltas[2] + deltas[3]) / 2
    first, third = np.abs(value * h), np.abs((deltas[0] - deltas[1]) / 2 - value * h)
    second, fourth = np.abs(16 * even - even_2) / 12, np.abs(even_2 - 4 * even) / 12
    high, low = np.maximum(third, fourth), np.maximum(first, second)
    coarse = high / np.maximum(low, TINY)
    # A loss may be the sum of a nearly quadratic part and a smaller one whose terms decline slowly.
    decline = np.fmin(np.where(fourth > EVIDENT * noise, fourth / np.maximum(third, TINY), 0), 1)
    known, decline = decline, np.maximum(np.sqrt(np.fmin(coarse, 1)), decline)
    truncation = 4 * np.maximum(third * decline**2, fourth * decline) / np.abs(h)
    truncation = np.where(coarse > COARSE, np.fmax(truncation, 3 * third / np.abs(h)), truncation)
    even_decline = np.where(fourth > EVIDENT * noise, np.sqrt(fourth / np.maximum(second, TINY)), 0.0)
    odd_decline = np.minimum(np.sqrt(third / np.maximum(first, TINY)), third / np.maximum(second, TINY))
    decline = np.fmin(np.maximum(np.maximum(even_decline, odd_decline), known), decline)
    likely = 4 * np.maximum(third * decline**2, fourth * decline) / np.abs(h)
    return Shown(truncation, np.minimum(likely, truncation), high, coarse)


def richardson(h: Array, deltas: Array, value: Array) -> Shown:
    """Compare the extrapolations from h and h/2, from h/2 and h/4, and from all three."""
    differences = [(deltas[2 * k] - deltas[2 * k + 1]) / (2 * h / 2**k) for k in range(3)]
    once = [(4 * fine - rough) / 3 for rough, fine in pairwise(differences)]
    change, change_once = np.abs(differences[1] - differences[0]), np.abs(once[1] - once[0])
    decline = np.minimum(change_once / np.maximum(change, TINY), 1)
    truncation = np.maximum(change_once, np.abs(value - once[1])) * decline
    return Shown(truncation, truncation, change_once * np.abs(h), np.zeros_like(value))


def shown_by(order: int, h: Array, deltas: Array, value: Array, noise: Array) -> Shown:
    """Return what the losses of a scheme of this order show of its truncation error."""
    if order == 4:
        return four_point(h, deltas, value, noise)
    return {1: one_sided, 2: central, 6: richardson}[order](h, deltas, value)


def jumps(offsets: Sequence[float], h: Array, deltas: Array, noise: Array) -> Array:
    """Return by how much the slopes to both sides of x differ, where they differ as at a kink, else 0.

    f(x + h) - 2 f(x) + f(x - h) is proportional to h^2 for a smooth loss and to h at a kink; so doubling the step
    multiplies it by 4 or by 2.
    """
    sizes = sorted({abs(offset) for offset in offsets})
    places = {offset: place for place, offset in enumerate(offsets)}
    near, far = sizes[-2], sizes[-1]
    bends = [deltas[places[size]] + deltas[places[-size]] for size in (near, far)]
    clear = np.abs(bends[0]) > 6 * np.sqrt(2) * np.maximum(noise[places[near]], noise[places[-near]])
    kink = clear & (np.abs(bends[1]) < 2.8 * far / near / 2 * np.abs(bends[0]))
    return np.where(kink, bends[0] / (near * h), 0.0)
