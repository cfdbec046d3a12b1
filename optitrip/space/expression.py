"""Conditions over variables, such as "x + y < 1", computed for many candidates at a time.

They are read as Python's expressions, but only what is listed here is allowed: nothing in them can do more than
compute.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.differences import nearest

LONGEST = 1_000
"""Most letters of an expression."""
ONE_EQUALS_SIGN = re.compile(r"(?<![=<>!:])=(?!=)")
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "floor": np.floor,
    "ceil": np.ceil,
}
OVER_ENTRIES: dict[str, Any] = {"sum": np.add, "min": np.minimum, "max": np.maximum}
"""Functions of the entries of one array, or of several numbers."""
CONDITIONS_OVER_ENTRIES: dict[str, Any] = {"all": np.logical_and, "any": np.logical_or}
FUNCTIONS = [*ELEMENTWISE, *OVER_ENTRIES, *CONDITIONS_OVER_ENTRIES]


@dataclass(frozen=True)
class Expression:
    """A condition in the text of a sweep file."""

    text: str

    @cached_property
    def _tree(self) -> ast.expr:
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            what = error.msg if isinstance(error, SyntaxError) else str(error)
            what += "; == compares, = does not" if ONE_EQUALS_SIGN.search(self.text) else ""
            raise ValueError(f"was {self.text[:LONGEST]!r}, which cannot be read: {what}") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the variables in it, sorted."""
        called = {id(node.func) for node in ast.walk(self._tree) if isinstance(node, ast.Call)}
        found = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name) and id(node) not in called}
        return tuple(sorted(found))

    def check(self, options: Mapping[str, Sequence[Any]], trial: Mapping[str, Array], count: int) -> None:
        """Raise ValueError, with what is wrong and what was wanted, unless this is a condition over variables.

        Args:
            options: the values of each variable; empty for a range.
            trial: values of all variables at some points, of shape (count, *shape).
            count: number of these points.
        """
        if len(self.text) > LONGEST:
            raise ValueError(f"has {len(self.text):,} letters; wanted at most {LONGEST:,}")
        for name in self.names:
            if name not in options:
                raise ValueError(f"was {self.text!r}; {name} is no variable; {nearest(name, list(options))}")
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Compare):
                self._check_options(node, options)
        try:
            found = self.holds(trial, count)
        except (TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise ValueError(f"was {self.text!r}: {error}") from None
        if found.shape != (count,):
            raise ValueError(f"was {self.text!r}: it has a value for each entry of an array; use all(...) or any(...)")

    def _check_options(self, node: ast.Compare, options: Mapping[str, Sequence[Any]]) -> None:
        """Raise ValueError for a comparison with text that is none of a variable's options, which is a slip."""
        sides = [node.left, *node.comparators]
        entries = [
            entry for side in sides for entry in (side.elts if isinstance(side, ast.List | ast.Tuple) else [side])
        ]
        texts = [one.value for one in entries if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        for side in sides:
            known = options[side.id] if isinstance(side, ast.Name) else ()
            for text in texts if known else ():
                if text not in known:
                    listed = [option for option in known if isinstance(option, str)]
                    raise ValueError(f"was {self.text!r}; {text!r} is no option; {nearest(text, listed)}")

    @ours()
    def holds(self, values: Mapping[str, Array], count: int) -> Array:
        """Return whether the condition holds, bool of shape (count,).

        Args:
            values: values of shape (count, *shape) of the variables, by name.
            count: number of points.
        """
        found = condition(self._value(self._tree, values))
        return np.broadcast_to(found, (count,)) if found.ndim == 0 else found

    def _value(self, node: ast.expr, values: Mapping[str, Array]) -> Array:
        def of(inner: ast.expr) -> Array:
            return self._value(inner, values)

        match node:
            case ast.Name(id=name) if name in values:
                column = values[name]
                return column.astype(np.float64) if column.dtype == np.float32 else column
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return np.asarray(float(value) if type(value) is int else value)
            case ast.Subscript(value=ast.Name(id=name), slice=place) if name in values:
                return values[name][:, *places(place)]
            case ast.BoolOp(op=kind, values=parts):
                combine = np.logical_and if isinstance(kind, ast.And) else np.logical_or
                return reduce(combine, aligned(*(condition(of(part)) for part in parts)))
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return np.logical_not(condition(of(part)))
            case ast.UnaryOp(op=kind, operand=part) if type(kind) in OPERATORS:
                return OPERATORS[type(kind)](number(of(part)))
            case ast.BinOp(left=left, op=kind, right=right) if type(kind) in OPERATORS:
                return OPERATORS[type(kind)](*aligned(number(of(left)), number(of(right))))
            case ast.Compare(left=left, ops=kinds, comparators=others):
                sides = [left, *others]
                pairs = zip(sides, kinds, others, strict=False)
                return reduce(np.logical_and, aligned(*(self._compared(a, kind, b, of) for a, kind, b in pairs)))
            case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if parts and name in FUNCTIONS:
                return called(name, [of(part) for part in parts])
            case ast.Call(func=ast.Name(id=name)):
                raise ValueError(f"{name}(...) is not available; {nearest(name, FUNCTIONS)}")
            case _:
                wanted = "wanted numbers, texts, variables, + - * / // % **, comparisons, `in`, and, or, not, functions"
                raise ValueError(f"`{ast.unparse(node)[:80]}` is not allowed; {wanted}")

    def _compared(self, left: ast.expr, kind: ast.cmpop, right: ast.expr, of: Callable[[ast.expr], Array]) -> Array:
        if isinstance(kind, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
                raise ValueError(f"wanted a list after `in`, e.g. [1, 2], was `{ast.unparse(right)[:80]}`")
            each = [equal(*aligned(of(left), of(entry))) for entry in right.elts]
            found = reduce(np.logical_or, each)
            return np.logical_not(found) if isinstance(kind, ast.NotIn) else found
        first, second = aligned(of(left), of(right))
        if isinstance(kind, ast.Eq | ast.NotEq):
            found = equal(first, second)
            return np.logical_not(found) if isinstance(kind, ast.NotEq) else found
        if type(kind) not in OPERATORS:
            raise ValueError("`is` is not allowed; wanted ==")
        return np.asarray(OPERATORS[type(kind)](number(first), number(second)))


def places(node: ast.expr) -> tuple[int, ...]:
    """Return the indices of one entry of an array; raise ValueError for anything but whole numbers."""
    entries = node.elts if isinstance(node, ast.Tuple) else [node]
    found = [entry.value for entry in entries if isinstance(entry, ast.Constant) and type(entry.value) is int]
    if len(found) < len(entries):
        raise ValueError(f"wanted whole numbers from 0 as an index, was `{ast.unparse(node)[:80]}`")
    return tuple(found)


def condition(found: Array) -> Array:
    """Return truth values; raise ValueError for numbers or texts."""
    if found.dtype != bool:
        raise ValueError("wanted a condition, e.g. a comparison, where there is a number or a text")
    return found


def number(found: Array) -> Array:
    """Return numbers, whole ones as float64 so that none overflows; raise ValueError for texts and other objects."""
    if found.dtype.kind not in "iufb":
        raise ValueError("wanted numbers where there is a text")
    return found.astype(np.float64)


def equal(first: Array, second: Array) -> Array:
    """Compare elementwise; a text is no number."""
    if (first.dtype.kind in "US") != (second.dtype.kind in "US") and not (
        first.dtype.hasobject or second.dtype.hasobject
    ):
        return np.zeros(np.broadcast_shapes(first.shape, second.shape), bool)
    return np.asarray(first == second, bool)


def aligned(*found: Array) -> list[Array]:
    """Return arrays with an axis of length 1 for each that only others have, so that NumPy pairs their points."""
    most = max(array.ndim for array in found)
    if len({array.shape[1:] for array in found if array.ndim > 1}) > 1:
        raise ValueError("wanted arrays of one shape")
    return [array.reshape(*array.shape, *[1] * (most - array.ndim)) if array.ndim else array for array in found]


def called(name: str, parts: list[Array]) -> Array:
    """Return what a function gives for each point."""
    if name in ELEMENTWISE:
        if len(parts) > 1:
            raise ValueError(f"{name} takes one number, was given {len(parts)}")
        return ELEMENTWISE[name](number(parts[0]))
    combine = OVER_ENTRIES.get(name) or CONDITIONS_OVER_ENTRIES[name]
    parts = [number(part) if name in OVER_ENTRIES else condition(part) for part in parts]
    if len(parts) > 1:
        return reduce(combine, aligned(*parts))
    # One entry after the other: NumPy's own sum adds in an order that depends on the layout in memory.
    entries = parts[0].reshape(*parts[0].shape[:1], -1)
    return reduce(combine, entries.T) if parts[0].ndim > 1 else parts[0]
