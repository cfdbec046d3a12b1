"""Compares a gradient with the slope of the loss on the short line on which its noise was measured.

A loss that oscillates faster than the steps can look smooth at all of their points, so that nothing there shows the
error. The line's points are a hundred-millionth of x apart, and its slope is known from all coordinates together; where
the gradient does not explain it, steps a thousand times shorter are taken.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import ours
from optitrip.core.method import Method
from optitrip.methods.gradient.method import Gradient, Refinement, taken_again
from optitrip.methods.gradient.noise import ON_LINE, Noise, ShortLine
from optitrip.methods.gradient.refine import entries, taken_over
from optitrip.methods.gradient.result import GradientResult

MARGIN = 10.0
"""Number of standard deviations of the line's slope that count as noise."""
SLOPE_MARGIN = 1.25
"""Safety factor of a slope that is not explained."""
SHORTER = 1e-3
"""Factor of the steps where the gradient does not explain that slope."""
DOUBT = 10.0
"""Safety factor of truncation errors at shorter steps."""
ROUNDS = 2
"""Most times that steps are made shorter."""


@ours()
def unexplained(line: ShortLine, result: GradientResult, noise: Noise) -> float:
    """Return the slope of the loss on the line, a step of the line being 1, less that of the gradient along all
    coordinates; 0 where errors and noise explain the difference, or where an entry is missing."""
    value, error, moves = result.found.value, result.found.error, line.moves()[:, result.coordinates]
    rest = line.losses - line.losses[0] - (moves * value).sum(axis=1)
    if not np.isfinite(rest).all():
        return 0.0
    n = np.arange(ON_LINE, dtype=np.float64)
    fit = np.linalg.pinv(np.stack([np.ones(ON_LINE), n, n**2], axis=1))
    intercept, slope, bend = (fit * rest).sum(axis=1)
    left = rest - intercept - slope * n - bend * n**2
    spread = max(float(noise.at(np.abs(line.losses).max())), float(np.sqrt(np.sum(left**2) / (ON_LINE - 3))))
    rounding = 4 * np.finfo(np.float64).eps * float(np.abs(moves[-1] * value).sum())
    allowed = MARGIN * spread * float(np.linalg.norm(fit[1])) + float(np.abs(moves[1] * error).sum()) + rounding
    return float(slope) if abs(slope) > allowed else 0.0


def consistent(method: Gradient, result: GradientResult, line: ShortLine) -> Generator[Method, Any, GradientResult]:
    """Yield stages with shorter and shorter steps while the gradient does not explain the slope on the line; return
    the result, with errors that explain it where no steps did."""
    for _ in range(ROUNDS):
        if not unexplained(line, result, method.noise):
            return result
        stage = with_shorter_steps(method, result)
        result = stage.merged(result, (yield stage))
    slope = unexplained(line, result, method.noise)
    return doubted(result, line, slope) if slope else result


@dataclass(frozen=True)
class ShorterSteps(Refinement):
    """The gradient once more, with steps that are much shorter."""

    kind = "shorter steps"

    def merged(self, first: GradientResult, second: GradientResult) -> GradientResult:
        return replaced(first, second)


def with_shorter_steps(method: Gradient, result: GradientResult) -> ShorterSteps:
    """Make the stage along all coordinates that have a step."""
    rows = np.flatnonzero(np.isfinite(result.step) & (result.step != 0))
    shorter = SHORTER * np.abs(result.step[rows])
    return taken_again(ShorterSteps, method, result.coordinates[rows], shorter, result.loss)


@ours()
def replaced(first: GradientResult, second: GradientResult) -> GradientResult:
    """Return the second result, but the first where both agree and its error is smaller.

    Where a loss has a part of a much smaller scale, the decline of its Taylor series misleads: hence larger errors.
    """
    second = second.with_truncation(DOUBT * second.found.truncation)
    rows = first.rows_of(second.coordinates)
    old, new = entries(first.found, rows), second.found
    agree = np.abs(old.value - new.value) <= old.error + new.error
    return taken_over(first, second, rows, np.isfinite(new.value) & ~(agree & (old.error <= new.error)))


@ours()
def doubted(result: GradientResult, line: ShortLine, slope: float) -> GradientResult:
    """Return the result with errors that explain a slope, should it all come from any one coordinate."""
    moves = np.abs(line.moves()[1][result.coordinates])
    least = np.where(moves > 0, SLOPE_MARGIN * abs(slope) / moves, 0.0)
    return result.with_truncation(np.fmax(result.found.truncation, least))
