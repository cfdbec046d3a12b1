"""Bit flags of a coordinate: what there is to know about its derivative."""

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import NO_STEP, Failures
from optitrip.methods.gradient.estimate import Derivatives

UNCHANGED, FAILED, WITHOUT_STEP, LEFT_OUT = 1, 2, 4, 8
IMPRECISE, BELOW_NOISE, ONE_SIDED, KINK, SIDE_FAILED, OUTSIDE = 16, 32, 64, 128, 256, 512
FLAGS = {
    UNCHANGED: "unchanged: all losses are bitwise equal, so the derivative is 0 or below the resolution of the loss",
    FAILED: "missing: the losses that the difference needs failed, or the quotient overflowed",
    WITHOUT_STEP: "without step: x + h is x, or not finite",
    LEFT_OUT: "left out: not requested",
    IMPRECISE: "imprecise: the estimated error is over 2 % of the entry",
    BELOW_NOISE: "below noise: the estimated error is larger than the entry",
    ONE_SIDED: "one-sided: points on one side of x only, at a limit of the variable or since the other side failed",
    KINK: "kink: the slopes to both sides of x differ, or a step crossed a kink",
    SIDE_FAILED: "side failed: some loss was missing; the others gave the derivative",
    OUTSIDE: "outside: x itself is outside of the variable's limits, which are ignored there",
}
"""Meaning by flag. With the flags missing, without step and left out, the derivative is NaN."""
MISSING = FAILED | WITHOUT_STEP | LEFT_OUT
PRECISE = 0.02


def flags_of(
    found: Derivatives, deltas: Array, own: int, failures: Failures, kinks: Array | None, *, errors: bool
) -> Array:
    """Return the flags of the coordinates, uint16, and replace by NaN what a flag says is missing.

    `own` is the number of losses of the scheme itself, the first ones of `deltas`; `kinks` counts those crossed.
    """
    finite, value = np.isfinite(deltas), found.value
    flags = np.where(finite.any(axis=0) & ((deltas == 0) | ~finite).all(axis=0), UNCHANGED, 0).astype(np.uint16)
    for lo, hi in failures.runs.get(NO_STEP, ()):
        flags[max(lo, 1) - 1 : max(hi, 1) - 1] = WITHOUT_STEP
    flags[~np.isfinite(value) & (flags & WITHOUT_STEP == 0)] = FAILED  # also a quotient too large for float64
    missing = flags & MISSING > 0
    value[missing] = np.nan
    flags[~missing & ~finite[:own].all(axis=0)] |= SIDE_FAILED
    flags[~missing & found.one_sided] |= ONE_SIDED
    kinked = found.jump != 0 if kinks is None else (found.jump != 0) | (kinks > 0)
    flags[~missing & kinked] |= KINK
    return flags | doubts(found, flags) if errors else flags


def doubts(found: Derivatives, flags: Array) -> Array:
    """Return the flags that compare the estimated error with the entry, uint16."""
    size = np.abs(found.value)
    told = flags & (MISSING | UNCHANGED) == 0
    with np.errstate(invalid="ignore"):
        imprecise, lost = told & ~(found.error <= PRECISE * size), told & ~(found.error <= size)
    return (np.where(imprecise, IMPRECISE, 0) | np.where(lost, BELOW_NOISE, 0)).astype(np.uint16)
