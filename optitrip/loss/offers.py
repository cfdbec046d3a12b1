"""Finds the offers of a loss beside its call: by presence, and only if each is what its name promises.

An attribute of one of these names may have nothing to do with optitrip: a method `report(path)`, a list `losses`, a
`block` of text, or any name at all on a mock. It is left alone, and a notice says so.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Number, Real
from typing import Any

from optitrip.errors import InputError
from optitrip.loss.passing import mismatch, signature_of, unwrap_partial
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import record_of

LARGEST_BLOCK = 2**20
OF_VARIABLES = ("losses", "report", "gradient", "around", "images")
"""Methods that take the variables."""
OF_NOTHING = ("order", "digest", "how_to_read")
"""Methods without parameters."""
NO_NAME = "optitrip_asks_whether_any_name_is_answered"


@dataclass(frozen=True)
class Offers:
    """All that is used of a loss beside its call."""

    methods: frozenset[str] = frozenset()
    takes_batches: bool = False
    """True if the call itself takes batches."""
    block: int | None = None
    deltas_block: int | None = None
    tolerance: float | None = None
    screens: tuple[str, ...] = ()
    samples: int | None = None
    """Number of rows of its data, of which `subset` takes some."""
    ignored: tuple[str, ...] = ()
    """Attributes that are left alone, each with the reason."""


def offers_of(loss: Any, reference: str, names: Sequence[str], *, as_dict: bool) -> Offers:
    """Find what a loss of these variables offers; without names, methods may have any parameters. Raises InputError for
    a number that is out of range."""
    ignored: list[str] = []
    methods = {name: method for name in OF_VARIABLES if (method := find(loss, name, ignored, called=True)) is not None}
    for name, method in list(methods.items()):
        if name == "losses" and not (callable(loss) and takes_another_number(method, 1 if as_dict else len(names))):
            continue  # it is a batch: `check_parameters` refuses the loss if the parameters are others
        if names and (why := mismatch(method, names, as_dict=as_dict)):
            ignored.append(f"{name}{signature_of(method) or '()'}: {why}")
            del methods[name]
    methods |= {name: method for name in OF_NOTHING if (method := method_of_nothing(loss, name, ignored)) is not None}
    screens = None
    if find(loss, "screen", [], called=True) is not None:
        screens = find(loss, "screens", ignored)
        if isinstance(screens, str) or not is_words(screens):
            ignored.append(f"screens: it is {kind_of(screens)}, wanted the names that `screen` takes")
            screens = None
    samples = None
    if find(loss, "subset", [], called=True) is not None:
        samples = find(loss, "samples", ignored)
        if isinstance(samples, bool) or not isinstance(samples, Integral) or int(samples) < 1:
            found = "missing" if samples is None else f"{samples!r:.80}"
            ignored.append(f"subset: the number of rows, `samples`, is {found}; wanted a whole number")
            samples = None
    function = unwrap_partial(loss)

    def number(name: str) -> Any:
        value = next((found for one in (loss, function) if (found := find(one, name, ignored)) is not None), None)
        if value is None or isinstance(value, Number):
            return value
        ignored.append(f"{name}: it is {kind_of(value)}, wanted a number")
        return None

    tolerance = number("tolerance")
    if isinstance(tolerance, bool) or not (
        tolerance is None or (isinstance(tolerance, Real) and 0 <= float(tolerance) < math.inf)
    ):
        raise InputError(f"{reference}: its tolerance was {tolerance!r}, wanted a number of at least 0")
    return Offers(
        frozenset(methods),
        find(function, "takes_batches", []) is True,
        block_size(number("block"), "block", reference),
        block_size(number("deltas_block"), "deltas_block", reference),
        None if tolerance is None else float(tolerance),
        tuple(screens or ()),
        None if samples is None else int(samples),
        tuple(dict.fromkeys(ignored)),
    )


def takes_another_number(method: Any, count: int) -> bool:
    """Return whether a method cannot take so many values, whatever they are called."""
    signature = signature_of(method)
    if signature is None:
        return False
    parameters = list(signature.parameters.values())
    single = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = sum(p.default is p.empty for p in single)
    return count < required or (count > len(single) and len(single) == len(parameters))


def block_size(value: Any, name: str, reference: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= int(value) <= LARGEST_BLOCK:
        raise InputError(f"{reference}: its {name} was {value!r}, wanted a whole number from 1 to {LARGEST_BLOCK:,}")
    return int(value)


def method_of_nothing(loss: Any, name: str, ignored: list[str]) -> Callable[[], Any] | None:
    """Return the method of this name if it can be called without arguments."""
    method = find(loss, name, ignored, called=True)
    signature = signature_of(method) if method is not None else None
    try:
        if signature is not None:
            signature.bind()
    except TypeError as error:
        ignored.append(f"{name}{signature}: {error}")
        return None
    return method


def find(loss: Any, name: str, ignored: list[str], *, called: bool = False) -> Any:
    """Return an attribute, None if there is none; append to `ignored` why one that exists is not used: it cannot be
    read, or it must be `called` and cannot be."""
    try:
        found = getattr(loss, name, None)
        if found is None:
            return None
        if inspect.getattr_static(loss, name, None) is None and getattr(loss, NO_NAME, None) is not None:
            ignored.append("it answers to every name, as a mock does")
            return None
        if not called or callable(found):
            return found
    except BaseException as error:  # the user's own __getattr__, or a property that raises
        record = record_of(0, failure(error))
        if inspect.getattr_static(loss, name, None) is not None or not isinstance(error, Exception):
            ignored.append(f"{name}: reading it raised {record.type}: {record.message}")
        return None
    ignored.append(f"{name}: it is {kind_of(found)}, wanted a method")
    return None


def is_words(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(isinstance(word, str) for word in value))  # pyright: ignore[reportUnknownVariableType]


def kind_of(value: Any) -> str:
    return f"of type {type(value).__name__}"
