"""The options that functions of the Python API share: a signature that shows them, and errors for unknown names."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from numbers import Integral
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar, get_args, get_type_hints

from optitrip.config.run import RunTable
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


class SearchOptions(RunOptions, total=False):
    """Further options of a search, which are keys of its [method] table in a sweep file."""

    points: str | Path | Sequence[Mapping[str, Any]]
    """All candidates: the name of a .csv or .parquet file with a column for each variable, or a list of points."""
    first: Sequence[Mapping[str, Any]]
    """Points that are the first candidates, before those that are drawn."""
    where: Sequence[str]
    """Constraints on the variables, e.g. ["x + y < 1"]; a candidate that violates one is not evaluated."""
    redraw: bool
    """True to draw an infeasible candidate again until it is feasible."""
    halve: Mapping[str, Any]
    """Early stopping, e.g. {"argument": "epochs", "from": 1, "to": 81, "factor": 3}."""


EXECUTORS: tuple[str, ...] = get_args(RunTable.model_fields["executor"].annotation)
CALL_OPTIONS = ("state_dir", "track", "trust", "mirror", "restore")
"""Options that one call of a session may override; the others configure its workers."""
SEARCH_KEYS = tuple(name for name in SearchOptions.__annotations__ if name not in RunOptions.__annotations__)
"""Options of a search that are keys of its table."""


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
            kind = get_type_hints(SearchOptions)[name]
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


def split_options(options: SearchOptions) -> tuple[dict[str, Any], RunOptions]:
    """Return the keys of a search's table among some options, in the types of a sweep file, and the others."""
    given: dict[str, Any] = {**options}
    table = {key: in_file(given.pop(key)) for key in SEARCH_KEYS if key in given}
    others: Any = given
    return table, others


def in_file(value: Any) -> Any:
    """Return an option in the types that a sweep file has: text for a path, and lists of dicts for a data frame."""
    if hasattr(value, "to_dict"):
        value = value.to_dict("records")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [dict(entry) if isinstance(entry, Mapping) else entry for entry in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return value
