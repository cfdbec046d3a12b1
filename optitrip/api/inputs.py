"""Makes drafts of sweeps from Python values: the loss is an object in this process instead of a name in a file."""

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
from optitrip.config.read import parse_draft, read_draft
from optitrip.config.sweep import Draft
from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.loss.loading import signature_of
from optitrip.runtime.files import working_folder
from optitrip.store.provenance import data_digest


def python_draft(loss: Any, tables: Mapping[str, Any], *, stored: bool) -> Draft:
    """Make the draft of a sweep of a loss; the [objective] table may contain `maximize` and `plain` only.

    A sweep that is `stored`, to be resumed later, requires a loss with an identity.
    """
    check_loss(loss)
    reference = reference_of(loss)
    data = data_digest(loss, reference)
    if stored and data is None and not importable(loss):
        raise InputError(
            f"state_dir: {reference} has no identity to store results under; wanted a function that can be imported by "
            "name, or an object with digest()"
        )
    tables = {**tables, "objective": {**tables.get("objective", {}), "loss": reference}}
    method = {key: value for key, value in tables["method"].items() if key != "at"}  # x may be long
    others = {key: table for key, table in tables.items() if key != "method"}
    text = json.dumps(without_numpy({**others, "method": method}), default=repr)
    name = re.sub(r"\W+", "_", reference.rpartition(":")[2], flags=re.ASCII).strip("_")[:64] or "loss"
    draft = parse_draft(tables, Lines(None, f"# Started from Python with\n# {text}\n"), name, working_folder())
    return replace(draft, data=data)


def draft_of(path_or_table: str | Path | Mapping[str, Any]) -> Draft:
    """Read a sweep file or a dict of its tables; raise InputError for mistakes or another type of argument."""
    if isinstance(path_or_table, Mapping):
        tables = without_numpy(path_or_table)
        lines = Lines(None, f"# Started from Python with\n# {tables}\n")
        return parse_draft(tables, lines, "sweep", working_folder())
    if not isinstance(path_or_table, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"sweep: was {path_or_table!r}, wanted the path of a sweep file, or its tables as a dict")
    return read_draft(Path(path_or_table))


def check_loss(loss: Any) -> None:
    """Raise an InputError if the loss is a class, or cannot be called."""
    if inspect.isclass(loss):
        raise InputError(f"{reference_of(loss)} is a class; wanted an object of it, {loss.__name__}(...)")
    if not callable(loss) and not callable(getattr(loss, "losses", None)):
        wanted = "a function, or an object with __call__ or losses"
        raise InputError(f"the loss is a {type(loss).__name__}; wanted {wanted}")


def reference_of(loss: Any) -> str:
    """Return `module:name` of a function, a method, or an object's class; a lambda is named "lambda".

    Characters that sweep files do not allow in names are replaced by their code points.
    """
    source = loss if hasattr(loss, "__qualname__") else getattr(loss, "func", type(loss))
    name = getattr(source, "__qualname__", "loss").replace("<locals>.", "").replace("<lambda>", "lambda")
    return f"{ascii_name(getattr(source, '__module__', None) or 'builtins')}:{ascii_name(name)}"


def ascii_name(name: str) -> str:
    """Replace the characters that sweep files do not allow; distinct names stay distinct, as identities require."""
    ascii_ = re.sub(r"[^A-Za-z0-9_.]", lambda other: f"_{ord(other[0]):x}_", name)
    return ascii_ if re.match(r"[A-Za-z_]", ascii_) else f"_{ascii_}"


def importable(loss: Any) -> bool:
    """Return whether any process can import the loss by its name."""
    module = getattr(loss, "__module__", None)
    found: Any = sys.modules.get(str(module))
    for part in str(getattr(loss, "__qualname__", "")).split("."):
        found = getattr(found, part, None)
    return found is loss and module != "__main__"


def without_numpy(value: Any) -> Any:
    """Replace NumPy's types by Python's, as in a sweep file; arrays become lists."""
    if isinstance(value, Mapping):
        return {str(key): without_numpy(entry) for key, entry in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [without_numpy(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def named_point(loss: Any, x: Any) -> dict[str, Array]:
    """Return a point as floating-point arrays by name; a bare value belongs to the loss's only required parameter."""
    check_loss(loss)
    if not isinstance(x, Mapping):
        return {only_parameter(loss): float_array("x", x, integers=True)}
    values: dict[Any, Any] = dict(x)  # pyright: ignore[reportUnknownArgumentType]
    return {str(name): float_array(str(name), value, integers=False) for name, value in values.items()}


def only_parameter(loss: Any) -> str:
    call = loss if callable(loss) else getattr(loss, "losses", None)
    signature = signature_of(call) if callable(call) else None
    parameters = list(signature.parameters.values()) if signature else []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    required = [p.name for p in parameters if p.default is p.empty and p.kind in kinds]
    if len(required) != 1:
        found = ", ".join(required) or "no parameter that its signature shows"
        raise InputError(f"x has no name, and the loss requires {found}; wanted x = {{name: value}}, all of them")
    return required[0]


def float_array(name: str, value: Any, *, integers: bool) -> Array:
    """Return a value as a floating-point array; integers are converted only if `integers` is true."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged
        raise InputError(f"x: {name} is not a regular array: {error}") from None
    if array.dtype.kind in "iu" and integers:
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise InputError(
            f"x: {name} is {value!r}, which has no derivative: x + h is not a valid value; bind it, "
            f"functools.partial(loss, {name}={value!r}), or give it as a float"
        )
    return array if array.dtype == np.float32 else array.astype(np.float64)
