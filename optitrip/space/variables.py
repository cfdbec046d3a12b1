"""The space: named variables with shapes and distributions, and the way from the unit cube to their values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.suggest import nearest
from optitrip.errors import Invalid
from optitrip.space.distributions import DISTRIBUTIONS, LOWEST, NO_DISTRIBUTION, Distribution

Precision = Literal["float64", "float32"]

LARGEST = 2**31
"""Entries of one variable; a row of it alone would take 16 GiB."""


@dataclass(frozen=True)
class Variable:
    """One parameter of the objective: a scalar, or an array of independent entries of one distribution."""

    name: str
    word: str
    """Word of its distribution in sweep files; empty without one."""
    distribution: Distribution
    shape: tuple[int, ...] = ()
    dtype: Precision = "float64"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def values(self, unit: Array) -> Array:
        """Values of shape (n, *shape), read-only, from u in (0, 1) of shape (n, size), which is used up."""
        values = self.distribution.values(unit)
        if values.dtype == np.float64 and self.dtype == "float32":
            with np.errstate(under="ignore"):
                values = values.astype(np.float32)
        values = values.reshape(len(unit), *self.shape)
        values.flags.writeable = False
        return values

    def describe(self) -> dict[str, Any]:
        """The variable as a sweep file would say it, spelled in one way only."""
        fields = list(vars(self.distribution).values())
        described: dict[str, Any] = {self.word: fields[0] if len(fields) == 1 else fields} if fields else {}
        if self.shape or not described:
            described["shape"] = list(self.shape)
        if self.dtype != "float64":
            described["dtype"] = self.dtype
        return described

    @classmethod
    def parse(cls, name: str, given: object, *, drawn: bool = True) -> Variable:
        """A variable from its entry in a sweep file; where it need not be `drawn`, a distribution may be absent.

        Raises:
            Invalid: with the path of the key below the variable that is at fault.
        """
        if not name.isidentifier():
            raise Invalid((), f"{name!r} cannot be the name of a parameter; wanted letters, digits and underscores")
        if not isinstance(given, dict):
            given = {"constant": given}
        entry: dict[str, Any] = dict(given)  # pyright: ignore[reportUnknownArgumentType]
        shape = cls._shape(entry.pop("shape", ()))
        dtype = entry.pop("dtype", "float64")
        if dtype not in ("float64", "float32"):
            raise Invalid(("dtype",), f"was {dtype!r}, wanted 'float64' or 'float32'")
        for word in entry:
            if word not in DISTRIBUTIONS:
                raise Invalid((word,), f"unknown key; {nearest(word, [*DISTRIBUTIONS, 'shape', 'dtype'])}")
        if not entry and not drawn:
            return cls(name, "", NO_DISTRIBUTION, shape, dtype)
        if len(entry) != 1:
            found = " and ".join(entry) or "none"
            raise Invalid((), f"wanted exactly one distribution of {', '.join(DISTRIBUTIONS)}; found {found}")
        word, parameters = next(iter(entry.items()))
        try:
            distribution = DISTRIBUTIONS[word](parameters)
        except ValueError as error:
            raise Invalid((word,), str(error)) from None
        own = distribution.shape
        if own and shape and own != shape:
            raise Invalid(("shape",), f"was {list(shape)}, but the {word} has shape {list(own)}")
        variable = cls(name, word, distribution, own or shape, dtype)
        variable._check_extremes()
        return variable

    @staticmethod
    def _shape(given: object) -> tuple[int, ...]:
        entries: list[Any] | tuple[Any, ...] = given if isinstance(given, list | tuple) else [given]  # pyright: ignore[reportUnknownVariableType]
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in entries):
            raise Invalid(("shape",), f"was {given!r}, wanted a list of whole numbers of at least 1, e.g. [10, 65]")
        if math.prod(entries) > LARGEST:
            raise Invalid(("shape",), f"was {given!r}, which is {math.prod(entries):,} entries; at most 2^31 fit")
        return tuple(entries)

    def _check_extremes(self) -> None:
        """No u, not even the outermost, may give an infinite value or one that the dtype cannot hold."""
        with np.errstate(over="ignore", under="ignore"):
            values = self.distribution.values(self.distribution.extremes()[:, np.newaxis])
            if values.dtype.kind == "f":
                values = values.astype(self.dtype)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Invalid((self.word,), f"reaches values that are not finite in {self.dtype}")
        if self.dtype != "float64" and values.dtype.kind != "f":
            raise Invalid(("dtype",), f"was {self.dtype!r}, but {self.word} here has no floating-point values")


@dataclass(frozen=True)
class Space:
    """The variables, in the order of the sweep file (which the values do not depend on)."""

    variables: tuple[Variable, ...]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Entries to draw, by name: constants need none."""
        return {v.name: v.size for v in self.variables if v.distribution.drawn}

    @property
    def names(self) -> list[str]:
        return [variable.name for variable in self.variables]

    @property
    def row_size(self) -> int:
        """Numbers drawn a candidate."""
        return sum(self.sizes.values())

    @property
    def drawable(self) -> bool:
        """Whether candidates can be drawn: no variable lacks a distribution."""
        return all(v.distribution.drawn or v.distribution.fixed for v in self.variables)

    @property
    def varied(self) -> list[Variable]:
        """The variables that a gradient takes steps in: all but the constants."""
        return [variable for variable in self.variables if not variable.distribution.fixed]

    def check_differentiable(self) -> None:
        """Go on if a gradient has coordinates, all of them real.

        Raises:
            Invalid: with the name of a variable that has no derivative.
        """
        for variable in self.varied:
            if not variable.distribution.continuous:
                raise Invalid(
                    (variable.name,),
                    f"is {variable.word}, which has no derivative: a step h would leave its values; hold it, e.g. "
                    f"{variable.name} = {first_value(variable.distribution)}",
                )
        if not self.varied:
            raise Invalid((), "holds constants only, so a gradient has no coordinates; give a variable a shape")

    def values(self, unit: Mapping[str, Array], count: int) -> dict[str, Array]:
        """Read-only values of shape (count, *shape) by name, from points of the unit cube, which are used up."""
        return {v.name: v.values(unit[v.name] if v.name in unit else np.empty((count, v.size))) for v in self.variables}

    def describe(self) -> dict[str, Any]:
        return {variable.name: variable.describe() for variable in self.variables}

    @classmethod
    def parse(cls, given: Mapping[str, object], *, drawn: bool = True) -> Space:
        """A space from the [space] table of a sweep file, of which candidates are `drawn` or not.

        Raises:
            Invalid: with the path of the key below [space] that is at fault.
        """
        if not given:
            raise Invalid((), "is empty; wanted a line for each parameter of the loss, e.g. x = { normal = [0, 1] }")
        variables: list[Variable] = []
        for name, entry in given.items():
            try:
                variables.append(Variable.parse(name, entry, drawn=drawn))
            except Invalid as error:
                raise Invalid((name, *error.path), error.message) from None
        return cls(tuple(variables))


def first_value(distribution: Distribution) -> str:
    """Spell its value at the lowest u as a sweep file would."""
    return json.dumps(plain(distribution.values(np.array([LOWEST]))[0]))


def arguments(values: Mapping[str, Array], row: int) -> dict[str, Any]:
    """Row `row` of batched values as keyword arguments: Python scalars for scalars, read-only arrays for arrays."""
    return {name: plain(column[row]) for name, column in values.items()}


def plain(value: Any) -> Any:
    """A NumPy scalar as its Python value; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
