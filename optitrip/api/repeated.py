"""The numeric derivative as a function of x, whose noise, steps and errors were measured at a first point."""

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from optitrip.api.differences import Differences
from optitrip.api.inputs import by_name, check_loss, float_array, only_parameter
from optitrip.api.local import Local, as_numbers, followed, is_several, only_number
from optitrip.core.arrays import Array, ours
from optitrip.errors import InputError
from optitrip.loss.noisy import SEED, seed_of, takes_seed
from optitrip.loss.returns import as_array
from optitrip.methods.gradient.answer import GradientAnswer

SMALLEST = 5e-324
"""Level that stands for no noise: the smallest positive number."""
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


@dataclass(frozen=True, eq=False, repr=False)
class Jacobian:
    """The numeric derivative of a loss as a function of x; `jac` makes it.

    Called with x it returns the gradient, of x's shape and dtype, NaN where it is missing; for a loss that returns m
    numbers, their Jacobian of shape (m, *shape of x). Further arguments go to the loss, after x, instead of `args`. An
    exception of the loss is passed on. It holds nothing that changes, so threads may share it.
    """

    answer: GradientAnswer
    """Gradient at the first point, with its errors; that of half the sum of squares if the loss returns several
    numbers."""
    differences: Differences
    local: Local

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Array:
        point = self.differences.inside(point_of(x, self.first.size))
        local = self.local.followed_by(args, kwargs) if args or kwargs else self.local
        return shaped(self.differences.derivative(point, local.losses(point)), point)

    @property
    def first(self) -> Array:
        """Point at which it was measured."""
        return self.answer.method.center.values[self.differences.name]

    def __repr__(self) -> str:
        return f"Jacobian({described(self.answer)})"


@dataclass(frozen=True, eq=False, repr=False)
class RepeatedGradient:
    """The numeric gradient of a loss as a function of x, each call of which uses a session's workers; `Session.jac`
    makes it.

    Called with x it returns the gradient, of x's shape and dtype; NaN where it is missing. Further arguments go to the
    loss, after x, instead of `args`.
    """

    answer: GradientAnswer
    """Gradient at the first point, with its errors."""
    differences: Differences
    loss: Any
    compute: Callable[..., GradientAnswer]
    """Function that computes the gradient of a loss at parameters by name."""

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Array:
        center, name = self.answer.method.center, self.differences.name
        point = self.differences.inside(point_of(x, center.size))
        loss = followed(self.loss, args, kwargs) if args or kwargs else self.loss

        def losses(places: Array, ends: Array, h: Array) -> tuple[Array, Array]:
            steps = np.ones(point.size)
            steps[places] = h
            some = None if len(places) == point.size else [center.title(int(place)) for place in places]
            # The steps are known, so the level is not used: given, it is not measured again.
            found = self.compute(
                loss,
                {name: point},
                scheme=self.answer.method.scheme.name,
                step={name: steps.reshape(point.shape)},
                noise=max(self.answer.noise, SMALLEST),
                errors=False,
                coordinates=some,
            ).result
            return np.array(found.loss), found.deltas[: len(ends), found.rows_of(places)]

        return shaped(self.differences.derivative(point, losses), point)

    def __repr__(self) -> str:
        return f"RepeatedGradient({described(self.answer)})"


def described(answer: GradientAnswer) -> str:
    """Return how a function computes derivatives, for its text."""
    scheme = answer.method.scheme.name.replace("_", "-")
    return f"{scheme} differences, largest error at the first point {answer.largest_error:.1g}"


def point_of(x: Any, size: int) -> Array:
    """Return x as an array of float32 or float64; raises InputError unless it has so many real numbers."""
    point = real_array("x", x)
    if point.size != size:
        raise InputError(
            f"x: has {point.size:,} entries, and x0, where the steps were measured, {size:,}; wanted as many (for "
            "curve_fit, which calls jac(xdata, *parameters), see help(optitrip.jac))"
        )
    return point


def real_array(name: str, x: Any) -> Array:
    """Return a number or an array as one of float32 or float64; raises InputError for anything but real numbers."""
    if isinstance(x, np.ndarray) and x.dtype in FLOATS:
        return x
    try:
        kind = as_array(x).dtype.kind
    except Exception:  # ragged, which `float_array` explains
        kind = "f"
    if kind not in "fiu":
        raise InputError(f"{name}: was {reprlib.repr(x)}; wanted a real number or an array of them")
    return float_array(name, x, integers=True)


def shaped(derivative: Array, point: Array) -> Array:
    """Return a derivative of shape (coordinates, ...) with the axes of the point last, in its dtype."""
    if derivative.ndim > 1:
        derivative = np.moveaxis(derivative, 0, -1)
    with ours():
        return derivative.reshape((*derivative.shape[:-1], *point.shape)).astype(point.dtype)


def sum_of_squares(loss: Callable[..., Any], *args: Any, **values: Any) -> float:
    """Return half the sum of the squares of what a loss returns."""
    numbers = as_numbers(loss(*args, **values))
    with ours():
        return float(np.sum(np.square(numbers))) / 2


def one_number(loss: Callable[..., Any], *args: Any, **values: Any) -> float:
    """Return the number that a loss returns in an array."""
    return only_number(loss(*args, **values))


def repeated(
    compute: Callable[..., GradientAnswer],
    loss: Any,
    x0: Any,
    *,
    args: Any,
    step: Any,
    bounds: Any,
    plain: bool,
    constants: Mapping[str, Any] | None,
    arguments: Mapping[str, Any] | None,
    here: Callable[[], bool] | None = None,
    **options: Any,
) -> Jacobian | RepeatedGradient:
    """Compute the gradient at x0 and return the function for other points.

    It calls the loss in this process, unless there is a function `here` that says, before or after the gradient at x0,
    that it is to call `compute`.
    """
    if isinstance(x0, Mapping):
        raise InputError("x0: was a dict; wanted a number or an array, as the optimizers of SciPy pass it")
    args = tuple(args) if isinstance(args, list | tuple) else (args,)
    loss = followed(loss, args, {}) if args else loss
    given = {**by_name("constants", constants), **by_name("arguments", arguments)}
    if args and given:
        raise InputError(f"args: wanted these, or {', '.join(given)} by name, and not both")
    if takes_seed(loss) and SEED not in given:  # the same one at all points, as for `gradient`
        constants = {**by_name("constants", constants), SEED: seed_of(0, 0, {})}
        given = {**given, **constants}
    name, point = name_of(loss, given), real_array("x0", x0)
    if not point.size:
        raise InputError("x0: has no entries; wanted at least one number")
    local = Local.of(loss, name, given, plain=plain) if here is None or here() else None
    measured = loss if local is None else with_one_number(local, point)
    step = {name: step} if isinstance(step, np.ndarray | list) else step
    bounds = bounds if bounds is None or isinstance(bounds, Mapping) else {name: limits_of(bounds, point)}
    compute = partial(compute, bounds=bounds, plain=plain, constants=constants, arguments=arguments)
    answer = compute(measured, {name: point}, step=step, **options)
    differences = Differences.at(answer, name, step)
    if local is None or (here is not None and not here() and measured is loss):
        return RepeatedGradient(answer, differences, loss, compute)
    return Jacobian(answer, differences, local)


def name_of(loss: Any, given: Mapping[str, Any]) -> str:
    """Return the name of the parameter; raises InputError if there are others that are not given."""
    check_loss(loss)
    try:
        return only_parameter(loss, given)
    except InputError as error:
        raise InputError(
            f"{str(error).partition('; wanted')[0]}; jac takes the derivative by one array: wanted the others as "
            "args=(...), as SciPy has them, or by name, constants={...}"
        ) from None


def limits_of(bounds: Any, point: Array) -> Any:
    """Return bounds as a pair (low, high), also those of `scipy.optimize.Bounds`; raises InputError for pairs by
    entry."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        ends = [np.ravel(bound) for bound in (bounds.lb, bounds.ub)]
        return [end.item() if end.size == 1 else end.reshape(point.shape) for end in ends]
    if isinstance(bounds, list | tuple) and len(bounds) != 2 and len(bounds) == point.size:
        raise InputError(
            f"bounds: was a pair for each of {point.size:,} entries; wanted (low, high), each a number or an array, or "
            "scipy.optimize.Bounds(low, high)"
        )
    if point.size == 2 and isinstance(bounds, list | tuple) and all(isinstance(end, list | tuple) for end in bounds):  # pyright: ignore[reportUnknownVariableType]
        raise InputError(
            f"bounds: was {bounds!r}, which may be (low, high) or a pair for each of two entries; wanted "
            "(numpy.array(low), numpy.array(high)), or scipy.optimize.Bounds(low, high)"
        )
    return bounds


def with_one_number(local: Local, point: Array) -> Any:
    """Return a loss that has one number for all, if it does not return a number as it is."""
    if local.way == "losses" or not callable(local.loss):
        return local.loss
    returned = local.value(point)
    if is_several(returned):
        return partial(sum_of_squares, local.loss)
    return partial(one_number, local.loss) if np.ndim(returned) else local.loss
