"""The numeric derivative at any point from steps that were measured at another one: one round of differences, and more
where their losses show that the steps are too long there.

An optimizer travels: where the loss bends more than at the first point, or the step is long beside x, the terms of
third order show it, and these coordinates are differentiated again with shorter steps. Nothing is remembered from call
to call, so the derivative depends on x alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.point import Limits, Point
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.estimate import derivative_weights
from optitrip.methods.gradient.moves import Moves
from optitrip.methods.gradient.noise import SMALLEST, Noise
from optitrip.methods.gradient.steps import AUTO, steps_of
from optitrip.methods.gradient.structured import Deltas

Losses = Callable[[Array, Array, Array], tuple[Array, Array]]
"""Function of flat coordinates, of each one's entries after all moves, shape (moves, coordinates), and of its step h.
It returns f(x) and f(moved x) - f(x), float64 of shape (moves, coordinates, *shape of f(x)); NaN where one is missing.
"""
FOUR = (1, -1, 2, -2)
"""Multiples of h whose losses show that a step is too long."""
LONG = 1e-3
"""Ratio of the terms of third and fourth order to lower ones from which on another step is considered: the truncation
error of four points is about four times its square."""
UNKNOWN = 0.1
"""Ratio from which on it does not tell how much shorter the step should be; also that of a kink."""
SHORTER, SHORTEST = 0.01, 1e-4
"""Factors of a step where the losses do not tell a better one, and the least one where they do."""
RETREAT = 1e-3
"""Factor of a step that leads to where the loss is not finite."""
GAIN = 5.0
"""Quotient of the expected errors from which on another step is worth its evaluations."""
CLEAR = 2.0
"""Number of standard deviations of a loss above which a term of third order, a quarter as noisy, is no noise."""
FAR = 10.0
"""Size of the change of a derivative without the farthest point, in units of noise / h, if all of it is noise."""
KINK = 2.8
"""Quotient of the second differences for 2h and h below which there is a kink: it is 2 at one, and 4 without."""
MOST = 4.0
"""Largest step in units of the one that suits the noise: one that grew at the first point, where the loss bends less,
would be too long at others."""
ROUNDS = 3
"""Most times that a coordinate is differentiated again."""
SLIGHTLY = 1e-12
"""Distance from a limit, relative to max(1, |limit|), at which x outside of it is taken for a rounded limit."""


@dataclass(frozen=True, eq=False)
class Differences:
    """How a loss is differentiated at any point."""

    name: str
    """Name of the parameter."""
    offsets: tuple[float, ...]
    """Multiples of the step at which losses are taken."""
    step: Any
    """The step as `gradient` takes it; for "auto", steps relative to max(0.01, |x|), float64 and flat."""
    auto: bool
    noise: Noise
    limits: Limits | None
    shortens: bool
    """True to use shorter steps where the losses show that they are needed."""

    @classmethod
    def at(cls, answer: GradientAnswer, name: str, step: Any) -> "Differences":
        """Take the steps of a gradient, and the rule for them at other points from what the user said of them."""
        method, noise = answer.method, answer.measured
        auto = step is None or (isinstance(step, str) and step == AUTO)
        # Structured differences have no noise, so that their steps are short everywhere.
        shortens = auto and method.scheme.offsets == FOUR and not isinstance(method, Deltas)
        rule: Any = relative_steps(answer, name) if auto else step
        if shortens:
            rule = np.minimum(rule, MOST * noise.relative(answer.loss) ** (1 / (method.scheme.order + 1)))
        return cls(name, method.scheme.offsets, rule, auto, noise, method.moves.limits, shortens)

    def inside(self, point: Array) -> Array:
        """Return a point with its entries that are outside of a limit by rounding put on the limit."""
        if self.limits is None or self.name not in self.limits:
            return point
        with ours():
            low, high = self.limits[self.name]
            flat = point.ravel().astype(np.float64)
            nearest = np.clip(flat, low, high)
            rounded = np.abs(flat - nearest) <= SLIGHTLY * np.maximum(1, np.abs(nearest))
            return np.where(rounded, nearest, flat).reshape(point.shape).astype(point.dtype)

    def derivative(self, point: Array, losses: Losses) -> Array:
        """Return the derivative at a point, float64 of shape (coordinates, *shape of f(x)), NaN where there is none."""
        every = np.arange(point.size)
        with ours():
            h = self.lengths(point)
            ends = self.ends(point, every, h)
        at_x, deltas = losses(every, ends, h)
        with ours():
            taken = ends - point.ravel()
            value = slopes(taken, deltas, h)
            if not self.shortens or (self.limits is None and are_short(deltas, value, h)):
                return value
            found = shown_by(taken, deltas, value, h)
        self._shorten(point, losses, self.noise_of(at_x), h, value, found)
        return value

    def lengths(self, point: Array) -> Array:
        """Return h for all entries of a point, float64."""
        if self.auto:
            return self.step * sizes_of(point)
        given: Any = steps_of(self.step, Point({self.name: point}, (self.name,)))
        return np.broadcast_to(np.asarray(given, np.float64), point.size)

    def ends(self, point: Array, places: Array, h: Array) -> Array:
        """Return some entries after all moves, float64 of shape (moves, entries)."""
        if self.limits is not None:
            every = np.zeros(point.size)
            every[places] = h
            return Moves(Point({self.name: point}, (self.name,)), self.offsets, every, limits=self.limits).entries(
                places
            )
        x = point.ravel()[places]
        return (x.astype(np.float64) + np.multiply.outer(self.offsets, h)).astype(point.dtype).astype(np.float64)

    def _shorten(self, point: Array, losses: Losses, noise: float, h: Array, value: Array, shown: "Shown") -> None:
        """Overwrite the entries of `value` for which shorter steps are better."""
        rows = np.arange(len(value))
        for _ in range(ROUNDS):
            with ours():
                factor = factors(shown, noise)
            long = factor < 1
            if not long.any():
                return
            rows, h, before = rows[long], (h * factor)[long], shown.strain[long]
            with ours():
                ends = self.ends(point, rows, h)
            _, deltas = losses(rows, ends, h)
            with ours():
                taken = ends - point.ravel()[rows]
                new = slopes(taken, deltas, h)
                shown = shown_by(taken, deltas, new, h)
                # While the losses tell nothing, e.g. beside a kink, the steps become shorter, and the ratio stays.
                better = (shown.strain < np.where(before < UNKNOWN, before, 2 * before)) | np.isinf(before)
            value[rows[better]] = new[better]
            rows, h, shown = rows[better], h[better], Shown(*(array[better] for array in shown))

    def noise_of(self, at_x: Array) -> float:
        """Return the standard deviation of the losses; of several, that of their norm, from that of half the sum of
        their squares."""
        if not at_x.ndim:
            return float(self.noise.at(at_x[np.newaxis])[0])
        length = float(np.sqrt(np.sum(at_x**2)))
        eps = self.noise.eps * length
        return max(eps, float(self.noise.at(np.array([length**2 / 2]))[0]) / length) if length else eps


def slopes(taken: Array, deltas: Array, h: Array) -> Array:
    """Return the derivatives at x of the polynomials through f(x) and the losses beside it."""
    # The formula of `derivative_weights` for all moves at once: many a loss takes less time than its loops.
    moves = taken / h
    apart = moves - moves[:, np.newaxis]
    apart.reshape(-1, moves.shape[1])[:: len(moves) + 1] = moves  # the diagonal
    weights = np.multiply.reduce(moves) / (moves * np.multiply.reduce(apart, axis=1) * h)
    value = np.add.reduce(spread(weights, deltas) * deltas)
    return value if np.isfinite(value).all() else slopes_without(taken, deltas)


def slopes_without(taken: Array, deltas: Array) -> Array:
    """Return such derivatives where losses or steps are missing: from those that are left, NaN where none is."""
    several = tuple(range(2, deltas.ndim))
    used = np.isfinite(deltas).all(axis=several) & (taken != 0)
    weights = derivative_weights(taken, used)
    known = np.where(spread(used, deltas), deltas, 0)
    value = (spread(weights, deltas) * known).sum(axis=0)
    value[~used.any(axis=0)] = np.nan
    return value


def are_short(deltas: Array, value: Array, h: Array) -> bool:
    """Return whether a loss of one number shows by three terms that no step is too long; most never are."""
    if deltas.ndim > 2:
        return False
    near, far = deltas[0], deltas[2]
    third = far - deltas[3] - 2 * (near - deltas[1])
    fourth = far + deltas[3] - 4 * (near + deltas[1])
    return bool((np.maximum(np.abs(third), np.abs(fourth)) <= np.abs(12 * LONG * h * value)).all())


class Shown(NamedTuple):
    """Length of the steps as the losses show it; float64 arrays of shape (coordinates,)."""

    strain: Array
    """Ratio of the terms of third and fourth order of the Taylor series to those of first and second, at least
    `UNKNOWN` at a kink, infinite where a loss is missing."""
    low: Array
    """Size of the terms of first and second order."""
    high: Array
    """Size of what is to stand out from the noise."""


def shown_by(taken: Array, deltas: Array, value: Array, h: Array) -> Shown:
    """Return what the losses for the moves h, -h, 2h and -2h show, or for others where limits forbid these."""
    odd, odd_2 = deltas[0] - deltas[1], deltas[2] - deltas[3]
    even, even_2 = deltas[0] + deltas[1], deltas[2] + deltas[3]
    high = np.maximum(sizes(odd_2 - 2 * odd), sizes(even_2 - 4 * even)) / 12
    first = sizes(value) * np.abs(h)
    low = np.maximum(first, sizes(16 * even - even_2) / 24)
    near, far = sizes(even), sizes(even_2)
    ratio = np.where(high == 0, 0.0, high / low)
    ratio = np.where((far < KINK * near) & (near > LONG * low), np.fmax(ratio, UNKNOWN), ratio)
    irregular = np.abs(taken[3] + 2 * h) > 0.1 * np.abs(h)
    if irregular.any():
        # The error of four points is about the difference to three of them: four times the square of the ratio.
        change = sizes(value - slopes_without(taken, np.where(spread(farthest(taken), deltas), np.nan, deltas)))
        ratio = np.where(irregular, np.sqrt(np.where(change == 0, 0.0, change / sizes(value))) / 2, ratio)
        low, high = np.where(irregular, first, low), np.where(irregular, change * np.abs(h) / FAR, high)
    missing = ~np.isfinite(deltas).all(axis=(0, *range(2, deltas.ndim)))
    return Shown(np.where(missing | np.isnan(ratio), np.inf, ratio), low, high)


def farthest(taken: Array) -> Array:
    """Return which move of each coordinate leads farthest; bool of the moves' shape."""
    return np.arange(len(taken))[:, np.newaxis] == np.abs(taken).argmax(axis=0)


def factors(shown: Shown, noise: float) -> Array:
    """Return by what to multiply each step, 1 to keep it.

    The truncation error relative to the lower terms is about 4 strain^2 and proportional to h^4, that of the noise
    proportional to 1 / h.
    """
    truncation, rounding = 4 * shown.strain**2, noise / shown.low
    factor = np.clip((rounding / (4 * truncation)) ** (1 / 5), SHORTEST, 1)
    gains = truncation + rounding > GAIN * (truncation * factor**4 + rounding / factor)
    factor = np.where(gains & (shown.strain > LONG), factor, 1)
    factor = np.where(shown.strain < UNKNOWN, factor, SHORTER)
    return np.where(np.isinf(shown.strain), RETREAT, np.where(shown.high <= CLEAR * noise, 1, factor))


def sizes(values: Array) -> Array:
    """Return the magnitude of each coordinate's number, or the norm of its several numbers."""
    if values.ndim == 1:
        return np.abs(values)
    return np.sqrt(np.square(values).sum(axis=tuple(range(1, values.ndim))))


def spread(weights: Array, deltas: Array) -> Array:
    """Return an array of shape (moves, coordinates) that is broadcast over the axes of a loss of several numbers."""
    return weights if deltas.ndim == 2 else weights.reshape(*weights.shape, *[1] * (deltas.ndim - 2))


def sizes_of(point: Array) -> Array:
    """Return the scales to which steps are relative, max(0.01, |x|), float64 and flat."""
    return np.maximum(SMALLEST, np.abs(point.ravel().astype(np.float64)))


def relative_steps(answer: GradientAnswer, name: str) -> Array:
    """Return the steps that were taken, relative to the sizes of the entries; their median where none was."""
    point = answer.method.center.values[name]
    steps = np.abs(answer.steps[name]).ravel() / sizes_of(point)
    return np.where(np.isfinite(steps), steps, np.nanmedian(steps))
