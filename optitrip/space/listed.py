"""Distributions over values that are written out: choices and constants."""

import math
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from optitrip.core.arrays import Array, Coded
from optitrip.core.literals import described, in_json, literal_text
from optitrip.space.distribution import Distribution


@dataclass(frozen=True)
class Choice(Distribution):
    """One of several literals, all equally likely. The loss gets exactly the literal, and its own copy of a list or a
    dict."""

    options: tuple[Any, ...] = ()  # pyright: ignore[reportIncompatibleMethodOverride]
    continuous: ClassVar[bool] = False
    ordered: ClassVar[bool] = False

    @classmethod
    def parse(cls, entry: object) -> Self:
        if not isinstance(entry, list | tuple) or not entry:
            raise ValueError(f"wanted a list of one option or more, was {entry!r}")
        options: list[Any] = list(entry)  # pyright: ignore[reportUnknownArgumentType]
        for option in options:
            if not isinstance(option, str | int | float):
                try:
                    literal_text(option)
                except ValueError as error:
                    raise ValueError(f"an option must be a literal: {error}; was {option!r}") from None
        options = deepcopy(options)
        for option in options:
            if isinstance(option, np.ndarray):
                option.flags.writeable = False
        return cls(tuple(options))

    @property
    def levels(self) -> int:
        return len(self.options)

    def describe(self) -> Any:
        options = list(self.options)
        return self.options if in_json(options) else described(options)

    def extremes(self) -> Array:
        return (np.arange(len(self.options)) + 0.5) / len(self.options)  # any option may be the largest

    @cached_property
    def _array(self) -> Array:
        # Made once: candidates may be drawn one by one, and the list may be long.
        return option_array(self.options)

    def places(self, unit: Array) -> Array:
        """Return the place in `options` for each u, int64."""
        unit *= len(self.options)
        return np.minimum(unit.astype(np.int64), len(self.options) - 1)

    def coded(self, unit: Array) -> Coded:
        return Coded(self.places(unit).astype(np.int32), literals(self.options))

    def values(self, unit: Array) -> Array:
        chosen = self._array[self.places(unit)]
        if any(isinstance(option, list | dict | tuple) for option in self.options):
            for place in np.ndindex(chosen.shape):  # a loss may change what it gets
                chosen[place] = deepcopy(chosen[place])
        return chosen


@dataclass(frozen=True, eq=False)
class Held:
    """Any Python object as a constant, from Python only; it is passed on as it is."""

    value: Any

    @property
    def array(self) -> Array | None:
        """The object if it is an array, of a type that no list in a sweep file becomes."""
        plain = (
            type(self.value) is np.ndarray and self.value.ndim > 0 < self.value.size and not self.value.dtype.hasobject
        )
        return self.value if plain else None


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same value, a scalar or an array."""

    value: Any
    drawn: ClassVar[bool] = False
    fixed: ClassVar[bool] = True

    @classmethod
    def parse(cls, entry: object) -> Self:
        if isinstance(entry, list):
            if typed_array(entry).dtype == object:  # pyright: ignore[reportUnknownArgumentType]
                raise ValueError(f"a list must be a regular array of entries of one type, was {entry!r}")
            return cls(nested_tuple(entry))
        if not isinstance(entry, str | int | float | Held):
            raise ValueError(f"wanted a number, a string, a boolean or a list, was {entry!r}")
        return cls(entry)

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self._array is None else self._array.shape

    @property
    def options(self) -> tuple[Any, ...]:
        return (self.value,)

    @cached_property
    def _array(self) -> Array | None:
        return self.value.array if isinstance(self.value, Held) else typed_array(self.value)

    def describe(self) -> Any:
        return described(self.value.value) if isinstance(self.value, Held) else self.value

    def coded(self, unit: Array) -> Coded:
        words = literals([self.value]) if isinstance(self.value, str | int | float) else []
        return Coded(np.zeros(len(unit), np.int32), words)

    def values(self, unit: Array) -> Array:
        if self._array is None:
            return np.broadcast_to(objects([self.value.value]), unit.shape)
        shape = (*unit.shape[:1], *self.shape) if self.shape else unit.shape
        return np.broadcast_to(self._array, shape)


def constant_entry(value: Any, plain: Any) -> dict[str, Any]:
    """Return the entry of a constant that a Python call gives: `plain`, the value in Python's own types, where a sweep
    file can hold it, else the object itself."""
    if isinstance(value, np.ndarray) and typed_array(plain).dtype != value.dtype:
        return {"constant": Held(value)}  # e.g. of float32 or uint8, with which the loss would compute otherwise
    if isinstance(plain, str | int | list) or (isinstance(plain, float) and math.isfinite(plain)):
        with suppress(ValueError):
            Constant.parse(plain)
            return {"constant": plain}
    return {"constant": Held(value)}


@dataclass(frozen=True)
class Free(Distribution):
    """No distribution: for a gradient's variable, whose value comes from the start point."""

    drawn: ClassVar[bool] = False

    def values(self, unit: Array) -> Array:
        raise ValueError("a variable without a distribution cannot be drawn")


NO_DISTRIBUTION: Distribution = Free()
"""Distribution of a variable that has none in the sweep file."""


def option_array(options: tuple[Any, ...]) -> Array:
    """Return options as an array of their common type, or of objects: no option may change in it."""
    # NumPy drops null characters at the end of a string.
    if any(isinstance(option, list | tuple | np.ndarray) or str(option).endswith("\0") for option in options):
        return objects(options)
    return typed_array(options)


def literals(options: Sequence[Any]) -> list[Any]:
    """Return options as strings, floats, 64-bit integers or booleans of one type: those of several types as text."""
    array = option_array(tuple(options))
    if array.dtype.kind in "iufbU" and array.ndim == 1:
        return array.tolist()
    texts = [option if isinstance(option, str) else repr(option) for option in options]
    return texts if len({*texts}) == len(texts) else list(map(repr, options))


def objects(entries: Sequence[Any]) -> Array:
    """Return an array of these objects, whatever they are: NumPy would look into lists."""
    array = np.empty(len(entries), object)
    for place, entry in enumerate(entries):
        array[place] = entry
    return array


def nested_tuple(entry: Any) -> Any:
    return tuple(nested_tuple(part) for part in entry) if isinstance(entry, list) else entry  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def typed_array(options: Any) -> Array:
    """Return an array of the options' common type, or of objects if they differ, so that 1 does not become '1'."""
    entries: list[Any] = np.asarray(options, dtype=object).ravel().tolist()
    types = {type(entry) for entry in entries}
    array = np.asarray(options) if len(types) == 1 and types <= {str, int, float, bool} else None
    if array is None or (types == {int} and array.dtype.kind != "i"):  # NumPy converts large integers to floats
        return np.asarray(options, object)
    return array
