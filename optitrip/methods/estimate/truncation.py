"""Whether a step is short enough for the loss, from slopes along a few of the directions at shorter steps.

The error of a central difference is proportional to h^2: D(h) - D(h/q) is 1 - 1/q^2 of it (L. F. Richardson, "The
deferred approach to the limit", Phil. Trans. R. Soc. A 226, 1927). Beside a limit, where x lies to one side of the
points, it is proportional to h.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Method
from optitrip.methods.estimate.slopes import Slopes, SlopesResult
from optitrip.methods.gradient.noise import Noise

FEWEST, MOST, NEAREST = 4, 10, 2
"""Fewest and most directions that are checked, between them a fifth of all; and those with the shortest step."""
HALF, NEAR, QUARTER = 2, 707.0, 4
"""Factors by which the step is shorter, at first and in every further round; a wave that half the step
does not show is shown by another."""
TRIED = 4
"""Most directions of the further rounds."""
ROUNDS = 15
"""Most further rounds: a step of 1 becomes one of 1e-9."""
EVIDENT = 3.0
"""Number of standard deviations of the noise above which a difference is none."""
TOO_LONG = 0.1
"""Ratio of the truncation error to the slopes from which on a shorter step is looked for."""


@dataclass(frozen=True)
class Shorter(Slopes):
    """Slopes along the first directions at a shorter step."""

    kind = "shorter"
    main = False


@dataclass(frozen=True)
class Again(Slopes):
    """The slopes along all directions, at a better step."""

    kind = "again"
    main = False


def with_length(method: Slopes, length: float, count: int, stage: type[Slopes]) -> Slopes:
    """Return slopes along the first directions at another step."""
    ahead, behind = (replace(ends, length=length) for ends in method.ends)
    return stage((ahead, behind), 1 + count)


@ours()
def mean_size(values: Array) -> float:
    """Return the root mean square of the finite values, whose squares need not be in range; 0 if there are none."""
    known = np.abs(values[np.isfinite(values)])
    largest = float(known.max(initial=0.0))
    return largest * float(np.sqrt(np.mean(np.square(known / largest)))) if largest else 0.0


def deviation(noise: Noise, loss: float, length: float) -> float:
    """Return the standard deviation of a slope: that of the loss divided by sqrt(2) h."""
    level = float(noise.at(np.array([loss]))[0]) if np.isfinite(loss) else 0.0
    return level / (2**0.5 * length)


def checked_step(
    method: Slopes, result: SlopesResult, noise: Noise, *, adapt: bool
) -> Generator[Method, Any, tuple[Slopes | None, float]]:
    """Yield slopes at shorter steps; return the stage with a better step if one was looked for and found, and the
    truncation error of a slope at the step that is left, 0 if it does not stand out from the noise.

    Half the step shows the truncation error; a far shorter one, that the loss oscillates between the points.
    """
    every, length = method.items - 1, method.ends[0].length
    count = min(every, MOST, max(FEWEST, every // 5))
    compare = Comparison(noise, result.loss, limited=bool(method.ends[0].limits))
    halved: SlopesResult = yield with_length(method, length / HALF, count, Shorter)
    error = compare.truncation(result.slopes[:count], halved.slopes, length, HALF)
    few = min(count, NEAREST)
    near: SlopesResult = yield with_length(method, length / NEAR, few, Shorter)
    error = max(error, compare.truncation(result.slopes[:few], near.slopes, length, NEAR))
    size = mean_size(np.concatenate([halved.slopes, near.slopes]))
    if not adapt or error <= TOO_LONG * size:
        return None, error
    few = min(count, TRIED)
    lengths, slopes = [length], [result.slopes[:few]]
    while len(lengths) <= ROUNDS and compare.deviation(lengths[-1]) <= TOO_LONG * mean_size(slopes[-1]):
        lengths.append(lengths[-1] / QUARTER)
        found: SlopesResult = yield with_length(method, lengths[-1], few, Shorter)
        slopes.append(found.slopes)
    longest, error = compare.longest(lengths, slopes)
    return (with_length(method, lengths[longest], every, Again) if longest else None), error


@dataclass(frozen=True)
class Comparison:
    """Compares slopes at different steps.

    Args:
        noise: noise of the loss.
        loss: f(x).
        limited: True if the error may be proportional to h.
    """

    noise: Noise
    loss: float
    limited: bool

    def deviation(self, length: float) -> float:
        """Return the standard deviation of a slope at a step."""
        return deviation(self.noise, self.loss, length)

    def truncation(self, slopes: Array, shorter: Array, length: float, ratio: float) -> float:
        """Return the truncation error of slopes at a step, from those at one shorter by `ratio`; 0 if the difference
        is noise."""
        seen, expected = mean_size(slopes - shorter), self.deviation(length) * (1 + ratio**2) ** 0.5
        if seen <= EVIDENT * expected:
            return 0.0
        share = 1 - 1 / ratio if self.limited else 1 - 1 / ratio**2
        return seen * (1 - (expected / seen) ** 2) ** 0.5 / share

    def longest(self, lengths: Sequence[float], slopes: Sequence[Array]) -> tuple[int, float]:
        """Return which of several steps, ever shorter by a factor, has the smallest error, and its truncation error,
        the largest difference from the slopes at all shorter steps."""
        errors: list[tuple[float, float]] = []
        for k in range(len(lengths) - 1):
            ratios = [lengths[k] / length for length in lengths[k + 1 :]]
            each = zip(slopes[k + 1 :], ratios, strict=True)
            truncation = max(self.truncation(slopes[k], other, lengths[k], ratio) for other, ratio in each)
            errors.append((float(np.hypot(truncation, self.deviation(lengths[k]))), truncation))
        if not errors:
            return 0, 0.0
        best = min(range(len(errors)), key=lambda k: errors[k][0])
        return best, errors[best][1]
