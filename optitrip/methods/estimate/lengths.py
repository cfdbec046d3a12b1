"""How far entries move: one length for all, or, where their sizes or steps differ, one for each.

With a scale s for each entry, x moves by h s v along a direction v. That is an estimate with respect to x / s, whose
gradient is s g: slopes, norm, cosine and error are those of s g.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.point import Point
from optitrip.methods.gradient.noise import SMALLEST
from optitrip.methods.gradient.steps import AUTO, check_step

MOST_SPREAD = 1000.0
"""Ratio of large to small sizes from which on one length does not suit all entries: h is then 0.6 % of the small."""
LOW = 0.01
"""Share of the entries of a variable that may be smaller; a few entries of normal weights are near 0 by chance."""


class Lengths(NamedTuple):
    """Moves of the entries, `length` times `scale` times a direction."""

    length: float
    scale: Array | None
    """Scale of each entry, float64 of shape (coordinates,); None if all are 1."""

    def moves(self, vector: Array) -> Array:
        """Return the moves of all entries along a direction."""
        return self.length * vector if self.scale is None else self.length * (self.scale * vector)


@ours()
def lengths_of(center: Point, step: float | Array | None, eps: float) -> Lengths:
    """Return the moves for a step: h, an array with one for each entry, or None for eps^(1/3) times the sizes of x."""
    if isinstance(step, np.ndarray):
        return Lengths(float(step[0]), None) if (step == step[0]).all() else Lengths(1.0, step)
    if step is not None:
        return Lengths(step, None)
    relative = eps ** (1 / 3)
    scale = scale_by_size(center)
    return Lengths(relative * typical_size(center), None) if scale is None else Lengths(relative, scale)


@ours()
def typical_size(center: Point) -> float:
    """Return the root mean square of x, at least 1."""
    x = center.entries(np.arange(center.size))
    found = float(np.sqrt(np.mean(np.square(x))))
    largest = float(np.abs(x).max())
    if not np.isfinite(found) and np.isfinite(largest):  # the squares are out of range
        found = largest * float(np.sqrt(np.mean(np.square(x / largest))))
    return max(1.0, found)


@ours()
def scale_by_size(center: Point) -> Array | None:
    """Return max(0.01, |x|) if the typical size of x is over 1000 times that of the small entries of a variable, else
    None."""
    large = typical_size(center)
    if large <= MOST_SPREAD * SMALLEST:
        return None
    sizes = np.maximum(SMALLEST, np.abs(center.entries(np.arange(center.size))))
    parts = center.by_variable(sizes).values()
    small = min(float(np.quantile(part, LOW, method="lower")) for part in parts if part.size)
    return sizes if large > MOST_SPREAD * small else None


def check_steps(step: object, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError, with what was wanted, unless this is a step, and no part of it is negative: differences are
    taken to both sides anyway."""
    check_step(step, shapes)
    if step != AUTO and not positive(step):
        raise ValueError(f"was {step!r}, wanted positive numbers: differences are taken to both sides of x")


def positive(step: object) -> bool:
    """Return whether all numbers of a step are positive."""
    if isinstance(step, Mapping):
        return all(positive(one) for one in step.values())  # pyright: ignore[reportUnknownVariableType]
    return bool((np.asarray(step, np.float64) > 0).all())
