"""A random loss: each evaluation gets a seed of its own, if the loss takes one, and several of them make one loss."""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Self

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.loss.offers import OF_NOTHING, OF_VARIABLES, find
from optitrip.loss.passing import Ways, pass_values, passing_of, signature_of, unwrap_partial
from optitrip.loss.returns import DOUBLE, as_batch, as_number, eps_of, split_loss

SEED = "seed"
"""Name of the parameter by which a loss takes a seed."""
SEEDS = 2**31
"""Number of different seeds, which count from 0: all fit a signed integer of 32 bits, as C and Fortran have."""
STANDARD_ERROR = "standard_error"
"""Name of the number beside a loss that is the mean of several."""
HANDED_ON = ("block", "deltas_block", "tolerance", "close", *OF_NOTHING)
"""Attributes of the loss inside that do not depend on a seed."""
BY_POINT = frozenset(OF_VARIABLES) - {"losses", "around"}
"""Methods of the loss inside that may take a seed. Structured differences are not on offer."""


class Noisy:
    """A loss that is random, or the mean of several evaluations.

    A seed is a pure function of the sweep's seed, the point and the number of the evaluation there. If seeds are
    `common`, they do not depend on the point (common random numbers), so that a difference of two losses is that of one
    smooth function.

    Args:
        loss: the loss, plain or batched.
        seed: seed of the sweep, for a loss that takes a `seed`; None for any other.
        repeats: number of evaluations, of which the loss is the mean.
        common: True if all points have the same seeds.
    """

    def __init__(self, loss: Any, seed: int | None, repeats: int = 1, *, common: bool = False) -> None:
        self._loss, self._seed, self._repeats, self._common, self._first = loss, seed, repeats, common, 0
        self._ways: Ways = {}
        self.takes_batches = find(unwrap_partial(loss), "takes_batches", []) is True
        self.__qualname__ = getattr(loss, "__qualname__", type(loss).__name__)
        self.__module__ = getattr(loss, "__module__", type(loss).__module__)

    @property
    def inner(self) -> Any:
        """Loss inside."""
        return self._loss

    @property
    def settings(self) -> tuple[Any, ...]:
        """Everything beside the loss inside that decides its losses."""
        return self._seed, self._repeats, self._common

    @property
    def seeded(self) -> bool:
        """True if the loss inside takes a seed."""
        return self._seed is not None

    def again(self, number: int) -> Self:
        """Return the loss for the evaluation after `number` others of the same point."""
        found = copy(self)
        found._first = number * self._repeats
        return found

    def with_inner(self, loss: Any) -> Self:
        """Return the same with another loss inside, which takes the same parameters."""
        found = copy(self)
        found._loss, found._ways = loss, {}
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "losses" and callable(inner := getattr(self._loss, name)):
            return partial(self._mean_of_batches, inner)
        if name in BY_POINT and callable(inner := getattr(self._loss, name)):
            return partial(self._at_point, inner)
        if name in HANDED_ON:
            return getattr(self._loss, name)
        raise AttributeError(name)

    def __call__(self, **values: Any) -> Any:
        if self.takes_batches:
            return self._mean_of_batches(self._loss, **values)
        numbers = range(self._first, self._first + self._repeats)
        seeded = [values if self._seed is None else {**values, SEED: self._seed_at(values, n)} for n in numbers]
        passing = passing_of(self._loss, seeded[0], self._ways)
        returned = [passing.bound(self._loss, point)() for point in seeded]
        return returned[0] if self._repeats == 1 else mean(returned, as_number)

    def _mean_of_batches(self, call: Callable[..., Any], /, **values: Array) -> Any:
        count = len(next(iter(values.values())))
        returned: list[Any] = []
        for number in range(self._first, self._first + self._repeats):
            seeds = {}
            if self._seed is not None:
                rows = ({name: column[row] for name, column in values.items()} for row in range(count))
                seeds = {SEED: np.array([self._seed_at(row, number) for row in rows], np.int64)}
            returned.append(pass_values(call, {**values, **seeds}, as_dict=False))
        return returned[0] if self._repeats == 1 else mean(returned, lambda value: as_batch(value, count))

    def _at_point(self, call: Callable[..., Any], /, **values: Any) -> Any:
        seeds = {} if self._seed is None or not takes_seed(call) else {SEED: self._seed_at(values, self._first)}
        return pass_values(call, {**values, **seeds}, as_dict=False)

    def _seed_at(self, values: Mapping[str, Any], number: int) -> int:
        assert self._seed is not None
        return seed_of(self._seed, number, {} if self._common else values)


def takes_seed(loss: Any) -> bool:
    """Return whether a loss, or the batched method of one, has a parameter of the name `seed`."""
    if inspect.getattr_static(type(loss), "takes_seed", None) is not None:
        return bool(loss.takes_seed)
    return takes(loss, SEED)


def takes(loss: Any, name: str) -> bool:
    """Return whether a loss, or the batched method of one, has a parameter of a name."""
    call = loss if callable(loss) else find(loss, "losses", [], called=True)
    signature = None if call is None else signature_of(call)
    found = None if signature is None else signature.parameters.get(name)
    return found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY)


def seed_of(seed: int, number: int, values: Mapping[str, Any]) -> int:
    """Return the seed of evaluation `number` of a point: 31 bits of BLAKE2b."""
    hashed = hashlib.blake2b(json.dumps([seed, number, sorted(values)]).encode(), digest_size=8)
    for name in sorted(values):
        hashed.update(canonical(values[name]))
    return int.from_bytes(hashed.digest(), "little") % SEEDS


def canonical(value: Any) -> bytes:
    """Return a value as bytes that are the same for a Python number and for an entry of an array."""
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return array.astype(np.float64).tobytes()
    if array.dtype.kind in "biu":
        return array.astype(np.int64).tobytes()
    return repr(value.item() if isinstance(value, np.generic) else value).encode()


@ours()
def mean(returned: Sequence[Any], number: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the mean loss of several evaluations with its standard error, and the means of other numbers beside it.

    Args:
        returned: what each evaluation returned.
        number: function that turns a loss, or those of a batch, into numbers.
    """
    parts = [split_loss(one) for one in returned]
    columns = {"loss": [loss for loss, _ in parts]}
    columns |= {name: [extras[name] for _, extras in parts] for name in parts[0][1] if all(name in e for _, e in parts)}
    means: dict[str, Any] = {name: math_mean([number(one) for one in column]) for name, column in columns.items()}
    losses, count = [number(loss) for loss, _ in parts], len(parts)
    squares = math_mean([np.square(loss - means["loss"]) for loss in losses])
    error = np.sqrt(squares / (count - 1))
    if eps_of(parts[0][0]) > DOUBLE:  # else the loss would pass for one of double precision
        means["loss"] = np.float32(means["loss"])
    return {**means, STANDARD_ERROR: error}


def math_mean(numbers: Sequence[Any]) -> Any:
    """Return the mean of numbers or arrays, added in order."""
    if all(isinstance(one, float) and math.isfinite(one) for one in numbers):
        return math.fsum(numbers) / len(numbers)
    return sum(numbers[1:], numbers[0]) / len(numbers)
