"""The adapter around a user's loss: detects what it offers and evaluates ranges of items the fastest way it allows."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, overload

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.errors import InputError
from optitrip.loss.evaluation import (
    Draw,
    Evaluation,
    Evaluator,
    call_in_batches_of_one,
    call_in_blocks,
    call_one_by_one,
    evaluate_range,
)
from optitrip.loss.feasible import Feasible, feasible_in_blocks, feasible_one_by_one
from optitrip.loss.gradients import gradient_arrays, parameter_order
from optitrip.loss.noisy import Noisy
from optitrip.loss.offers import Offers, offers_of
from optitrip.loss.passing import pass_values
from optitrip.loss.returns import abbreviate, as_array, as_number
from optitrip.loss.rung import Resource, changed, part_with_resource
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import with_trace
from optitrip.runtime.user_state import UserState
from optitrip.space.variables import Space, arguments

PLAIN_BLOCK, BATCH_BLOCK = 1, 256
BLOCK_BYTES = 2**26
"""Most bytes of parameters in a block, unless the loss or the file sets the block, or one point is larger."""

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def batched(function: Function) -> Function: ...
@overload
def batched(*, block: int) -> Callable[[Function], Function]: ...
def batched(function: Any = None, *, block: int | None = None) -> Any:
    """Mark a function that takes a whole batch of candidates at once; without a function, return a decorator.

    Each parameter arrives with a leading axis of n candidates, and n losses are returned, shape (n,); or a dict of
    such arrays, one of which is `loss`. Each call gets `block` candidates, by default 256, or as many as take 64 MiB if
    these are fewer. The function itself is returned, with attributes set on it.
    """

    def mark(function: Any) -> Any:
        if not inspect.isfunction(function):
            raise InputError(
                f"batched: was {abbreviate(function)}, wanted a function, or a method where its class defines it"
            )
        marked: Any = function
        marked.takes_batches = True
        if block is not None:
            marked.block = block
        return marked

    return mark if function is None else mark(function)


def batch_block(space: Space) -> int:
    """Return the block of a batched loss that sets none; from the space alone, so that it is the same everywhere."""
    return max(1, min(BATCH_BLOCK, BLOCK_BYTES // space.point_bytes))


@dataclass(frozen=True)
class Capabilities:
    """Capabilities of a loaded objective; routes know nothing else about it."""

    losses: bool = False
    gradient: bool = False
    report: bool = False
    around: bool = False
    block: int = PLAIN_BLOCK
    screens: tuple[str, ...] = ()
    """Names of the cheaper surrogates on offer."""
    deltas_block: int = BATCH_BLOCK
    """Number of coordinates per call of `deltas`."""
    samples: int = 0
    """Number of rows of its data, if it can be reduced to some of them; 0 otherwise."""
    noisy: bool = False
    """True if the loss takes a seed, so that it is random."""
    resumes: bool = False
    """True if the loss goes on from where the rung before has ended."""
    how_to_read: str = field(default="", compare=False)
    """Words of the objective for a reader of its figures; empty if it offers none."""
    order: Array | None = field(default=None, compare=False)
    """Flat coordinates of the only variable, in the order in which they are evaluated fastest."""


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss and the ways to evaluate it, from plain calls to structured differences.

    Args:
        loss: the user's object: callable, or marked with `batched`, or with `losses`, or several of these; `gradient`,
            `report`, `around`, `order`, `images`, `how_to_read`, `screens` with `screen`, `subset` with `samples`,
            `block`, `deltas_block`, `digest` and `tolerance` are used if they exist and are what their names promise.
        name: name in the sweep file, for messages.
        block: block size; None for the objective's own.
        plain: use the plain call only, one item at a time.
        names: variables that the methods must take; unchecked if empty.
        as_dict: pass all variables as one dict.
        batch_block: block size of batches if neither `block` nor the loss sets it.
        surrogate: cheaper objective that a search screens with.
        settings: globals and class attributes of the user's modules, packed, that workers set after importing them.
        state: settings of the process, such as NumPy's error state, with which the loss is called.
        threads: number of threads with which BLAS computes.
        noise: relative difference between two evaluations of a point that is no sign of a mistake.

    Raises InputError if the object is not a loss, or its block or order is not valid.
    """

    loss: Any
    name: str = "loss"
    block: int | None = None
    plain: bool = field(default=False, kw_only=True)
    names: tuple[str, ...] = field(default=(), kw_only=True)
    as_dict: bool = field(default=False, kw_only=True)
    batch_block: int = field(default=BATCH_BLOCK, kw_only=True)
    surrogate: "Objective | None" = field(default=None, kw_only=True)
    settings: bytes = field(default=b"", kw_only=True)
    state: UserState = field(default_factory=UserState, kw_only=True)
    noise: float = field(default=0.0, kw_only=True)
    threads: int = field(default=1, kw_only=True)
    offers: Offers = field(init=False)
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        offers = offers_of(self.loss, self.name, self.names, as_dict=self.as_dict)
        object.__setattr__(self, "offers", offers)  # how a frozen dataclass sets a derived field
        if self.plain_call is None and self.batch_call is None:
            raise InputError(
                f"{self.name} is a {type(self.loss).__name__}; wanted a function, or an object with __call__ or losses"
            )
        in_batches = self.batch_call is not None and not self.plain
        block = self.block or offers.block or (self.batch_block if in_batches else PLAIN_BLOCK)
        capabilities = Capabilities(
            losses=in_batches,
            gradient=self._offers("gradient"),
            report=self._offers("report"),
            around=self._offers("around") and not self.plain,
            screens=() if self.plain else offers.screens,
            block=PLAIN_BLOCK if self.plain else block,
            deltas_block=offers.deltas_block or BATCH_BLOCK,
            samples=offers.samples or 0,
            noisy=isinstance(self.loss, Noisy) and self.loss.seeded,
            resumes=not in_batches and (staged := part_with_resource(self.loss)) is not None and staged.resumes,
            how_to_read=self._how_to_read(),
            order=self._order(),
        )
        object.__setattr__(self, "capabilities", capabilities)
        if type(self.loss).__module__.startswith("optitrip.objectives"):
            with ours():
                object.__setattr__(self, "state", UserState())

    def _offers(self, method: str) -> bool:
        return method in self.offers.methods

    @property
    def batch_call(self) -> Callable[..., Any] | None:
        """Function that takes a whole block, if there is one."""
        if self.offers.takes_batches:
            return self.loss
        return self.loss.losses if self._offers("losses") else None

    @property
    def plain_call(self) -> Callable[..., Any] | None:
        """Function that takes one point, if there is one."""
        return self.loss if callable(self.loss) and not self.offers.takes_batches else None

    def evaluate(self, draw: Draw, items: range, feasible: Feasible | None = None) -> Evaluation:
        """Evaluate a range, in blocks if the objective takes them, else with the plain call; only items that are
        `feasible`."""
        if not self.capabilities.losses or self.batch_call is None:
            return self.evaluate_plainly(draw, items, feasible)
        block = self.capabilities.block
        step: Evaluator = partial(self.state.run, call_in_blocks, self.batch_call, block, as_dict=self.as_dict)
        step = feasible_in_blocks(step, block, feasible) if feasible else step
        return evaluate_range(draw, items, block, step)

    def evaluate_plainly(self, draw: Draw, items: range, feasible: Feasible | None = None) -> Evaluation:
        """Evaluate a range with the plain call, or in batches of one if the objective has none; only items that are
        `feasible`."""
        if self.plain_call is not None:
            step: Evaluator = partial(self.state.run, call_one_by_one, self.plain_call, as_dict=self.as_dict)
        else:
            assert self.batch_call is not None  # checked in __post_init__
            step = partial(self.state.run, call_in_batches_of_one, self.batch_call, as_dict=self.as_dict)
        step = feasible_one_by_one(step, feasible) if feasible else step
        return evaluate_range(draw, items, self.capabilities.block, step)

    def again(self, number: int) -> "Objective":
        """Return the objective for the evaluation after `number` others of the same points, with seeds of its own."""
        return replace(self, loss=self.loss.again(number)) if isinstance(self.loss, Noisy) else self

    def with_resource(self, resource: Resource) -> "Objective":
        """Return the objective for a rung, in which its loss gets so much of a resource."""
        return replace(self, loss=changed(self.loss, lambda staged: staged.at(resource)))

    def subset(self, rows: Array) -> "Objective":
        """Return the same objective on some rows of its data, by their numbers. Raises InputError if what `subset`
        returns is no loss."""
        return replace(self, loss=self.state.run(self.loss.subset, rows), name=f"subset of {self.name}")

    def allowed_difference(self, loss: float, *, double: bool) -> float:
        """Return how far a fast call may differ from the plain `loss`: by its relative `tolerance` if it has one;
        else 64 eps max(|f|, 1) in double precision (float64 batches and deltas), or 1e-5 relative; by `noise` anyway.
        """
        tolerance, noise = self.offers.tolerance, self.noise * abs(loss)
        if tolerance is None and double:
            return max(noise, 64 * float(np.finfo(np.float64).eps) * max(abs(loss), 1.0))
        return max(noise, float(1e-5 if tolerance is None else tolerance) * abs(loss))

    def around(self, values: Mapping[str, Array]) -> Any:
        """Prepare the objective around one point, given as a batch of one; return its object with `deltas`."""
        return self._pass(self.loss.around, arguments(values, 0))

    def report(self, values: Mapping[str, Array]) -> dict[str, float]:
        """Return the objective's extra figures for one point, given as a batch of one. Raises TypeError if it returns
        anything but a dict of numbers."""
        figures = self._pass(self.loss.report, arguments(values, 0))
        if not isinstance(figures, dict):
            raise TypeError(f"report must return a dict of numbers, returned {abbreviate(figures)}")
        return {str(name): as_number(value) for name, value in figures.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def gradient(self, values: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """Return the analytic gradient by the named parameters at one point, given as a batch of one.
        Raises TypeError if one of them is missing, is not of real numbers or has another shape."""
        returned = self._pass(self.loss.gradient, arguments(values, 0))
        order = parameter_order(self.loss.gradient, names)
        return gradient_arrays(returned, order, {name: values[name].shape[1:] for name in names})

    def images(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Return the parameters of a point, or its gradient, as pictures by title; none unless the objective offers it.
        Raises TypeError if a picture is neither (height, width) nor (height, width, 3)."""
        images: Any = self._pass(self.loss.images, values) if self._offers("images") else {}
        arrays = {str(title): as_array(image) for title, image in dict(images).items()}
        for title, image in arrays.items():
            if image.dtype.kind not in "fiu" or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
                raise TypeError(f"image {title!r} is {abbreviate(image)}, wanted (height, width) or (height, width, 3)")
        return arrays

    def _pass(self, method: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        return self.state.run(pass_values, method, values, as_dict=self.as_dict)

    def _how_to_read(self) -> str:
        try:
            text = self.loss.how_to_read() if self._offers("how_to_read") else ""
        except BaseException as error:
            raise InputError(with_trace(f"{self.name}: its how_to_read raised", failure(error))) from None
        if not isinstance(text, str):
            raise InputError(f"{self.name}: its how_to_read returned {abbreviate(text)}, wanted text")
        return text

    def _order(self) -> Array | None:
        if not self._offers("order"):
            return None
        try:
            order = np.asarray(self.loss.order())
        except BaseException as error:
            raise InputError(with_trace(f"{self.name}: its order raised", failure(error))) from None
        if order.dtype.kind not in "iu" or not np.array_equal(np.sort(order, axis=None), np.arange(order.size)):
            raise InputError(
                f"{self.name}: its order was {abbreviate(order)}, wanted every flat coordinate of its variable once"
            )
        return order.astype(np.int64)
