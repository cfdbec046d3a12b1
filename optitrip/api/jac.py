"""The function `jac`: the numeric gradient, or Jacobian, as a function of x for the optimizers of SciPy.

Noise, steps and errors are measured once, at a first point; each call then takes one round of differences in this
process, without checks, journal or report.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from optitrip.api.functions import gradient
from optitrip.api.inputs import by_name, named_point
from optitrip.api.repeated import check_bare, relative_steps, sizes_of
from optitrip.core.arrays import Array, ours
from optitrip.core.point import Limits, Point
from optitrip.loss.noisy import SEED, seed_of, takes_seed
from optitrip.loss.offers import offers_of
from optitrip.loss.passing import Passing
from optitrip.loss.returns import as_array, split_loss
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.estimate import derivative_weights
from optitrip.methods.gradient.moves import Moves

BLOCK = 256
"""Number of points per call of a batched loss."""


@dataclass(frozen=True, eq=False, repr=False)
class Jacobian:
    """The numeric derivative of a loss as a function of x; `jac` makes it.

    Called with x it returns the gradient, of x's shape and dtype; for a loss that returns m numbers, their Jacobian of
    shape (m, *shape of x). An exception of the loss is passed on.
    """

    loss: Any
    answer: GradientAnswer
    """Gradient at the first point, with its errors; that of the sum of squares if the loss returns several numbers."""
    name: str
    """Name of the parameter."""
    steps: Array
    """Steps relative to max(0.01, |x|), float64, flat."""
    passing: Callable[[Any, Array], Any]
    """Function that calls a method of the loss, or the loss itself, with an array and its constants."""
    limits: Limits | None
    fast: str
    """Way in which the loss is computed at many points: "around", "losses", or "" for one by one."""

    @ours()
    def __call__(self, x: Any) -> Array:
        point = np.asarray(x)
        point = point if point.dtype == np.float32 else point.astype(np.float64)
        center, scheme = Point({self.name: point}, (self.name,)), self.answer.method.scheme
        every = np.arange(point.size)
        steps = self.steps * sizes_of(point)
        ends = Moves(center, scheme.offsets, steps, limits=self.limits).entries(every)
        taken = ends - point.ravel()
        weights = derivative_weights(taken, taken != 0)
        weights[:, ~(taken != 0).any(axis=0)] = np.nan
        deltas = self._deltas(point, ends, taken)
        derivative = (weights.reshape(*weights.shape, *[1] * (deltas.ndim - 2)) * deltas).sum(axis=0)
        shaped = np.moveaxis(derivative, 0, -1).reshape((*derivative.shape[1:], *point.shape))
        return shaped.astype(point.dtype)

    def _deltas(self, point: Array, ends: Array, taken: Array) -> Array:
        """Return f(x + move) - f(x) of shape (moves, entries), and an axis more if the loss returns several numbers."""
        if self.fast == "around":
            around = self.passing(self.loss.around, point)
            coordinates = np.tile(np.arange(point.size), len(ends))
            return np.asarray(around.deltas(coordinates, taken.ravel()), np.float64).reshape(taken.shape)
        rows = np.concatenate([self._losses(point, row) for row in ends])
        at_x = np.asarray(self._number(self.passing(self.loss, point)), np.float64)
        return (rows - at_x).reshape(*ends.shape, *at_x.shape)

    def _losses(self, point: Array, entries: Array) -> Array:
        """Return the losses with one entry of x after the other replaced."""
        if self.fast == "losses":
            blocks = [range(low, min(low + BLOCK, point.size)) for low in range(0, point.size, BLOCK)]
            return np.concatenate([self._batch(point, entries, block) for block in blocks])
        moved, found = point.copy(), list[Any]()
        flat = moved.ravel()
        for place, entry in enumerate(entries):
            kept, flat[place] = flat[place], entry
            argument = moved.copy()  # the loss may keep it
            argument.flags.writeable = False
            found.append(self._number(self.passing(self.loss, argument)))
            flat[place] = kept
        return np.asarray(found, np.float64)

    def _batch(self, point: Array, entries: Array, places: range) -> Array:
        batch = np.repeat(point[np.newaxis], len(places), axis=0)
        batch.reshape(len(places), -1)[np.arange(len(places)), list(places)] = entries[places.start : places.stop]
        return np.asarray(as_array(split_loss(self.passing(self.loss.losses, batch))[0]), np.float64)

    def _number(self, returned: Any) -> Any:
        return returned if isinstance(returned, float) else as_array(split_loss(returned)[0])

    def __repr__(self) -> str:
        scheme = self.answer.method.scheme.name.replace("_", "-")
        return f"Jacobian({scheme} differences, largest error at the first point {self.answer.largest_error:.1g})"


def sum_of_squares(loss: Callable[..., Any], *args: Any, **values: Any) -> float:
    """Return half the sum of the squares of what a loss returns."""
    return float(np.sum(np.square(np.asarray(as_array(loss(*args, **values)), np.float64)))) / 2


def jac(
    loss: Any,
    x0: Any,
    *,
    scheme: str | None = None,
    step: Any = "auto",
    noise: float | None = None,
    bounds: Any = None,
    plain: bool = False,
    constants: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Jacobian:
    """Return the numeric derivative of a loss as a function, e.g. `minimize(loss, x0, jac=optitrip.jac(loss, x0))`.

    Args:
        loss: function of one array; it returns a number, or an array of residuals for `least_squares`.
        x0: point at which noise, steps and errors are measured.
        scheme: as for `gradient`.
        step: as for `gradient`.
        noise: as for `gradient`.
        bounds: as for `gradient`; the function keeps within them, too.
        plain: True to ignore batched and structured evaluation.
        constants: as for `gradient`.
        arguments: as for `gradient`.

    Raises:
        optitrip.OptitripError: as for `gradient`.
    """
    given = {**by_name("constants", constants), **by_name("arguments", arguments)}
    if takes_seed(loss) and SEED not in given:  # the same one at all points, as for `gradient`
        constants = {**by_name("constants", constants), SEED: seed_of(0, 0, {})}
        given = {**given, **constants}
    check_bare(x0)
    ((name, point),) = named_point(loss, x0, given, as_dict=False).items()
    passing = passing_of(name, given)
    several = callable(loss) and np.ndim(as_array(split_loss(passing(loss, point))[0])) > 0
    answer = gradient(
        partial(sum_of_squares, loss) if several else loss,
        {name: point},
        scheme=scheme,
        step={name: step} if isinstance(step, np.ndarray | list) else step,
        noise=noise,
        bounds=bounds if bounds is None or isinstance(bounds, Mapping) else {name: bounds},
        plain=plain,
        constants=constants,
        arguments=arguments,
        executor="serial",
    )
    steps = relative_steps(answer, name, point)
    offers = frozenset[str]() if plain or several else offers_of(loss, "loss", (name, *given), as_dict=False).methods
    fast = next((way for way in ("around", "losses") if way in offers and callable(loss)), "")
    return Jacobian(loss, answer, name, steps, passing, answer.method.moves.limits, fast)


def passing_of(name: str, given: Mapping[str, Any]) -> Callable[[Any, Array], Any]:
    """Return a function that calls another one with an array, or a number for an array without axes, and constants."""
    known: dict[Any, Passing] = {}

    def call(function: Any, array: Array) -> Any:
        value = array if array.ndim else array.item()
        key = getattr(function, "__func__", function)
        if key not in known:
            known[key] = Passing.of(function, [name, *given], as_dict=False)
        passing = known[key]
        return function(value) if passing.first and not given else passing.bound(function, {name: value, **given})()

    return call
