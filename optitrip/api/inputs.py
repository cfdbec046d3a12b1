"""Sweeps of Python values: a loss that is an object of this process in place of one that a file names."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft
from optitrip.config.sweep import Draft, Sweep
from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.loss.loading import check_parameters, signature_of
from optitrip.loss.objective import Objective
from optitrip.runtime.tracebacks import with_trace


def python_draft(loss: Any, tables: Mapping[str, Any], *, kept: bool) -> Draft:
    """Make the draft of a sweep of this loss.

    Args:
        loss: the loss.
        tables: those of a sweep file, but for [objective], of which `maximize` and `plain` may be given.
        kept: whether it is to be found again later, which takes an identity.

    Raises:
        InputError: for a mistake in the tables, what is no loss, or one without an identity that is to be found again.
    """
    check_loss(loss)
    reference, data = reference_of(loss), digest_of(loss)
    if kept and data is None and not importable(loss):
        raise InputError(
            f"state_dir: {reference} has no identity by which its journal could be found again; wanted a function that "
            "can be imported by its name, or an object with digest()"
        )
    tables = {**tables, "objective": {**tables.get("objective", {}), "loss": reference}}
    shown = {name: table for name, table in tables.items() if name != "method"}
    shown["method"] = {key: value for key, value in tables["method"].items() if key != "at"}  # x may be long
    said = json.dumps(plain(shown), default=repr)
    name = re.sub(r"\W+", "_", reference.rpartition(":")[2], flags=re.ASCII).strip("_")[:64] or "loss"
    draft = parse_draft(tables, Lines(None, ""), name, Path.cwd(), f"# Started from Python with\n# {said}\n")
    return replace(draft, data=data)


def python_objective(loss: Any, sweep: Sweep) -> Objective:
    """The loss on the ladder.

    Raises:
        InputError: if it takes other parameters than the space has.
    """
    reference = sweep.objective.reference
    objective = Objective(loss, reference, sweep.objective.block, plain=sweep.objective.plain)
    for call in (objective.plain_call, objective.batch_call):
        if call is not None:
            check_parameters(call, reference, sweep.space.names)
    return objective


def check_loss(loss: Any) -> None:
    """Go on if it is a loss.

    Raises:
        InputError: if it cannot be called, or is a class.
    """
    if inspect.isclass(loss):
        raise InputError(f"{reference_of(loss)} is a class; wanted an object of it, {loss.__name__}(...)")
    if not callable(loss) and not callable(getattr(loss, "losses", None)):
        raise InputError(
            f"the loss is a {type(loss).__name__}; wanted a function, or an object with __call__ or losses"
        )


def reference_of(loss: Any) -> str:
    """`module:name`, of a function, a method, or the class of an object; a lambda is called so.

    Python has more letters than the references of sweep files; others are spelled by their numbers.
    """
    named = loss if hasattr(loss, "__qualname__") else getattr(loss, "func", type(loss))
    name = getattr(named, "__qualname__", "loss").replace("<locals>.", "").replace("<lambda>", "lambda")
    return f"{spelled(getattr(named, '__module__', None) or 'builtins')}:{spelled(name)}"


def spelled(name: str) -> str:
    """A name in the letters of sweep files; different names stay different, for they are part of an identity."""
    ascii_ = re.sub(r"[^A-Za-z0-9_.]", lambda other: f"_{ord(other[0]):x}_", name)
    return ascii_ if re.match(r"[A-Za-z_]", ascii_) else f"_{ascii_}"


def importable(loss: Any) -> bool:
    """Whether its name leads to the loss itself, in a module that another process can import too."""
    module = getattr(loss, "__module__", None)
    found: Any = sys.modules.get(str(module))
    for part in str(getattr(loss, "__qualname__", "")).split("."):
        found = getattr(found, part, None)
    return found is loss and module != "__main__"


def digest_of(loss: Any) -> str | None:
    digest = getattr(loss, "digest", None)
    try:
        return str(digest()) if callable(digest) else None
    except Exception as error:
        raise InputError(with_trace(f"{reference_of(loss)}: its digest raised", error)) from None


def plain(value: Any) -> Any:
    """Without NumPy's types, as a sweep file would have it; arrays become lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def named_point(loss: Any, x: Any) -> dict[str, Array]:
    """A point by name, in floating point; for a bare value the loss's only required parameter is the name.

    Raises:
        InputError: if that is no loss, or one of another number of parameters, or a value has no derivative.
    """
    check_loss(loss)
    if not isinstance(x, Mapping):
        return {only_parameter(loss): floating("x", x, whole=True)}
    values: dict[Any, Any] = dict(x)  # pyright: ignore[reportUnknownArgumentType]
    return {str(name): floating(str(name), value, whole=False) for name, value in values.items()}


def only_parameter(loss: Any) -> str:
    call = loss if callable(loss) else getattr(loss, "losses", None)
    signature = signature_of(call) if callable(call) else None
    parameters = list(signature.parameters.values()) if signature else []
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    required = [one.name for one in parameters if one.default is one.empty and one.kind in named]
    if len(required) != 1:
        found = ", ".join(required) or "none that can be seen"
        raise InputError(f"x has no name, and the loss requires {found}; wanted x = {{name: value}}, all of them")
    return required[0]


def floating(name: str, value: Any, *, whole: bool) -> Array:
    """A floating-point array; `whole` numbers become one."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged
        raise InputError(f"x: {name} is no regular array: {error}") from None
    if array.dtype.kind in "iu" and whole:
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise InputError(
            f"x: {name} is {value!r}, which has no derivative: a step h would leave its values; bind it, "
            f"functools.partial(loss, {name}={value!r}), or give it as a float"
        )
    return array if array.dtype == np.float32 else array.astype(np.float64)
