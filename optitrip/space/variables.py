"""The space: named variables with shapes and distributions, and the map from the unit cube to their values."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from optitrip.core.absent import ABSENT
from optitrip.core.arrays import Array, ours
from optitrip.core.differences import nearest
from optitrip.errors import Invalid
from optitrip.samplers.sampler import Design
from optitrip.space.conditions import satisfied, where_it_exists
from optitrip.space.distribution import LOWEST, Distribution
from optitrip.space.distributions import DISTRIBUTIONS
from optitrip.space.expression import Expression
from optitrip.space.levels import Levels
from optitrip.space.listed import NO_DISTRIBUTION
from optitrip.space.rounding import check_rounding

LARGEST = 2**31
"""Largest number of entries of one variable: a single row of this size takes 16 GiB."""


LONGEST_NAME = 2**15
"""Most bytes of a variable's name in UTF-8; the format of .npz files allows twice as many."""


@dataclass(frozen=True)
class Variable:
    """One parameter of the objective: a scalar, or an array of independent entries of one distribution."""

    name: str
    word: str
    """Name of the distribution in sweep files; empty without one."""
    distribution: Distribution
    shape: tuple[int, ...] = ()
    dtype: Literal["float64", "float32"] = "float64"
    when: Expression | None = None
    """Condition under which it exists; None if it always does."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @ours()
    def values(self, unit: Array) -> Array:
        """Return read-only values of shape (n, *shape) from u in (0, 1) of shape (n, size), which is overwritten."""
        values = self.distribution.values(unit)
        if values.dtype == np.float64 and self.dtype == "float32":
            values = values.astype(np.float32)
        values = values.reshape(len(unit), *self.shape)
        values.flags.writeable = False
        return values

    def describe(self) -> dict[str, Any]:
        """Return the variable's entry in a sweep file, in its one canonical spelling."""
        entry = self.distribution.describe()
        described: dict[str, Any] = {self.word: entry} if vars(self.distribution) else {}
        if self.shape or not described:
            described["shape"] = list(self.shape)
        if isinstance(self.distribution, Levels):
            described["levels"] = self.distribution.levels
        if self.dtype != "float64":
            described["dtype"] = self.dtype
        if self.when:
            described["when"] = self.when.text
        return described

    @classmethod
    def parse(cls, name: str, entry: object, *, drawn: bool = True) -> "Variable":
        """Return the variable of an entry of a sweep file; unless it must be `drawn`, it needs no distribution. Raises
        Invalid with the path, below the variable, of the key at fault."""
        check_name(name)
        table: dict[str, Any] = dict(entry) if isinstance(entry, dict) else {"constant": entry}  # pyright: ignore[reportUnknownArgumentType]
        shape = cls._parse_shape(table.pop("shape", ()))
        dtype, levels = table.pop("dtype", "float64"), table.pop("levels", None)
        when = table.pop("when", None)
        if when is not None and not isinstance(when, str):
            raise Invalid(("when",), f"was {when!r}, wanted a condition, e.g. \"kernel == 'rbf'\"")
        if dtype not in ("float64", "float32"):
            raise Invalid(("dtype",), f"was {dtype!r}, wanted 'float64' or 'float32'")
        for word in table:
            if word not in DISTRIBUTIONS:
                known = [*DISTRIBUTIONS, "shape", "dtype", "levels", "when"]
                raise Invalid((word,), f"unknown key; {nearest(word, known)}")
        if not table and not drawn and levels is None:
            return cls(name, "", NO_DISTRIBUTION, shape, dtype)
        if len(table) != 1:
            found = " and ".join(table) or "none"
            raise Invalid((), f"wanted exactly one distribution of {', '.join(DISTRIBUTIONS)}; found {found}")
        ((word, parameters),) = table.items()
        try:
            distribution = DISTRIBUTIONS[word](parameters)
        except ValueError as error:
            raise Invalid((word,), str(error)) from None
        if levels is not None:
            try:
                distribution = Levels.of(distribution, levels)
            except ValueError as error:
                raise Invalid(("levels",), str(error)) from None
        if distribution.shape and shape and distribution.shape != shape:
            raise Invalid(("shape",), f"was {list(shape)}, but the {word} has shape {list(distribution.shape)}")
        condition = None if when is None else Expression(when)
        variable = cls(name, word, distribution, distribution.shape or shape, dtype, condition)
        variable._check_values()
        return variable

    @staticmethod
    def _parse_shape(shape: object) -> tuple[int, ...]:
        lengths: list[Any] | tuple[Any, ...] = shape if isinstance(shape, list | tuple) else [shape]  # pyright: ignore[reportUnknownVariableType]
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in lengths):
            raise Invalid(("shape",), f"was {shape!r}, wanted a list of whole numbers of at least 1, e.g. [10, 65]")
        if math.prod(lengths) > LARGEST:
            raise Invalid(("shape",), f"was {shape!r}, which is {math.prod(lengths):,} entries; at most 2^31 fit")
        return tuple(lengths)

    @ours()
    def _check_values(self) -> None:
        """Refuse a distribution with values that the dtype cannot represent."""
        try:
            check_rounding(self.distribution, self.dtype)
        except ValueError as error:
            raise Invalid((self.word,), str(error)) from None
        values = self.distribution.values(self.distribution.extremes()[:, np.newaxis])
        if self.dtype != "float64" and values.dtype.kind != "f":
            raise Invalid(("dtype",), f"was {self.dtype!r}, but {self.word} here has no floating-point values")


def check_name(name: object) -> None:
    """Raise Invalid for a name that an .npz file cannot hold; whether the loss takes it is checked with the loss."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise Invalid((), f"{name!r} cannot be the name of a variable; wanted text, without a null character")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise Invalid((), f"{name!r} cannot be the name of a variable: it has no UTF-8 spelling") from None
    if length > LONGEST_NAME:
        raise Invalid((), f"its name has {length:,} bytes in UTF-8; wanted at most {LONGEST_NAME:,}")


@dataclass(frozen=True)
class Space:
    """The variables in the order of the sweep file; their random values do not depend on it."""

    variables: tuple[Variable, ...]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of entries to draw by name, without constants."""
        return {v.name: v.size for v in self.variables if v.distribution.drawn}

    def design(self, candidates: int | None = None) -> Design:
        """Return what a sampler is told of the space and of the number of candidates, if they are drawn together."""
        return Design(self.sizes, {v.name: v.distribution.levels for v in self.variables}, candidates)

    @property
    def point_bytes(self) -> int:
        """Size of one point, constants included, in bytes."""
        return sum(variable.size * (4 if variable.dtype == "float32" else 8) for variable in self.variables)

    @property
    def names(self) -> list[str]:
        return [variable.name for variable in self.variables]

    @property
    def drawable(self) -> bool:
        """True if candidates can be drawn: no variable lacks a distribution."""
        return all(v.distribution.drawn or v.distribution.fixed for v in self.variables)

    @property
    def varied(self) -> list[Variable]:
        """Non-constant variables, which a gradient differentiates."""
        return [variable for variable in self.variables if not variable.distribution.fixed]

    def check_differentiable(self) -> None:
        """Check that a gradient has coordinates, all of them real; raises Invalid with the path of one that is not."""
        for variable in self.varied:
            if not variable.distribution.continuous:
                value = json.dumps(as_python(variable.distribution.values(np.array([LOWEST]))[0]), default=str)
                raise Invalid(
                    ("space", variable.name),
                    f"is {variable.word}, which has no derivative: a step h would leave its values; fix it, e.g. "
                    f"{variable.name} = {value}",
                )
        if not self.varied:
            raise Invalid(("space",), "holds constants only, so a gradient has no coordinates; give a variable a shape")

    def values(self, unit: Mapping[str, Array], count: int) -> dict[str, Array]:
        """Return read-only values of shape (count, *shape) by name, from points of the unit cube (overwritten)."""
        drawn = (unit[v.name] if v.name in unit else np.empty((count, v.size)) for v in self.variables)
        return self.marked({v.name: v.values(u) for v, u in zip(self.variables, drawn, strict=True)}, count)

    @cached_property
    def conditional(self) -> tuple[Variable, ...]:
        """Variables with a condition, each after those that its condition names. Raises Invalid if one depends on
        itself."""
        found: dict[str, Variable] = {}

        def add(variable: Variable, above: tuple[str, ...]) -> None:
            if variable.name in above:
                raise Invalid((variable.name, "when"), "depends on itself; a condition is over other variables")
            for name in variable.when.names if variable.when else ():
                add(by_name[name], (*above, variable.name))
            if variable.when:
                found.setdefault(variable.name, variable)

        by_name = {variable.name: variable for variable in self.variables}
        for variable in self.variables:
            add(variable, ())
        return tuple(found.values())

    def marked(self, values: dict[str, Array], count: int) -> dict[str, Array]:
        """Return values in which a variable is absent wherever its condition does not hold."""
        for variable in self.conditional:
            assert variable.when
            kept = satisfied(variable.when, values, count, otherwise=False)
            values = {**values, variable.name: where_it_exists(values[variable.name], kept)}
        return values

    def check_condition(self, condition: Expression) -> None:
        """Raise ValueError, with what is wrong, unless a condition is one over variables of this space."""
        options = {v.name: v.distribution.options for v in self.variables}
        count = 3
        middle = {v.name: v.values(np.tile([[0.25], [0.5], [0.75]], v.size)) for v in self.variables}
        condition.check(options, middle, count)

    def describe(self) -> dict[str, Any]:
        return {variable.name: variable.describe() for variable in self.variables}

    @classmethod
    def parse(cls, table: Mapping[str, object], *, drawn: bool = True) -> "Space":
        """Parse the [space] table of a sweep file; unless candidates are `drawn`, it needs no distributions. Raises
        Invalid with the path, below [space], of the invalid key."""
        if not table:
            raise Invalid((), "is empty; wanted a line for each parameter of the loss, e.g. x = { normal = [0, 1] }")
        variables: list[Variable] = []
        for name, entry in table.items():
            try:
                variables.append(Variable.parse(name, entry, drawn=drawn))
            except Invalid as error:
                raise Invalid((name, *error.path), error.message) from None
        space = cls(tuple(variables))
        space._check_conditions()
        return space

    def _check_conditions(self) -> None:
        for variable in self.variables:
            if variable.when and not self.drawable:
                raise Invalid((variable.name, "when"), "is for candidates that are drawn; remove this key")
            try:
                if variable.when:
                    self.check_condition(variable.when)
            except ValueError as error:
                raise Invalid((variable.name, "when"), str(error)) from None
        _ = self.conditional


def arguments(values: Mapping[str, Array], row: int) -> dict[str, Any]:
    """Return one row of batched values as keyword arguments, without variables that do not exist there: Python scalars,
    and read-only arrays."""
    found = {name: column[row] if column.dtype.hasobject else as_python(column[row]) for name, column in values.items()}
    return {name: value for name, value in found.items() if value is not ABSENT}


def as_python(value: Any) -> Any:
    """Return a NumPy scalar as its Python value, and anything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value
