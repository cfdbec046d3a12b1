"""The gradient as a function of x, each call of which runs on the workers of a session."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.route import SCALE

SMALLEST = 5e-324
"""Level that stands for no noise: the smallest positive number."""


@dataclass(frozen=True, eq=False, repr=False)
class RepeatedGradient:
    """The numeric gradient of a loss as a function of x; `Session.jac` makes it.

    Called with x it returns the gradient, of x's shape and dtype; NaN where it is missing.
    """

    compute: Callable[..., GradientAnswer]
    """Function that computes the gradient of the loss at parameters by name."""
    answer: GradientAnswer
    """Gradient at the first point, with its errors."""
    name: str
    """Name of the parameter."""
    steps: Array
    """Steps relative to max(0.01, |x|), float64, flat."""

    def __call__(self, x: Any) -> Array:
        point = np.asarray(x)
        point = point if point.dtype == np.float32 else point.astype(np.float64)
        steps = (self.steps * sizes_of(point)).reshape(point.shape)
        # The steps are known, so the level is not used: given, it is not measured again.
        level = max(self.answer.noise, SMALLEST)
        scheme = self.answer.method.scheme.name
        found = self.compute({self.name: point}, scheme=scheme, step={self.name: steps}, noise=level, errors=False)
        return found.gradient[self.name]

    def __repr__(self) -> str:
        scheme = self.answer.method.scheme.name.replace("_", "-")
        return (
            f"RepeatedGradient({scheme} differences, largest error at the first point {self.answer.largest_error:.1g})"
        )


def sizes_of(point: Array) -> Array:
    """Return the scales to which steps are relative, max(0.01, |x|), float64 and flat."""
    return np.maximum(SCALE, np.abs(point.ravel().astype(np.float64)))


def relative_steps(answer: GradientAnswer, name: str, point: Array) -> Array:
    """Return the steps that were taken, relative to the sizes of the entries; their median where none was."""
    steps = np.abs(answer.steps[name]).ravel() / sizes_of(point)
    return np.where(np.isfinite(steps), steps, np.nanmedian(steps))


def check_bare(x0: Any) -> None:
    """Raise InputError unless a point is a number or an array."""
    if isinstance(x0, Mapping):
        raise InputError("x0: was a dict; wanted a number or an array, as the optimizers of SciPy pass it")
