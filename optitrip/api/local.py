"""Calls of a loss in this process for its differences: the cheapest way there is, without checks, journal or report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.api.differences import Losses
from optitrip.core.arrays import Array, ours
from optitrip.errors import InputError
from optitrip.loss.objective import BATCH_BLOCK, BLOCK_BYTES
from optitrip.loss.offers import offers_of
from optitrip.loss.passing import Passing
from optitrip.loss.returns import NotANumber, abbreviate, as_array, as_batch, as_number, split_loss


@dataclass(frozen=True, eq=False)
class Followed:
    """A loss whose first argument is followed by others."""

    loss: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self, x: Any) -> Any:
        return self.loss(x, *self.args, **self.kwargs)


def followed(loss: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Followed:
    """Return a loss with these further arguments, instead of any that it has."""
    return Followed(loss.loss if isinstance(loss, Followed) else loss, args, kwargs)


@dataclass(frozen=True, eq=False)
class Local:
    """A loss of one array, and how it is computed at a point and beside it."""

    loss: Any
    name: str
    """Name of the parameter."""
    given: Mapping[str, Any]
    """Other parameters by name."""
    way: str
    """How the loss is computed at many points: "around", "losses", or "" for one by one."""
    block: int | None
    """Number of points per call of a batched loss if it is always called with as many."""
    passing: Passing
    """How the function of that way takes the parameters."""

    @classmethod
    def of(cls, loss: Any, name: str, given: Mapping[str, Any], *, plain: bool) -> "Local":
        """Find the fastest way. Raises InputError if a loss that takes batches only is given other parameters."""
        names = (name, *given)
        offers = offers_of(loss, "loss", names, as_dict=False)
        batches_only = offers.takes_batches or not callable(loss)
        if given and batches_only:
            raise InputError(
                f"the loss takes batches, and {', '.join(given)} beside them; wanted one of x alone: bind the others"
            )
        fast = () if given or (plain and not batches_only) else ("around", "losses")
        way = next((way for way in fast if way in offers.methods), "losses" if batches_only else "")
        function = getattr(loss, way) if way in offers.methods else loss
        return cls(loss, name, given, way, offers.block, Passing.of(function, names, as_dict=False))

    def followed_by(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> "Local":
        """Return the loss with further arguments for each call."""
        loss = followed(self.loss, args, {**self.given, **kwargs})
        return replace(self, loss=loss, given={}, way="", passing=Passing((self.name,)))

    def call(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        """Return a function of one value that calls another one with it and the other parameters."""
        if self.passing.first == (self.name,) and not self.given:
            return function
        return lambda value: self.passing.bound(function, {self.name: value, **self.given})()

    def value(self, x: Array) -> Any:
        """Return what the loss returns at x, unless it takes batches only."""
        return self.call(self.loss)(argument(x))

    def losses(self, x: Array) -> Losses:
        """Return the function that computes losses beside x."""
        if self.way == "around":
            return lambda places, ends, _: (np.array(np.nan), self._deltas(x, places, ends))
        if self.way == "losses":
            return lambda places, ends, _: differences(self._batches(x, places, ends), ends)
        return lambda places, ends, _: differences(self._one_by_one(x, places, ends), ends)

    def _deltas(self, x: Array, places: Array, ends: Array) -> Array:
        with ours():
            taken = np.nan_to_num(ends - x.ravel()[places], nan=0.0, posinf=0.0, neginf=0.0)
        around = self.call(self.loss.around)(argument(x))
        return as_batch(around.deltas(np.tile(places, len(ends)), taken.ravel()), taken.size, "deltas").reshape(
            ends.shape
        )

    def _one_by_one(self, x: Array, places: Array, ends: Array) -> Array:
        call = self.call(self.loss)
        first = as_numbers(call(argument(x)))
        along, found = places.tolist(), list[Any]([first])
        for row in ends.tolist():
            for place, entry in zip(along, row, strict=True):
                moved = x.copy()  # one of its own for each call: the loss may keep it
                moved.reshape(-1)[place] = entry
                returned = call(argument(moved, copied=True))
                found.append(returned if type(returned) is float else as_numbers(returned, first.shape))
        return np.array(found)

    def _batches(self, x: Array, places: Array, ends: Array) -> Array:
        """Return f(x) and the losses beside it, in calls of one block each, the last of which may be shorter."""
        function: Any = getattr(self.loss, "losses", self.loss)
        call, along, entries = self.call(function), np.tile(places, len(ends)), ends.ravel()
        most = self.block or max(1, min(BATCH_BLOCK, BLOCK_BYTES // max(1, x.nbytes)))
        found: list[Array] = []
        for low in range(0, 1 + len(entries), most):
            moved = np.arange(max(low, 1), min(low + most, 1 + len(entries)))
            count = self.block or max(1, min(low + most, 1 + len(entries)) - low)
            batch = np.repeat(x[np.newaxis], count, axis=0)
            batch.reshape(count, -1)[moved - low, along[moved - 1]] = entries[moved - 1]
            batch.flags.writeable = False
            found.append(as_batch(split_loss(call(batch))[0], count))
        return np.concatenate(found)[: 1 + len(entries)]


def argument(x: Array, *, copied: bool = False) -> Any:
    """Return what a loss gets for x: a number for an array without axes, else a read-only array of its own."""
    if not x.ndim:
        return x.item()
    value = x if copied else x.copy()
    value.flags.writeable = False
    return value


def differences(found: Array, ends: Array) -> tuple[Array, Array]:
    """Split f(x) and the losses beside it into f(x) and the differences."""
    with ours():
        return found[0], (found[1:] - found[0]).reshape(*ends.shape, *found.shape[1:])


def is_several(returned: Any) -> bool:
    """Return whether a loss returns several numbers rather than one, in whatever shape."""
    try:
        return as_array(split_loss(returned)[0]).size != 1
    except Exception as error:  # ragged, or what a tensor's own __array__ raises
        raise NotANumber(f"a loss must be one real number or an array, was {abbreviate(returned)}: {error}") from None


def only_number(returned: Any) -> float:
    """Return the only number that a loss returned, in an array of one entry, too. Raises NotANumber for any other."""
    loss = split_loss(returned)[0]
    return as_number(as_array(loss).item() if np.ndim(loss) else loss)


def as_numbers(returned: Any, shape: tuple[int, ...] | None = None) -> Array:
    """Return what a loss returned as float64, without axes if it is one number. Raises NotANumber for anything but real
    numbers, or another shape than the one given."""
    if isinstance(returned, float):
        return np.float64(returned)  # pyright: ignore[reportReturnType]
    if not is_several(returned):
        return np.float64(only_number(returned))  # pyright: ignore[reportReturnType]
    array = as_array(split_loss(returned)[0])
    if not array.size or array.dtype.kind not in "fiu" or (shape is not None and array.shape != shape):
        wanted = "real numbers" if shape is None else f"real numbers of shape {shape}, as at x"
        raise NotANumber(f"a loss of several numbers must return {wanted}, was {array.dtype} of shape {array.shape}")
    return array.astype(np.float64)
