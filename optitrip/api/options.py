"""The options that the functions of the Python interface share; `Session` documents them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar, get_type_hints

from optitrip.core.differences import nearest

P = ParamSpec("P")
R = TypeVar("R")


class StoreOptions(TypedDict, total=False):
    """Options of a call of a session."""

    state_dir: str | Path | None
    track: bool


class RunOptions(StoreOptions, total=False):
    """Options of a session, and of a function that opens one."""

    workers: int | None
    executor: str
    address: str | None
    resources: Mapping[str, float] | None
    progress: bool


def takes(options: type[Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Show the keys of a TypedDict in a function's signature, which notebooks complete from, and reject other keys.

    The TypeError for another key suggests the nearest name, which Python's own does not.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        *own, _ = inspect.signature(function).parameters.values()
        for name, kind in get_type_hints(options).items():
            own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=kind))
        names = [parameter.name for parameter in own if parameter.name != "self"]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in names:
                    raise TypeError(f"{function.__name__}() has no argument {name!r}; {nearest(name, names)}")
            return function(*args, **kwargs)

        vars(checked)["__signature__"] = inspect.signature(function).replace(parameters=own)
        return checked

    return decorate
