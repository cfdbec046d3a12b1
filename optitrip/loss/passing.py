"""How a function takes the variables: by position, by name, or all of them in one dict."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from types import FunctionType, MethodType, WrapperDescriptorType
from typing import Any

import numpy as np

from optitrip.errors import InputError
from optitrip.runtime.interrupts import failure, no_failures

Parameter = inspect.Parameter


@dataclass(frozen=True)
class Passing:
    """How one function takes some variables."""

    first: tuple[str, ...]
    """Variables that go by position, in order; all others go by name."""
    as_dict: bool = False
    """True if all go in one dict, the only argument."""

    @classmethod
    def of(cls, call: Any, names: Sequence[str], *, as_dict: bool) -> "Passing":
        return cls(() if as_dict else tuple(positional_order(call, names)), as_dict)

    def bound(self, call: Callable[..., Any], values: Mapping[str, Any]) -> Callable[[], Any]:
        """Bind a function to values of all variables."""
        if self.as_dict:
            return partial(call, dict(values))
        if not self.first:
            return partial(call, **values)
        others = {name: value for name, value in values.items() if name not in self.first}
        return partial(call, *(values[name] for name in self.first), **others)


Ways = dict[tuple[str, ...], Passing]
"""How one function takes each of several sets of variables, since some may not exist at a point."""


def passing_of(call: Any, values: Mapping[str, Any], ways: Ways, *, as_dict: bool = False) -> Passing:
    """Return how a function takes these variables; found once for each set, since looking at a signature takes longer
    than many a loss."""
    if (names := tuple(values)) not in ways:
        ways[names] = Passing.of(call, names, as_dict=as_dict)
    return ways[names]


def pass_values(call: Callable[..., Any], values: Mapping[str, Any], *, as_dict: bool) -> Any:
    """Call a function once."""
    return Passing.of(call, list(values), as_dict=as_dict).bound(call, values)()


def positional_order(call: Any, names: Sequence[str]) -> list[str]:
    """Return the variables that a function takes by position, in order.

    These are all of them where that is safe, because it is fast; else those that cannot go by name. A function whose
    only parameter has no name that could be used takes a single variable, whatever its name.
    """
    claimed, real = claimed_signature(call), real_signature(call)
    if claimed is None or real is None:
        return list(names[:1]) if len(names) == 1 else []
    own = real.parameters.values()
    by_position = [p.name for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][: len(names)]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in own)
    any_name = any(p.kind is p.VAR_KEYWORD for p in own)
    # A wrapper of any number hands on those that the function inside takes by position.
    only = [p for p in (claimed if any_number else real).parameters.values() if p.kind is p.POSITIONAL_ONLY]
    complete = sorted(by_position) == sorted(names)
    if complete and (is_python(call) or len(by_position) <= len(only)):
        return by_position
    if first := list(takewhile(lambda name: name in names, (p.name for p in only))):
        return first
    named = {p.name for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if len(names) == 1 and only and names[0] not in named | {p.name for p in only}:
        return list(names) if only[0].default is Parameter.empty or not any_name else []
    inside = [p.name for p in claimed.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    inside = inside[: len(names)]
    if any_number and not any_name and not named.issuperset(names):
        return inside if sorted(inside) == sorted(names) else list(names) if len(names) == 1 else []
    # functools.singledispatch chooses by the type of what comes first by position.
    dispatches = isinstance(call, FunctionType) and hasattr(call, "dispatch")
    return [name for name in inside[:1] if dispatches and name in names]


def is_python(call: Any) -> bool:
    """Return whether the signature is that of a Python function, or of a method or partial of one, which can be
    trusted."""
    return isinstance(called_by(unwrap_partial(call)), FunctionType | MethodType)


def unwrap_partial(call: Any) -> Any:
    """Return the function inside nested `partial` objects, and anything else unchanged."""
    while isinstance(call, partial):
        call = call.func  # pyright: ignore[reportUnknownVariableType]
    return call


def called_by(call: Any) -> Any:
    """Return what a call of an object reaches, its method `__call__` if that is written in Python."""
    method = None if isinstance(call, type) else inspect.getattr_static(type(call), "__call__", None)
    if method is None or isinstance(method, WrapperDescriptorType):
        return call
    with no_failures():  # whatever the user's own descriptor raises
        return method.__get__(call, type(call)) if hasattr(type(method), "__get__") else method
    return call


def bare(call: Any) -> Any:
    """Return a stand-in for a function, with the parameters that Python checks when it is called, whatever it claims in
    `__signature__` or `__wrapped__`."""
    call = called_by(call)
    if isinstance(call, partial):
        return partial(bare(call.func), *call.args, **call.keywords)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]
    if isinstance(call, MethodType):
        return MethodType(bare(call.__func__), call.__self__)
    if not isinstance(call, FunctionType):
        return call
    function = FunctionType(call.__code__, call.__globals__, call.__name__, call.__defaults__, call.__closure__)
    function.__kwdefaults__ = call.__kwdefaults__
    with no_failures():  # annotations may be evaluated only now
        function.__annotations__ = call.__annotations__
    return function


def real_signature(call: Any) -> inspect.Signature | None:
    """Return what a function itself takes: it may accept more, fewer or others than it says of itself."""
    return read_signature(bare(call), follow_wrapped=False) or read_signature(call)


def claimed_signature(call: Any) -> inspect.Signature | None:
    """Return what a function says of itself, and a PyTorch module what its `forward` takes."""
    forward = getattr(type(call), "forward", None)
    if isinstance(forward, FunctionType):
        return read_signature(MethodType(forward, call))
    own = called_by(call)
    says = own is call or any(name in getattr(call, "__dict__", ()) for name in ("__signature__", "__wrapped__"))
    return (read_signature(call) if says else None) or read_signature(own) or read_signature(bare(call))


def signature_of(call: Any) -> inspect.Signature | None:
    """Return the signature, or None where there is none, e.g. of many callables written in C.

    It is the real one, unless that takes anything, as a wrapper's does.
    """
    claimed, real = claimed_signature(call), real_signature(call)
    anything = real is None or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in real.parameters.values())
    return claimed if anything else real


def read_signature(call: Any, *, follow_wrapped: bool = True) -> inspect.Signature | None:
    """Return what `inspect` finds, and of a NumPy ufunc the numbers that it takes, without options such as `out`."""
    if isinstance(call, np.ufunc):
        numbers = ["x"] if call.nin == 1 else [f"x{number + 1}" for number in range(call.nin)]
        return inspect.Signature([Parameter(name, Parameter.POSITIONAL_ONLY) for name in numbers])
    try:
        return inspect.signature(call, follow_wrapped=follow_wrapped)
    except BaseException as error:  # TypeError or ValueError, or whatever the user's own __signature__ raises
        failure(error)
        return None


def mismatch(call: Any, names: Sequence[str], *, as_dict: bool) -> str | None:
    """Return why a function cannot take these variables; None if it can, as far as its signature shows."""
    signature = signature_of(call)
    if signature is None:
        if as_dict or len(names) == 1:
            return None
        listed = ", ".join(names)
        return f"it has no signature that tells which is which; wrap it, lambda {listed}: f({listed})"
    first = (None,) if as_dict else positional_order(call, names)
    try:
        signature.bind(*first, **{} if as_dict else {name: None for name in names if name not in first})
    except TypeError as error:
        return str(error)
    return None


def check_parameters(call: Callable[..., Any], reference: str, names: Sequence[str], *, as_dict: bool = False) -> None:
    """Check that a loss takes the parameters of the space; raises InputError with both lists."""
    why = mismatch(call, names, as_dict=as_dict)
    if why is None:
        return
    signature = signature_of(call)
    parameters = [] if signature is None else list(signature.parameters.values())
    takes = ", ".join(map(str, parameters)) or ("unknown" if signature is None else "none")
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    hint = ""
    if as_dict:
        hint = "\n  with as_dict it gets all variables as one dict, its only argument"
    elif (signature and len(required) <= 1 < len(names)) or not all(name.isidentifier() for name in names):
        hint = (
            "\n  a loss of one dict of all variables is asked for by as_dict = true in [objective], or as_dict=True in "
            "Python; one with **parameters takes any names"
        )
    raise InputError(
        f"objective {reference}: its parameters do not match the space: {why}\n"
        f"  the objective takes: {takes}\n  the space has:       {', '.join(names)}{hint}"
    )
