"""The evaluation ladder: what an objective offers, and a range of items evaluated by the best step there is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, overload

import numpy as np

from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.loss.evaluation import Draw, evaluated, in_batches_of_one, in_blocks, one_by_one
from optitrip.loss.returns import Evaluation, abbreviated, number
from optitrip.space.variables import arguments

PLAIN_BLOCK, BATCH_BLOCK, LARGEST_BLOCK = 1, 256, 2**20

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def batched(function: Function) -> Function: ...
@overload
def batched(*, block: int) -> Callable[[Function], Function]: ...
def batched(function: Any = None, *, block: int | None = None) -> Any:
    """Mark a function that takes a whole batch of candidates at once.

    Each parameter arrives with a leading axis of n candidates, and n losses are returned, shape (n,); or a dict of
    such arrays, of which `loss` is one. The function itself stays as it is.

    Args:
        function: to be marked; without it, a decorator is returned.
        block: how many candidates it is called with; 256 by default.
    """
    if function is None:
        return lambda given: batched_with(given, block)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    return batched_with(function, block)


def batched_with(function: Any, block: int | None) -> Any:
    if not inspect.isfunction(function):
        raise InputError(
            f"batched: was {abbreviated(function)}, wanted a function, or a method where its class defines it"
        )
    marked: Any = function
    marked.takes_batches = True
    if block is not None:
        marked.block = block
    return marked


def mark(loss: Any, name: str) -> Any:
    """An attribute of a loss, or of the function to which a `partial` binds arguments."""
    while isinstance(loss, partial):
        loss = loss.func  # pyright: ignore[reportUnknownVariableType]
    return getattr(loss, name, None)


@dataclass(frozen=True)
class Capabilities:
    """What a loaded objective offers; all that a route may know of it."""

    losses: bool = False
    gradient: bool = False
    report: bool = False
    around: bool = False
    block: int = PLAIN_BLOCK
    screens: tuple[str, ...] = ()
    """The words under which it offers cheaper surrogates."""
    deltas_block: int = BATCH_BLOCK
    """Coordinates a call of `deltas`."""
    order: Array | None = field(default=None, compare=False)
    """Flat coordinates of its only variable in the order in which they are best taken."""


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss with its ladder.

    Args:
        loss: the user's object: callable, or marked with `batched`, or with `losses`, or several of these; `gradient`,
            `report`, `around`, `order`, `images`, `screens` with `screen`, `block`, `deltas_block`, `digest` and
            `tolerance` are found by presence.
        name: as in the sweep file, for messages.
        block: in place of the objective's own block.
        plain: use the plain call only, one item at a time.
        surrogate: what a search screens by.

    Raises:
        InputError: if the object is no loss, its own block no number of candidates, or its order none of coordinates.
    """

    loss: Any
    name: str = "loss"
    block: int | None = None
    plain: bool = field(default=False, kw_only=True)
    surrogate: Objective | None = field(default=None, kw_only=True)
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        loss, name, plain = self.loss, self.name, self.plain
        own = mark(loss, "block")
        if own is not None and (isinstance(own, bool) or not isinstance(own, int) or not 1 <= own <= LARGEST_BLOCK):
            raise InputError(f"{name}: its block was {own!r}, wanted a whole number from 1 to {LARGEST_BLOCK:,}")
        if self.plain_call is None and self.batch_call is None:
            raise InputError(
                f"{name} is a {type(loss).__name__}; wanted a function, or an object with __call__ or losses"
            )
        in_batches = self.batch_call is not None and not plain
        block_size = self.block or own or (BATCH_BLOCK if in_batches else PLAIN_BLOCK)
        if plain:
            block_size = PLAIN_BLOCK
        capabilities = Capabilities(
            losses=in_batches,
            gradient=callable(getattr(loss, "gradient", None)),
            report=callable(getattr(loss, "report", None)),
            around=callable(getattr(loss, "around", None)) and not plain,
            screens=() if plain else self._screens(),
            block=block_size,
            deltas_block=getattr(loss, "deltas_block", BATCH_BLOCK),
            order=self._order(),
        )
        object.__setattr__(self, "capabilities", capabilities)  # how a frozen dataclass sets a derived field

    @property
    def batch_call(self) -> Callable[..., Any] | None:
        """What takes a whole block, if anything does."""
        if mark(self.loss, "takes_batches"):
            return self.loss
        losses = getattr(self.loss, "losses", None)
        return losses if callable(losses) else None

    @property
    def plain_call(self) -> Callable[..., Any] | None:
        """What takes one point, if anything does."""
        return self.loss if callable(self.loss) and not mark(self.loss, "takes_batches") else None

    def evaluate(self, draw: Draw, items: range) -> Evaluation:
        """Losses of a range by the best step there is."""
        return evaluated(
            draw, items, self.capabilities.block, self._batch if self.capabilities.losses else self._plainly
        )

    def evaluate_plainly(self, draw: Draw, items: range) -> Evaluation:
        """The same by the plain call, or by batches of one where the objective is batched only."""
        return evaluated(draw, items, self.capabilities.block, self._plainly)

    def _batch(self, values: dict[str, Array], items: range, found: Evaluation) -> None:
        assert self.batch_call is not None
        in_blocks(self.batch_call, self.capabilities.block, values, items, found)

    def _plainly(self, values: dict[str, Array], items: range, found: Evaluation) -> None:
        call, batch_call = self.plain_call, self.batch_call
        if call is not None:
            one_by_one(call, values, items, found)
        elif batch_call is not None:
            in_batches_of_one(batch_call, values, items, found)

    def allowed_difference(self, loss: float, *, double: bool) -> float:
        """How far a batched and a plain loss may differ: the objective's relative `tolerance`; without one
        64 eps max(|f|, 1) for losses in float64, else 1e-5 relative."""
        tolerance = getattr(self.loss, "tolerance", None)
        if tolerance is None and double:
            return self.rounding(loss)
        return float(1e-5 if tolerance is None else tolerance) * abs(loss)

    def allowed_of_deltas(self, loss: float) -> float:
        """How far f(x) plus a delta and a plain loss may differ: 64 eps max(|f|, 1), or the relative `tolerance`."""
        tolerance = getattr(self.loss, "tolerance", None)
        return self.rounding(loss) if tolerance is None else float(tolerance) * abs(loss)

    @staticmethod
    def rounding(loss: float) -> float:
        return 64 * float(np.finfo(np.float64).eps) * max(abs(loss), 1.0)

    def around(self, values: Mapping[str, Array]) -> Any:
        """What the objective makes of itself around one point, given as a batch of one: an object with `deltas`."""
        return self.loss.around(**arguments(values, 0))

    def report(self, values: Mapping[str, Array]) -> dict[str, float]:
        """The objective's extra figures of one point, given as a batch of one.

        Raises:
            TypeError: if it returns anything but a dict of numbers.
        """
        figures = self.loss.report(**arguments(values, 0))
        if not isinstance(figures, dict):
            raise TypeError(f"report must return a dict of numbers, returned {abbreviated(figures)}")
        return {str(name): number(value) for name, value in figures.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def gradient(self, values: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """The objective's analytic gradient by some of its parameters at one point, given as a batch of one.

        Raises:
            TypeError: if one of them is missing or has another shape.
        """
        point = arguments(values, 0)
        given = self.loss.gradient(**point)
        table: dict[Any, Any] = given if isinstance(given, dict) else dict.fromkeys(names[:1], given)  # pyright: ignore[reportUnknownVariableType]
        wanted = {name: values[name].shape[1:] for name in names}
        found = {name: np.shape(table[name]) for name in names if name in table}
        if found != wanted:
            raise TypeError(f"gradient must return arrays of shapes {wanted}, returned {found or abbreviated(given)}")
        return {name: np.asarray(table[name], dtype=np.float64) for name in names}

    def images(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The parameters as pictures by title, (height, width) or (height, width, 3), if the objective can show them.

        Args:
            values: of one point, or of its gradient.
        """
        shown = getattr(self.loss, "images", None)
        images: Any = shown(**values) if callable(shown) else {}
        arrays = {str(title): np.asarray(image) for title, image in dict(images).items()}
        for title, image in arrays.items():
            if image.dtype.kind not in "fiu" or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
                raise TypeError(
                    f"image {title!r} is {abbreviated(image)}, wanted (height, width) or (height, width, 3)"
                )
        return arrays

    def _screens(self) -> tuple[str, ...]:
        given: Any = getattr(self.loss, "screens", ()) if callable(getattr(self.loss, "screen", None)) else ()
        if isinstance(given, str) or not all(isinstance(word, str) for word in given):
            raise InputError(f"{self.name}: its screens were {given!r}, wanted the words that its `screen` takes")
        return tuple(given)

    def _order(self) -> Array | None:
        order = getattr(self.loss, "order", None)
        if not callable(order):
            return None
        try:
            given = np.asarray(order())
        except Exception as error:
            raise InputError(f"{self.name}: its order raised {type(error).__name__}: {error}") from error
        if given.dtype.kind not in "iu" or not np.array_equal(np.sort(given), np.arange(given.size)):
            raise InputError(
                f"{self.name}: its order was {abbreviated(given)}, wanted every flat coordinate of its variable once"
            )
        return given.astype(np.int64)
