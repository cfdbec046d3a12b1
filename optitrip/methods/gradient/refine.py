"""A second round with better steps, along the coordinates that gain from it.

The first step of a coordinate is a guess from the size of x and the noise of the loss. Its losses show the truncation
error T, proportional to h^p, and the rounding error R, proportional to 1 / h; the sum is smallest where p T = R.
"""

from dataclasses import fields, replace

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.gradient.estimate import LONG, Derivatives
from optitrip.methods.gradient.flags import MISSING, SIDE_FAILED
from optitrip.methods.gradient.result import GradientResult

SHRINK, GROW = 1e-4, 32.0
"""Smallest and largest factor of a step."""
BLIND = 8.0
"""Factor of a step of which the losses show nothing but noise."""
GAIN = 5.0
"""Quotient of the expected errors from which on a second round is worth its evaluations."""


@ours()
def better_steps(result: GradientResult, order: int, smallest: float, sizes: Array) -> Array:
    """Return better steps for the coordinates of a result, float64, NaN where the ones taken are good enough.

    `smallest` is the first step relative to `sizes`, those of x or of its distance from a limit, for coordinates that
    are small because their scale is.
    """
    found, step = result.found, np.abs(result.step)
    truncation, rounding = found.truncation, found.rounding
    factor = (rounding / (order * truncation)) ** (1 / (order + 1))
    factor = np.where(truncation > 0, factor, GROW)
    factor = np.where((factor > 1) & ~found.evident, np.maximum(factor, BLIND), factor)
    factor = np.clip(factor, SHRINK, GROW)
    too_long = is_too_long(result)
    shorter = np.where(sizes > 0, np.minimum(smallest * sizes / step, 0.1), 0.1)
    factor = np.where(too_long, np.fmin(factor, shorter), factor)
    expected = truncation * factor**order + rounding / factor
    return np.where(too_long | (truncation + rounding > GAIN * expected), step * factor, np.nan)


def is_too_long(result: GradientResult) -> Array:
    """Return where the steps are too long for the losses to show by how much, reach over a kink or to where the loss
    fails; bool."""
    found, failed = result.found, result.flag & (MISSING | SIDE_FAILED) > 0
    return (found.coarse > LONG) | (found.jump != 0) | failed | ~np.isfinite(found.truncation)


@ours()
def combined(first: GradientResult, second: GradientResult) -> GradientResult:
    """Return the first result with the entries of the second that have a smaller estimated error.

    Where the two differ by more than both errors allow, the difference is the error.
    """
    rows = first.rows_of(second.coordinates)
    old, new = entries(first.found, rows), second.found
    apart = np.abs(old.value - new.value)
    blind, now_blind = is_too_long(first)[rows], is_too_long(second)
    contradict = ~blind & ~now_blind & (apart > old.error + new.error)
    better = np.where(blind & ~now_blind, True, ~(old.error <= new.error))
    better = np.where(blind & now_blind & (new.coarse != old.coarse), new.coarse < old.coarse, better)
    better = np.isfinite(new.value) & (better | ~np.isfinite(old.value))
    merged = taken_over(first, second, rows, better)
    truncation = merged.found.truncation.copy()
    truncation[rows] = np.where(contradict, np.fmax(truncation[rows], apart), truncation[rows])
    return merged.with_truncation(truncation)


def taken_over(first: GradientResult, second: GradientResult, rows: Array, better: Array) -> GradientResult:
    """Return the first result with the entries of the second that are better; they are at these rows of the first."""
    taken = rows[better]
    found = {one.name: getattr(first.found, one.name).copy() for one in fields(Derivatives)}
    for name, values in found.items():
        values[taken] = getattr(second.found, name)[better]
    step, flag, deltas = first.step.copy(), first.flag.copy(), first.deltas.copy()
    step[taken], flag[taken], deltas[:, taken] = second.step[better], second.flag[better], second.deltas[:, better]
    merged = replace(first, found=Derivatives(**found), step=step, flag=flag, deltas=deltas)
    return merged.with_truncation(merged.found.truncation)


def entries(found: Derivatives, rows: Array) -> Derivatives:
    return Derivatives(**{one.name: getattr(found, one.name)[rows] for one in fields(Derivatives)})
