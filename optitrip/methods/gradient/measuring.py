"""Measures the noise of a loss before its gradient: how close points must be for it to show, and how it grows."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from math import gcd
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Method
from optitrip.core.point import Limits, Point
from optitrip.loss.returns import DOUBLE
from optitrip.methods.gradient.noise import (
    APART,
    FIRST_STEP,
    LINES,
    ON_LINE,
    SMALLEST,
    Noise,
    NoiseLevel,
    NoiseLines,
    NoiseProbe,
    Seen,
    ShortLine,
    Status,
    noise_level,
)

ABSOLUTE, PROPORTIONAL = 0.25, 0.75
"""Power of the losses with which noise grows up to which it counts as constant, and from which on as proportional."""
STUBBORN = 0.3
"""Ratio of the ranges of losses from which on they are noise, if the spacing is a hundredth of the one before."""
ATTEMPTS = 4
"""Most spacings that are tried, each a hundred times longer or shorter."""
DECIMALS = range(-6, 17)
"""Numbers of decimals to which a loss may be rounded."""
ROUND = 1e4
"""Unit of rounded losses, in units of their last place, from which on it is no coincidence; for two different losses,
the square of it."""


@dataclass(frozen=True)
class Measured:
    """The noise of a loss as measured."""

    noise: Noise
    at_x: float
    """Loss at x as first computed."""
    line: ShortLine | None
    """Line through x that showed the noise, or else the last one; None without losses at all of its points."""
    spacing: float
    """Spacing of the last lines, relative to x."""
    found: dict[int, tuple[float, float]]
    """Level of the noise and size of the losses by number of the line, where it showed."""


@ours()
def power(near: tuple[float, float], far: tuple[float, float]) -> float:
    """Return the power of the losses with which noise has grown between two pairs of a level and a size: 0 for constant
    noise, 1/2 for rounding in a sum of squares, 1 for relative noise; NaN if the losses are of one size."""
    (low, small), (high, large) = near, far
    return float(np.log(high / low) / np.log(large / small)) if low > 0 and 0 < 10 * small < large else np.nan


@ours()
def unit_of(losses: Array) -> float:
    """Return the unit to which losses were rounded, e.g. 0.001 if all have three decimals; 0 if they were not."""
    values = np.unique(losses[np.isfinite(losses)])
    if len(values) < 2:
        return 0.0
    last_place = float(np.spacing(np.abs(values).max()))
    for decimals in DECIMALS:
        unit = 10.0**-decimals
        if unit < last_place * (ROUND if len(values) > 2 else ROUND**2):
            return 0.0
        if all(round(value, decimals) == value for value in values.tolist()):
            # Losses may be whole multiples of a larger unit, such as the share of one among 40 examples.
            steps = [round(step / unit) for step in np.diff(values).tolist()]
            return unit * (reduce(gcd, steps) if len(steps) > 2 else 1)
    return 0.0


def measured_noise(center: Point, seed: int, limits: Limits | None) -> Generator[Method, Any, Measured]:
    """Yield stages of losses near x until their spacing shows the noise; return what they show.

    Where it shows at no spacing, e.g. for a loss that is linear to the last bit, the noise is that of rounding.
    """
    kinds = [np.finfo(center.values[name].dtype) for name in center.varied]
    spacing = float(max(kind.eps for kind in kinds)) ** 0.5
    found: dict[int, tuple[float, float]] = {}
    line_at_x: ShortLine | None = None
    all_losses: list[Array] = []
    eps, at_x = DOUBLE, np.nan
    ranges, shorter, tried = [np.inf, np.inf], False, spacing
    for attempt in range(ATTEMPTS):
        lines, tried = NoiseLines(center, seed, spacing, limits), spacing
        seen: Seen = yield NoiseProbe(lines)
        eps, at_x = seen.eps, float(seen.losses[0, 0])
        all_losses.append(seen.losses)
        if 0 not in found and np.isfinite(seen.losses[0]).all():
            line_at_x = ShortLine(lines, seen.losses[0])
        wanted: Status = "found"
        for line, losses in enumerate(seen.losses):
            # Around a loss of 0, noise is not small beside the losses; but it stays however close the points come.
            range_before, ranges[line] = ranges[line], float(np.ptp(losses))
            last = shorter and attempt == ATTEMPTS - 1
            level = noise_level(losses, wide=last and ranges[line] > STUBBORN * range_before)
            if level.status == "found" and line not in found:
                found[line] = (level.level, float(np.abs(losses).max()))
            elif line not in found and wanted == "found":
                wanted = "found" if level.status == "failed" else level.status
        if wanted == "found":
            break
        shorter = wanted != "too close"
        spacing *= 0.01 if shorter else 100
    # Rounding to a unit moves losses by up to a half of it, and is uniform.
    rounding = unit_of(np.concatenate(all_losses, axis=None)) / 12**0.5
    level = max(found[0][0] if 0 in found else 0.0, rounding)
    share = found[1][0] / found[1][1] if len(found) == len(LINES) and power(found[0], found[1]) > PROPORTIONAL else 0.0
    return Measured(Noise(level, growth(found.values()), eps, share), at_x, line_at_x, tried, found)


def growth(found: Iterable[tuple[float, float]]) -> float:
    """Return the largest level divided by the square root of the size, of pairs of both; 0 without any."""
    return max((level / size**0.5 for level, size in found if size), default=0.0)


def noise_where_steps_lead(center: Point, seed: int, limits: Limits | None) -> Generator[Method, Any, Measured]:
    """Yield the stages of `measured_noise`, and another with losses as far from x as the first steps of a gradient if
    the noise is larger than that of rounding; return what they show.

    Beside a small loss, relative noise of 1e-3 grows a thousandfold on a step of 0.25 x, and constant noise does not.
    """
    measured = yield from measured_noise(center, seed, limits)
    found, noise = measured.found, measured.noise
    relative = max((level / size for level, size in found.values() if size), default=0.0)
    far = min(relative, 0.05) ** FIRST_STEP
    if far < 2 * APART:
        return measured
    lines = NoiseLines(center, seed, measured.spacing, limits, (far,), SMALLEST)
    seen: Seen = yield NoiseProbe(lines, ON_LINE)
    level = noise_level(seen.losses[0])
    return replace(measured, noise=grown(noise, found, level, float(np.abs(seen.losses[0]).max())))


@ours()
def grown(noise: Noise, found: dict[int, tuple[float, float]], level: NoiseLevel, size: float) -> Noise:
    """Return noise that fits what was found near x, and far from it among losses of this size."""
    nearest = found.get(0, found.get(1))
    if level.status != "found" or nearest is None or size < nearest[1]:
        return noise
    far = (level.level, size)
    slope = power(nearest, far)
    if slope > PROPORTIONAL:
        return replace(noise, share=max(noise.share, far[0] / size))
    if slope < ABSOLUTE and not noise.share and size > 100 * nearest[1]:
        return replace(noise, level=max(noise.level, far[0]), growth=growth([far]))
    return replace(noise, growth=max(noise.growth, growth([far])))
