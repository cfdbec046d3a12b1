"""Intervals in which an entry of a right gradient lies, as far as the losses beside x show.

For a smooth loss this is the numeric entry with three of its errors to each side. At a kink it reaches from the slope
on one side of x to that on the other, and every subgradient of a convex loss lies in it (R. T. Rockafellar, "Convex
Analysis", theorem 23.2); so do the entries that automatic differentiation gives where it follows one of the branches.
"""

from typing import NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.gradient.flags import KINK, MISSING
from optitrip.methods.gradient.result import GradientResult

MARGIN = 3.0
"""Number of estimated errors by which a right gradient may be off: among many coordinates, some are off by more than
one."""
BEND = 2.0
"""Factor of the difference between slopes on one side of a kink, since they are taken a step away from it."""


class Intervals(NamedTuple):
    """Intervals for some coordinates, float64 arrays of their shape; NaN where nothing is known."""

    low: Array
    high: Array


@ours()
def intervals(result: GradientResult) -> Intervals:
    """Return the intervals that one stage of differences shows."""
    found = result.found
    low, high = found.value - MARGIN * found.error, found.value + MARGIN * found.error
    kinked, missing = result.flag & KINK > 0, result.flag & MISSING > 0
    if kinked.any():
        between = slopes_between(result)
        low, high = np.where(kinked, between.low, low), np.where(kinked, between.high, high)
    known = ~missing & np.isfinite(low) & np.isfinite(high)
    return Intervals(np.where(known, low, np.nan), np.where(known, high, np.nan))


def slopes_between(result: GradientResult) -> Intervals:
    """Return the intervals between the slopes to both sides of x; NaN where there are losses on one side only."""
    offsets = np.array(result.offsets)
    slopes = result.deltas / np.multiply.outer(offsets, result.step)
    margin = MARGIN * result.found.rounding
    ends: list[tuple[Array, Array]] = []
    for side in (offsets > 0, offsets < 0):
        if not side.any():
            return Intervals(np.full_like(result.step, np.nan), np.full_like(result.step, np.nan))
        own = slopes[side]
        reach = margin + BEND * (own.max(axis=0) - own.min(axis=0))
        ends.append((own.min(axis=0) - reach, own.max(axis=0) + reach))
    (low, high), (low_2, high_2) = ends
    return Intervals(np.minimum(low, low_2), np.maximum(high, high_2))


@ours()
def widened(first: GradientResult, again: GradientResult, known: Intervals) -> Intervals:
    """Return the intervals of a stage, wider where a later one along some of its coordinates contradicts it: both
    differ by more than their errors, or one of them shows a kink."""
    rows = first.rows_of(again.coordinates)
    value, error = first.found.value[rows], first.found.error[rows]
    apart = ~(np.abs(value - again.found.value) <= error + again.found.error)
    kinked = (first.flag[rows] | again.flag) & KINK > 0
    other = intervals(again)
    contradicted = (apart | kinked) & np.isfinite(other.low)
    low, high = known.low.copy(), known.high.copy()
    low[rows] = np.where(contradicted, np.fmin(low[rows], other.low), low[rows])
    high[rows] = np.where(contradicted, np.fmax(high[rows], other.high), high[rows])
    return Intervals(low, high)
