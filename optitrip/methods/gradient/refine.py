"""Further rounds with better steps, along the coordinates that gain from them.

The first step of a coordinate is a guess from the size of x and the noise of the loss. Its losses show the truncation
error T, proportional to h^p, and the rounding error R, proportional to 1 / h; the sum is smallest where p T = R.

One step shows T only by how the terms of the Taylor series decline, which takes caution. Two steps show more: T makes
their derivatives differ, and is smaller by the factor (h / H)^p at the shorter one.
"""

from dataclasses import fields, replace

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.gradient.estimate import LONG, TRUNCATION, Derivatives
from optitrip.methods.gradient.flags import MISSING, SIDE_FAILED
from optitrip.methods.gradient.result import GradientResult

SHRINK, GROW = 1e-4, 32.0
"""Smallest and largest factor of a step."""
BLIND = 8.0
"""Factor of a step of which the losses show nothing but noise."""
GAIN = 8.0
"""Quotient of the expected errors from which on a further round is worth its evaluations."""
LIKELY = 2.0
"""Safety factor of likely truncation errors in the choice of a step."""
SMOOTH = 0.75
"""Share of the order of a scheme that is relied on if a loss has few derivatives."""
APART = 2.0
"""Least factor between the steps of two rounds, so that both together show the truncation error."""
DIFFER = 1.3
"""Least factor between two steps that count as two."""
EXPECTED = 4.0
"""Factor of the likely truncation error from which on a difference is larger than that of a smooth loss."""
UNKNOWN = 1e-3
"""Factor of a step at which no loss is known."""


@ours()
def better_steps(result: GradientResult, order: int, smallest: float, sizes: Array) -> Array:
    """Return better steps for the coordinates of a result, float64, NaN where the ones taken are good enough.

    `smallest` is the first step relative to `sizes`, those of x or of its distance from a limit, for coordinates that
    are small because their scale is.
    """
    found, step = result.found, np.abs(result.step)
    rounding, likely = found.rounding, LIKELY * found.likely
    factor = (rounding / (order * likely)) ** (1 / (order + 1))
    factor = np.where(likely > 0, factor, GROW)
    factor = np.where((factor > 1) & ~found.evident, np.maximum(factor, BLIND), factor)
    factor = np.where(factor < 1, np.fmin(factor, 1 / APART), np.fmax(factor, APART))
    factor = np.clip(factor, SHRINK, GROW)
    too_long = is_too_long(result)
    shorter = np.where(sizes > 0, np.minimum(smallest * sizes / step, 0.1), 0.1)
    shorter = np.where(np.isnan(found.value), np.minimum(shorter, UNKNOWN), shorter)
    factor = np.where(too_long, np.fmin(factor, shorter), factor)
    # With both steps, the error at the old one comes down to the rounding error.
    expected = np.minimum(likely * factor**order + rounding / factor, rounding)
    return np.where(too_long | (found.truncation + rounding > GAIN * expected), step * factor, np.nan)


def is_too_long(result: GradientResult) -> Array:
    """Return where the steps are too long for the losses to show by how much, reach over a kink or to where the loss
    fails, or where two steps contradict each other; bool."""
    found, failed = result.found, result.flag & (MISSING | SIDE_FAILED) > 0
    return (found.coarse > LONG) | (found.jump != 0) | found.doubtful | failed | ~np.isfinite(found.truncation)


@ours()
def combined(first: GradientResult, second: GradientResult, order: int) -> GradientResult:
    """Return the first result with the entries of the second that have a smaller estimated error.

    Where the two differ by more than both errors allow, the difference is the error, and the step counts as too long.
    """
    rows = first.rows_of(second.coordinates)
    old, new = entries(first.found, rows), second.found
    apart = np.abs(old.value - new.value)
    blind, now_blind = is_too_long(first)[rows], is_too_long(second)
    contradict = ~blind & ~now_blind & (apart > old.error + new.error)
    clear = (~blind | old.doubtful) & ~now_blind & ~contradict
    at_old, at_new = shown_together(old, new, second.step / first.step[rows], order)
    first = first.with_truncation(put(first.found.truncation, rows[clear], at_old[clear]))
    second = second.with_truncation(np.where(clear, at_new, new.truncation))
    old, new = entries(first.found, rows), second.found
    better = np.where(blind & ~now_blind, True, ~(old.error <= new.error))
    better = np.where(blind & now_blind & (new.coarse != old.coarse), new.coarse < old.coarse, better)
    better = np.where(np.isfinite(new.value), better | ~np.isfinite(old.value), ~np.isfinite(old.value))
    merged, doubtful = taken_over(first, second, rows, better), rows[contradict]
    found = merged.found
    truncation = put(found.truncation, doubtful, np.fmax(found.truncation[doubtful], TRUNCATION * apart[contradict]))
    marked = replace(found, doubtful=put(found.doubtful, doubtful, np.ones_like(doubtful, bool)))
    return replace(merged, found=marked).with_truncation(truncation)


def shown_together(old: Derivatives, new: Derivatives, ratio: Array, order: int) -> tuple[Array, Array]:
    """Return the truncation errors of derivatives with two steps, whose ratio (new to old) is given.

    They are at least what a difference beyond the noise shows by the order of the scheme; and at most what the
    difference and the noise allow by a lower order, for losses with few derivatives. Where steps contradicted each
    other before, only such differences count, by order 1.
    """
    apart, noise = np.abs(old.value - new.value), old.rounding + new.rounding
    smooth = apart <= noise + EXPECTED * np.where(np.abs(ratio) > 1, new.likely, old.likely)
    relied = np.where(smooth & ~old.doubtful, SMOOTH * order, 1.0)
    found: list[Array] = []
    for one, other in ((old, np.abs(ratio)), (new, np.abs(1 / ratio))):
        # If the other step is k times this one, the derivatives differ by |k^p - 1| times this truncation error.
        least = TRUNCATION * np.maximum(apart - noise, 0) / np.abs(other**order - 1)
        most = TRUNCATION * (apart + noise) / np.abs(other**relied - 1)
        alone = np.where(old.doubtful, np.inf, one.truncation)
        both = np.fmax(np.fmax(np.fmin(alone, most), least), one.likely)
        differ = (other > DIFFER) | (other < 1 / DIFFER)  # limits may keep a step as it was
        found.append(np.where(differ, both, one.truncation))
    return found[0], found[1]


def put(values: Array, rows: Array, those: Array) -> Array:
    """Return a copy of some values with others in some rows."""
    changed = values.copy()
    changed[rows] = those
    return changed


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
