"""Makes drafts of sweeps from Python values: the loss is an object in this process instead of a name in a file."""

import inspect
import json
import re
import reprlib
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft, read_draft
from optitrip.config.sweep import Draft
from optitrip.core.arrays import Array
from optitrip.core.literals import described, literal_text
from optitrip.errors import InputError
from optitrip.loss.noisy import SEED
from optitrip.loss.passing import signature_of
from optitrip.loss.returns import as_array
from optitrip.runtime.files import working_folder
from optitrip.runtime.interrupts import no_failures
from optitrip.space.listed import Held, constant_entry
from optitrip.space.variables import as_python
from optitrip.store.provenance import data_digest


def python_draft(loss: Any, tables: Mapping[str, Any], *, stored: bool) -> Draft:
    """Make the draft of a sweep of a loss; the [objective] table may contain `maximize`, `plain`, `as_dict` and
    `arguments` only.

    A sweep that is `stored`, to be resumed later, requires a loss with an identity, and constants and arguments that a
    text describes exactly.
    """
    check_loss(loss)
    reference = reference_of(loss)
    data = data_digest(loss, reference)
    if stored and data is None and not importable(loss):
        raise InputError(
            f"state_dir: {reference} has no identity to store results under; wanted a function that can be imported by "
            "name, or an object with digest()"
        )
    objective: dict[str, Any] = {"arguments": {}, **tables.get("objective", {})}
    space: Mapping[str, Any] = tables["space"]
    if stored and isinstance(space, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        held = {name: entry["constant"].value for name, entry in space.items() if is_held(entry)}
        check_literals({**objective["arguments"], **held})
    arguments = {name: described(as_python(value)) for name, value in objective["arguments"].items()}
    tables = {**tables, "objective": {**objective, "loss": reference, "arguments": arguments}}
    method = {key: value for key, value in tables["method"].items() if key != "at"}  # x may be long
    others = {key: table for key, table in tables.items() if key != "method"}
    try:
        text = json.dumps(without_numpy({**others, "method": method}), default=repr)
    except (TypeError, ValueError):  # options are dicts whose keys are no strings
        text = repr({**others, "method": method})
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


def by_name(what: str, given: Any) -> dict[Any, Any]:
    """Return values that are given by name, none for None; raise InputError for anything else."""
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"{what}: was {reprlib.repr(given)}, wanted a dict of values by name")
    return dict(given or {})  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def with_constants(
    space: Mapping[str, Any], constants: Mapping[str, Any], arguments: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return a space with constants; raise InputError if a name is no text, or given twice."""
    if not isinstance(space, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return space  # the mistake is reported as that of a sweep file is
    if wrong := [name for name in [*space, *constants, *arguments] if not isinstance(name, str)]:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"{wrong[0]!r} is no name of a parameter; wanted text")
    for what, names in {"constants": constants, "arguments": arguments}.items():
        known = [*space, *constants] if what == "arguments" else space
        if shared := [str(name) for name in names if name in known]:
            raise InputError(f"{what}: {', '.join(shared)} is a variable or a constant too; remove it from one of them")
    return {**space, **{name: constant_entry(value, exact(value)) for name, value in constants.items()}}


def is_held(entry: Any) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("constant"), Held)  # pyright: ignore[reportUnknownMemberType]


def check_literals(values: Mapping[str, Any]) -> None:
    """Raise InputError for a value that cannot be stored with a sweep."""
    for name, value in values.items():
        try:
            literal_text(as_python(value))
        except ValueError as error:
            raise InputError(
                f"state_dir: {name} cannot be stored with the sweep: {error}; wanted numbers, text, None, arrays, "
                "and lists, tuples and dicts of them"
            ) from None


def exact(value: Any) -> Any:
    """Return a number or an array of NumPy as Python's own, and anything else unchanged."""
    known = (type(value) is np.ndarray or isinstance(value, np.generic)) and value.dtype.kind in "biufcUS"
    return value.tolist() if known else value


def option(value: Any) -> Any:
    """Return an option of a choice: an array stays an array."""
    return value if isinstance(value, np.ndarray) and value.ndim else exact(value)


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
    source: Any = loss
    if not text_of(loss, "__qualname__"):
        source = type(loss)
        with no_failures():
            source = getattr(loss, "func", source)
    name = (text_of(source, "__qualname__") or "loss").replace("<locals>.", "").replace("<lambda>", "lambda")
    return f"{ascii_name(text_of(source, '__module__') or 'builtins')}:{ascii_name(name)}"


def text_of(loss: Any, name: str) -> str:
    """Return an attribute that is text, "" for anything else, e.g. of a mock."""
    with no_failures():  # whatever the user's own __getattr__ raises
        text = getattr(loss, name, "")
        return text if isinstance(text, str) else ""
    return ""


def ascii_name(name: str) -> str:
    """Replace the characters that sweep files do not allow; distinct names stay distinct, as identities require."""
    ascii_ = re.sub(r"[^A-Za-z0-9_.]", lambda other: f"_{ord(other[0]):x}_", name)
    return ascii_ if re.match(r"[A-Za-z_]", ascii_) else f"_{ascii_}"


def importable(loss: Any) -> bool:
    """Return whether any process can import the loss by its name."""
    module = text_of(loss, "__module__")
    found: Any = sys.modules.get(module)
    for part in text_of(loss, "__qualname__").split("."):
        found = getattr(found, part, None)
    return found is loss and module != "__main__"


def without_numpy(value: Any) -> Any:
    """Replace NumPy's types by Python's, as in a sweep file; arrays become lists."""
    if isinstance(value, Mapping):
        table: Mapping[Any, Any] = value
        # The options of a choice are passed on as they are: a tuple stays a tuple.
        listed = {key for key, entry in table.items() if key == "choice" and isinstance(entry, list | tuple)}
        return {
            key if isinstance(key, str) else str(key): [*map(option, entry)] if key in listed else without_numpy(entry)
            for key, entry in table.items()
        }
    if isinstance(value, list | tuple):
        return [without_numpy(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def named_point(loss: Any, x: Any, given: Collection[str], *, as_dict: bool) -> dict[str, Array]:
    """Return a point as floating-point arrays by name; a bare value belongs to the loss's only required parameter that
    is not `given` otherwise."""
    check_loss(loss)
    if isinstance(x, Mapping):
        values: dict[Any, Any] = dict(x)  # pyright: ignore[reportUnknownArgumentType]
        return {name: float_array(str(name), value, integers=False) for name, value in values.items()}
    if as_dict:
        raise InputError(f"x was {reprlib.repr(x)}; with as_dict, wanted x = {{name: value}}, all variables by name")
    return {only_parameter(loss, given): float_array("x", x, integers=True)}


def tables_at(
    loss: Any,
    x: Any,
    method: Mapping[str, Any],
    objective: Mapping[str, Any],
    constants: Mapping[str, Any] | None,
    arguments: Mapping[str, Any] | None,
    **others: Any,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the tables of a sweep that starts at x, `others` included, and the point by name."""
    bound, held = by_name("arguments", arguments), by_name("constants", constants)
    point = named_point(loss, x, {*held, *bound}, as_dict=objective["as_dict"])
    space = {name: {"shape": list(value.shape), "dtype": str(value.dtype)} for name, value in point.items()}
    return {
        "objective": {"maximize": False, **objective, "arguments": bound},
        "space": with_constants(space, held, bound),
        "method": point_table(x, point, method),
        **others,
    }, point


def point_table(x: Any, point: Mapping[str, Array], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the [method] table of a sweep at a point; steps and bounds of a bare x belong to its only variable."""
    table: dict[str, Any] = {**{key: value for key, value in given.items() if value is not None}}
    if not isinstance(x, Mapping):
        (name,) = point
        by_variable = {"bounds": table.get("bounds"), "step": table.get("step")}
        for key, value in by_variable.items():
            if isinstance(value, np.ndarray | list | tuple):
                table[key] = {name: value}
    if isinstance(table.get("bounds"), Mapping):
        table["bounds"] = {name: without_none(pair) for name, pair in table["bounds"].items()}
    return table


def without_none(pair: Any) -> Any:
    """Return a pair of limits with infinity for None, as SciPy has it."""
    if isinstance(pair, list | tuple) and len(pair) == 2:  # pyright: ignore[reportUnknownArgumentType]
        return [end if one is None else one for one, end in zip(pair, (-np.inf, np.inf), strict=True)]  # pyright: ignore[reportUnknownVariableType]
    return pair


def check_importable(what: str, given: Any, state_dir: object) -> None:
    """Raise InputError for something of this process, e.g. a rule, with which a stored sweep could not be resumed."""
    if state_dir is not None and not isinstance(given, str) and not importable(given):
        raise InputError(f"state_dir: the {what} cannot be imported by name; wanted that of a module, or a name")


def only_parameter(loss: Any, given: Collection[str]) -> str:
    call = loss if callable(loss) else getattr(loss, "losses", None)
    signature = signature_of(call) if callable(call) else None
    if signature is None and callable(call):
        return "x"  # it takes one value by position, or none at all
    parameters = list(signature.parameters.values()) if signature else []
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [name for name in required if name not in given]
    required = [name for name in required if name != SEED] or required
    if not required and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return "x"
    if len(required) != 1:
        found = ", ".join(required) or "no parameter that its signature shows"
        raise InputError(f"x has no name, and the loss requires {found}; wanted x = {{name: value}}, all of them")
    return required[0]


def float_array(name: str, value: Any, *, integers: bool) -> Array:
    """Return a value as a floating-point array; integers are converted only if `integers` is true, and never
    rounded."""
    try:
        array = as_array(value)
    except Exception as error:  # ragged, or what a tensor's own __array__ raises
        raise InputError(f"x: {name} is not a regular array: {error}") from None
    shown, whole = reprlib.repr(value), array.dtype.kind in "iu"
    rounded = InputError(
        f"x: {name} is {shown}, which float64 would round; wanted a number of that precision, or a float"
    )
    if array.dtype.kind == "O" and isinstance(value, int):
        raise rounded
    if array.dtype.kind != "f" and not (whole and integers):
        bind = f", bind it, functools.partial(loss, {name}={shown})" if name.isidentifier() else ""
        raise InputError(
            f"x: {name} is {shown}, which has no derivative: x + h is not a valid value; give it in constants="
            f"{{{name!r}: {shown}}}{bind}, or give it as a float"
        )
    if array.dtype == np.float32:
        return array
    cast = array.astype(np.float64)
    # An integer among floats in a list is rounded by NumPy already. Python compares integers exactly.
    given = np.asarray(value, object) if isinstance(value, list | tuple) else array
    pairs = zip(cast.ravel().tolist(), given.ravel().tolist(), strict=False) if whole or given is not array else ()
    if any(isinstance(exactly, int) and number != exactly for number, exactly in pairs):
        raise rounded
    return cast
