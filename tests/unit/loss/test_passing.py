"""Every kind of callable gets its variables: by position, by name, or in one dict; what cannot is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, singledispatch, wraps
from inspect import signature
from types import MethodType
from typing import Any

import numpy as np
import pytest

from optitrip.errors import InputError
from optitrip.loss.passing import Passing, check_parameters, pass_values

POINT = {"x": 0.5, "y": 2.0, "z": 3.0, "p": 0.5, "q": 0.3}


def mixed(x: float, /, y: float, *, z: float) -> float:
    return x + 10 * y + 100 * z


def only_position(y: float, x: float, /) -> float:
    return x + 10 * y


def shadowed(x: float, /, **others: float) -> float:
    return x + 10 * others["y"]


@wraps(only_position)
def by_rest(*values: float) -> float:
    return only_position(*values)


def named_rest(x: float, y: float) -> float:
    return x + 10 * y


@wraps(named_rest)
def forwarding(*values: float) -> float:
    return named_rest(*values)


@wraps(named_rest)
def by_dict(params: dict[str, float]) -> float:
    return named_rest(**params)


@wraps(only_position)
def by_anything(*values: float, **named: float) -> float:
    return only_position(*values, **named)


def claims(signature: Any, function: Callable[..., float]) -> Callable[..., float]:
    """Return a function that says of itself that it has another signature."""
    vars(function)["__signature__"] = signature
    return function


@singledispatch
def dispatched(x: object, y: float) -> float:
    raise NotImplementedError


@dispatched.register
def _(x: float, y: float) -> float:
    return x + 10 * y


class Callables:
    def __call__(self, x: float, /) -> float:
        return 2 * x

    def method(self, y: float, /, x: float) -> float:
        return x + 10 * y

    @classmethod
    def of_class(cls, x: float, /) -> float:
        return 3 * x

    @staticmethod
    def static(x: float, /) -> float:
        return 4 * x


class StaticCall:
    __call__ = staticmethod(named_rest)


class ClassCall:
    @classmethod
    def __call__(cls, x: float, y: float) -> float:
        return x + 10 * y


class PartialCall:
    __call__ = partial(named_rest, 7.0)


class Module:
    """Passes everything on to `forward`, as a module of PyTorch does."""

    def __call__(self, *values: Any, **named: Any) -> float:
        return self.forward(*values, **named)

    def forward(self, x: float, y: float) -> float:
        return x + 10 * y


CALLS: dict[str, tuple[Callable[..., Any], str, float]] = {
    "positional only": (lambda x, /: 2 * x, "x", 1.0),
    "positional only, another name": (lambda q, /: 2 * q, "x", 1.0),
    "with a default behind": (lambda q, r=1.0, /: q + r, "x", 1.5),
    "only a default": (lambda q=9.0, /: 2 * q, "x", 1.0),
    "mixed": (mixed, "zyx", 320.5),
    "by name, not by order": (only_position, "xy", 20.5),
    "same name in both places": (shadowed, "xy", 20.5),
    "builtin": (math.sin, "x", math.sin(0.5)),
    "builtin, by its names": (math.atan2, "xy", math.atan2(2.0, 0.5)),
    "builtin without a signature": (math.hypot, "x", 0.5),
    "bound builtin": ((2.0).__pow__, "x", math.sqrt(2)),
    "ufunc": (np.sin, "x", math.sin(0.5)),
    "partial of a ufunc": (partial(np.power, 4.0), "x", 2.0),
    "partial of a builtin": (partial(math.pow, 4.0), "y", 16.0),
    "any number": (lambda *values: 2 * values[0], "x", 1.0),
    "wrapper of any number": (by_rest, "xy", 20.5),
    "wrapper of any number, names": (forwarding, "yx", 20.5),
    "wrapper of anything": (by_anything, "xy", 20.5),
    "object": (Callables(), "x", 1.0),
    "method": (Callables().method, "xy", 20.5),
    "class method": (Callables.of_class, "x", 1.5),
    "static method": (Callables.static, "x", 2.0),
    "vectorize": (np.vectorize(named_rest), "xy", 20.5),
    "single dispatch": (dispatched, "xy", 20.5),
    "a call that is static": (StaticCall(), "xy", 20.5),
    "a call of the class": (ClassCall(), "xy", 20.5),
    "a call that is a partial": (PartialCall(), "y", 27.0),
    "module": (Module(), "xy", 20.5),
    "a signature in another order": (claims(signature(named_rest), lambda y, x: x + 10 * y), "xy", 20.5),
    "a signature of other names": (claims(signature(math.atan2), lambda p, q: p + 10 * q), "pq", 3.5),
    "a signature for any name": (claims(signature(named_rest), lambda **named: named["x"]), "xy", 0.5),
    "a signature for any number": (claims(signature(named_rest), lambda *values: values[1]), "xy", 2.0),
    "an unreadable signature": (claims("unreadable", lambda **named: named["x"]), "xy", 0.5),
    "method of a function that claims": (MethodType(claims(None, lambda self, y, x: x + 10 * y), 0), "xy", 20.5),
}


@pytest.mark.parametrize(("call", "names", "wanted"), CALLS.values(), ids=CALLS)
def test_every_callable_gets_the_values_of_its_parameters(call: Any, names: str, wanted: float) -> None:
    """Names decide wherever there are names, whatever the order of the space."""
    for order in (names, names[::-1]):
        check_parameters(call, "loss", list(order))
        assert pass_values(call, {name: POINT[name] for name in order}, as_dict=False) == pytest.approx(wanted)


REFUSED: dict[str, tuple[Callable[..., Any], list[str], str]] = {
    "no signature": (math.hypot, ["x", "y"], r"wrap it, lambda x, y: f\(x, y\)"),
    "a module of other names": (Module(), ["x", "z"], "'y'"),
    "a wrapper of one dict": (by_dict, ["x", "y"], "takes: params"),
    "other names": (only_position, ["a", "b"], "takes: y"),
    "two of three": (mixed, ["x", "y"], "'z'"),
    "one of two": (only_position, ["x"], "'y'|missing|parameter"),
    "the second of two": (lambda a=1.0, b=2.0, /: a, ["b"], "'b'"),
    "any number of several": (lambda *values: values[0], ["x", "y"], "unexpected keyword"),
    "ufunc of two": (np.arctan2, ["x", "y"], "takes: x1, x2"),
    "one dict": (lambda params: 0.0, ["x", "y"], "as_dict = true in .objective., or as_dict=True in Python"),
    "names that are none": (named_rest, ["x", "a-b"], "as_dict = true in .objective., or as_dict=True in Python"),
}


@pytest.mark.parametrize(("call", "names", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_told_apart_is_refused_with_the_way_out(call: Any, names: list[str], message: str) -> None:
    """Before anything is evaluated, and never by a guess."""
    with pytest.raises(InputError, match=message):
        check_parameters(call, "loss", names)


def test_one_dict_is_a_new_dict_each_time() -> None:
    """A loss may change its dict."""
    seen: list[dict[str, float]] = []
    passing = Passing.of(seen.append, ["a b", "self"], as_dict=True)
    values = {"a b": 1.0, "self": 2.0}
    passing.bound(seen.append, values)()
    seen[0].clear()
    assert values == {"a b": 1.0, "self": 2.0}
    check_parameters(by_dict, "loss", ["x", "y"], as_dict=True)
    with pytest.raises(InputError, match="as one dict, its only argument"):
        check_parameters(named_rest, "loss", ["x", "y"], as_dict=True)


@pytest.mark.parametrize("name", ["self", "call", "func", "values", "cls", "args", "kwargs", "loss", "file"])
def test_no_name_is_taken_by_our_own_parameters(name: str) -> None:
    """Variables may be called like the parameters of what passes them."""
    assert pass_values(lambda **values: values[name], {name: 3.0, "other": 1.0}, as_dict=False) == 3.0
