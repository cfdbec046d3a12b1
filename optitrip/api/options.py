"""The options that functions of the Python API share: a signature that shows them, and errors for unknown names."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Integral
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar, get_args, get_type_hints

from optitrip.config.sweep import RunTable
from optitrip.core.differences import nearest
from optitrip.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")


class RunOptions(TypedDict, total=False):
    """Options of a `Session`, which documents them."""

    workers: int | None
    executor: str
    address: str | None
    resources: Mapping[str, float] | None
    isolate: bool
    progress: bool | None
    state_dir: str | Path | None
    track: bool
    trust: bool
    mirror: str | None
    restore: str | None


EXECUTORS: tuple[str, ...] = get_args(RunTable.model_fields["executor"].annotation)
CALL_OPTIONS = ("state_dir", "track", "trust", "mirror", "restore")
"""Options that one call of a session may override; the others configure its workers."""


def check_workers(executor: Any, workers: Any) -> None:
    """Raise InputError unless an executor is known by name and a number of workers is one, or None."""
    if not isinstance(executor, str) or executor not in EXECUTORS:
        raise InputError(f"executor: was {executor!r}, wanted {' or '.join(map(repr, EXECUTORS))}")
    if workers is not None and not (isinstance(workers, Integral) and int(workers) >= 1):
        raise InputError(f"workers: was {workers!r}, wanted a whole number of at least 1")


def takes_options(options: Iterable[str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add options to a function's signature, for completion in notebooks, and reject unknown names.

    The TypeError suggests the nearest known name, which Python's own does not.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        *own, _ = inspect.signature(function).parameters.values()
        for name in options:
            kind = get_type_hints(RunOptions)[name]
            own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=kind))
        names = [parameter.name for parameter in own if parameter.name != "self"]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in names:
                    raise TypeError(f"{function.__name__}() has no argument {name!r}; {nearest(name, names)}")
            return function(*args, **kwargs)

        vars(checked)["__signature__"] = inspect.Signature(own)
        return checked

    return decorate
