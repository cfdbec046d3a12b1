"""A first sweep file for a loss, made from its signature and its defaults: what `optitrip init module:loss` writes.

Every distribution in it is a guess, but the file is whole: it is read back before it appears. The text is put together
by hand, because the standard library writes no TOML and the comments are half of what it is for.
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from optitrip.config.guesses import around, guess, plain
from optitrip.config.read import read_draft
from optitrip.config.toml_text import key, shown, toml
from optitrip.core.table import Reference
from optitrip.errors import InputError
from optitrip.loss.loading import find, signature_of
from optitrip.runtime.imports import import_paths, use_import_paths
from optitrip.space.distributions import DISTRIBUTIONS

Parameter = inspect.Parameter

UNHELD = "which no sweep file can hold"
REST = """\
[method]
use = "search"
candidates = 1_000

# [method]                   # or the numeric gradient at one point
# use = "gradient"
# scheme = "central"         # forward, backward or central
# at = { fill = 0.0 }        # or candidate = 0, best_of = "a finished sweep", file = "x.npz", values = { ... }

# [run]
# workers = 2                # one a CPU unless said
"""


def starter(reference: str, folder: Path) -> str:
    """The text of a sweep file, to stand in `folder`, for the function, class or object that `module:name` names.

    Raises:
        InputError: if the reference is none, cannot be imported or is no loss; if its signature cannot be read, has a
            parameter that no sweep can give, or has none to vary.
    """
    try:
        TypeAdapter(Reference).validate_python(reference)
    except ValidationError:
        raise InputError(f'was {reference!r}, wanted "module:name", e.g. thrown_ball:miss') from None
    folder = folder.resolve()
    use_import_paths(import_paths(folder))
    named = find(reference, folder)
    try:
        varied = called(named)
        space = [line(parameter, variable) for parameter in varied]
        table = [line(parameter, argument) for parameter in parameters(named)] if inspect.isclass(named) else []
    except InputError as error:
        raise InputError(f"objective {reference}: {error}") from None
    if all(assignment.startswith("#") for assignment, _ in space):
        takes = ", ".join(map(str, varied)) or "none"
        raise InputError(
            f"objective {reference}: no sweep file can vary any of its parameters ({takes}); "
            "wanted at least one that is a number, a string, a boolean or an array, and is given by name"
        )
    head = [*summary(named), f"# Written by `optitrip init {reference}`: the distributions are guesses, yours to set."]
    bound = ["# arguments = { name = 1.0 }   # parameters that are not to be varied, taken out of [space]"]
    if inspect.isclass(named):
        bound = ["", "[objective.arguments]", *aligned(table)] if table else []
    words = [f"# One of {', '.join(DISTRIBUTIONS)};", "# shape = [10, 3] makes it an array, a bare value is constant."]
    tables = [
        [*head, "seed = 0"],
        ["[objective]", f"loss = {toml(reference)}", *bound],
        ["[space]", *words, *aligned(space)],
        [REST],
    ]
    return "\n\n".join("\n".join(lines) for lines in tables)


def write(reference: str, folder: Path) -> Path:
    """Write the sweep file into `folder`, named after the last part of the reference.

    Raises:
        InputError: as `starter`, or if the folder is none, or the file is there already.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; make it, or go where the sweep file shall stand")
    text = starter(reference, folder)
    stem = re.sub(r"[^A-Za-z0-9_]", "_", re.split(r"[:.]", reference)[-1]).lstrip("_")[:64] or "sweep"
    with tempfile.TemporaryDirectory() as scratch:  # what cannot be read back must not appear, not even for a moment
        trial = Path(scratch, f"{stem}.toml")
        trial.write_text(text, encoding="utf-8")
        read_draft(trial)
    path = folder / f"{stem}.toml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten; move it away, or edit it") from None
    return path


def summary(named: Any) -> list[str]:
    """The first line of the docstring as a comment."""
    document = inspect.getdoc(named.func if isinstance(named, partial) else named) or ""
    first = document.strip().partition("\n")[0]
    return [printable(f"# {first}")] if first else []


def printable(comment: str) -> str:
    """Without the control characters that a comment of TOML may not have."""
    return "".join(letter for letter in comment if letter.isprintable())


def aligned(lines: list[tuple[str, str]]) -> list[str]:
    """Lines with their comments, which start in one column unless a line is long."""
    width = min(max((len(assignment) for assignment, comment in lines if comment), default=0), 44)
    return [f"{start:<{width}}  # {printable(comment)}" if comment else start for start, comment in lines]


def called(named: Any) -> list[Parameter]:
    """What the loss itself takes: a function, the objects of a class, or their `losses` if they have batches only."""
    if callable(named) and not inspect.isclass(named):
        return parameters(named)
    # A class can always be called, by its own type, which dir() leaves out: `hasattr(named, "__call__")` says nothing.
    step = "__call__" if "__call__" in dir(named) else "losses"
    if not hasattr(named, step):
        kind = "class without __call__ or losses" if inspect.isclass(named) else type(named).__name__
        raise InputError(f"is a {kind}; wanted a function, or a class of objects with __call__ or losses")
    unbound = inspect.isclass(named) and inspect.isfunction(inspect.getattr_static(named, step))
    return parameters(getattr(named, step))[1 if unbound else 0 :]


def parameters(call: Any) -> list[Parameter]:
    """The parameters, their annotations evaluated if they can be: some name what only a type checker imports."""
    try:
        return list(inspect.signature(call, eval_str=True).parameters.values())
    except Exception:  # whatever the user's annotations raise
        signature = signature_of(call)
    if signature is None:
        raise InputError("its signature cannot be read; write the file by hand, as sweeps/named_parameters.toml is")
    return list(signature.parameters.values())


def line(parameter: Parameter, assign: Callable[[Parameter, str], tuple[str, str]]) -> tuple[str, str]:
    """A parameter's line and its comment; no line for one that cannot be given by its name, as a sweep gives all."""
    match parameter.kind:
        case Parameter.VAR_POSITIONAL:
            return f"# *{parameter.name} gets nothing: a sweep gives by name", ""
        case Parameter.VAR_KEYWORD:
            return f"# **{parameter.name} takes any other name too", ""
        case Parameter.POSITIONAL_ONLY if parameter.default is Parameter.empty:
            raise InputError(f"takes {parameter.name!r} by position only; wanted one that is given by its name")
        case Parameter.POSITIONAL_ONLY:
            return f"# {parameter.name} keeps its default: it is given by position only", ""
        case _:
            return assign(parameter, key(parameter.name))


def variable(parameter: Parameter, name: str) -> tuple[str, str]:
    """For [space]: a distribution."""
    default, kind = parameter.default, plain(parameter.annotation)
    if default is Parameter.empty:
        if inspect.isclass(kind) and issubclass(kind, Enum):
            raise InputError(f"{name} is an Enum, {UNHELD}; take its value, and make the Enum of it inside")
        entry, comment = guess(kind)
        return f"{name} = {toml(entry)}", comment
    if entry := around(default, kind):
        return f"{name} = {toml(entry)}", f"default {shown(default)}"
    return f"# {name} = ...", f"keeps its default {shown(default)}, {UNHELD}"


def argument(parameter: Parameter, name: str) -> tuple[str, str]:
    """For [objective.arguments]: a value."""
    if parameter.default is Parameter.empty:
        entry, _ = guess(plain(parameter.annotation))
        value = 1.0 if "normal" in entry else next(iter(entry.values()))[0]
        return f"{name} = {toml([value] * 3 if 'shape' in entry else value)}", "required"
    try:
        return f"# {name} = {toml(parameter.default)}", ""
    except ValueError:
        return f"# {name} = ...", f"default {shown(parameter.default)}"
