"""Writes a first sweep file for a loss, from its signature and defaults, for `optitrip init module:loss`.

The distributions are guesses, but the file is valid: its text is parsed before it is written.
"""

import inspect
import re
import tomllib
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import tomlkit
from pydantic import TypeAdapter, ValidationError
from tomlkit.items import Item, Table

from optitrip.config.guesses import for_default, for_type, to_toml, unwrap
from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft
from optitrip.core.table import Reference
from optitrip.errors import InputError
from optitrip.loss.loading import find_loss
from optitrip.loss.passing import signature_of
from optitrip.methods.registry import METHODS, find
from optitrip.runtime.imports import import_paths
from optitrip.runtime.interrupts import no_failures
from optitrip.runtime.shadowing import use_import_paths
from optitrip.space.distributions import DISTRIBUTIONS

Parameter = inspect.Parameter

NOT_TOML = "which a sweep file cannot hold"
ARGUMENTS = "arguments = { name = 1.0 }   # parameters with a fixed value, moved here from [space]"
RUN = "# [run]\n# workers = 2                # default: one per CPU\n"


def starter(reference: str, folder: Path) -> str:
    """Return the text of a sweep file for the loss `module:name`, to be placed in `folder`."""
    try:
        TypeAdapter(Reference).validate_python(reference)
    except ValidationError:
        raise InputError(f'was {reference!r}, wanted "module:name", e.g. thrown_ball:miss') from None
    folder = folder.resolve()
    use_import_paths(import_paths(folder))
    loss = find_loss(reference, folder)
    objective = tomlkit.table().add("loss", reference)
    space = tomlkit.table().add(tomlkit.comment(f"Distributions: {', '.join(DISTRIBUTIONS)}."))
    space.add(tomlkit.comment("shape = [10, 3] makes an array; a bare value is a constant."))
    try:
        varied = call_parameters(loss)
        add_parameters(space, varied, variable)
        if inspect.isclass(loss):
            arguments = tomlkit.table()
            add_parameters(arguments, parameters_of(loss), argument)
            if arguments.as_string():
                objective.add("arguments", arguments)
        else:
            objective.add(tomlkit.comment(ARGUMENTS))
    except InputError as error:
        raise InputError(f"objective {reference}: {error}") from None
    if not space:
        takes = ", ".join(map(str, varied)) or "none"
        raise InputError(
            f"objective {reference}: a sweep cannot vary any of its parameters ({takes}); "
            "wanted at least one number, string, boolean or array"
        )
    document = tomlkit.document()
    origin = f"Written by `optitrip init {reference}`. The distributions are guesses: adjust them."
    for text in [*first_line(loss), origin]:
        document.add(tomlkit.comment(text))
    document.add("seed", 0)  # pyright: ignore[reportArgumentType]
    document.add("objective", objective).add("space", space)
    first, *others = filter(None, (find(word).example for word in METHODS))
    return "\n".join([document.as_string(), first, *(indent(other, "# ") for other in others), RUN])


def write(reference: str, folder: Path) -> Path:
    """Write the sweep file into `folder`, named after the last part of the reference; never overwrite a file."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; create it, or change to the folder for the sweep file")
    text = starter(reference, folder)
    stem = re.sub(r"[^A-Za-z0-9_]", "_", re.split(r"[:.]", reference)[-1]).lstrip("_")[:64] or "sweep"
    path = folder / f"{stem}.toml"
    parse_draft(tomllib.loads(text), Lines(path, text), stem, folder)  # never write an invalid file
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten; move it away, or edit it") from None
    return path


def first_line(loss: Any) -> list[str]:
    """Return the docstring's first line, if any, without control characters, which TOML comments cannot contain."""
    document = inspect.getdoc(loss.func if isinstance(loss, partial) else loss) or ""
    text = "".join(letter for letter in document.strip().partition("\n")[0] if letter.isprintable())
    return [text] if text else []


def call_parameters(loss: Any) -> list[Parameter]:
    """Return the parameters of the loss: those of a function, or of a class's `__call__`, else of its `losses`."""
    if callable(loss) and not inspect.isclass(loss):
        return parameters_of(loss)
    # `hasattr(loss, "__call__")` is true of every class, because of its metaclass, which dir() leaves out.
    call = "__call__" if "__call__" in dir(loss) else "losses"
    if not hasattr(loss, call):
        kind = "class without __call__ or losses" if inspect.isclass(loss) else type(loss).__name__
        raise InputError(f"is a {kind}; wanted a function, or a class with __call__ or losses")
    unbound = inspect.isclass(loss) and inspect.isfunction(inspect.getattr_static(loss, call))
    return parameters_of(getattr(loss, call))[1 if unbound else 0 :]


def parameters_of(call: Any) -> list[Parameter]:
    """Return the parameters, with evaluated annotations if possible: some use names imported for type checkers only."""
    signature = signature_of(call)
    with no_failures():  # evaluating the user's annotations may raise anything
        if not isinstance(call, np.ufunc):
            signature = inspect.signature(call, eval_str=True)
    if signature is None:
        raise InputError("its signature cannot be read; write the file by hand, like sweeps/named_parameters.toml")
    return list(signature.parameters.values())


def add_parameters(table: Table, parameters: list[Parameter], entry: Callable[[Parameter], Item | str]) -> None:
    """Add a line or a comment for each parameter, and align the comments."""
    for parameter in parameters:
        name = parameter.name
        match parameter.kind:
            case Parameter.VAR_POSITIONAL:
                table.add(tomlkit.comment(f"*{name} stays empty: a sweep has no variable for it"))
            case Parameter.VAR_KEYWORD:
                table.add(tomlkit.comment(f"**{name} accepts any other name"))
            case _:
                value = entry(parameter)
                if isinstance(value, Item):  # a TOML string is a str too
                    table.add(name, value)
                else:
                    table.add(tomlkit.comment(f"{tomlkit.key(name).as_string()} = {value}"))
    lines = [(len(f"{key.as_string()}{item.as_string()}"), item) for key, item in table.value.body if key]
    width = min(40, max((length for length, item in lines if item.trivia.comment), default=0))
    for length, item in lines:
        if item.trivia.comment:
            item.trivia.comment_ws = " " * max(2, width - length + 2)


def variable(parameter: Parameter) -> Item | str:
    """Return the distribution of a parameter for [space], or the text of a comment."""
    default, kind = parameter.default, unwrap(parameter.annotation)
    if default is Parameter.empty:
        if inspect.isclass(kind) and issubclass(kind, Enum):
            advice = "take its value as the parameter, and convert it to the Enum inside the loss"
            raise InputError(f"{parameter.name} is an Enum, {NOT_TOML}; {advice}")
        distribution, comment = for_type(kind)
        return to_toml(distribution).comment(comment) if comment else to_toml(distribution)
    if distribution := for_default(default, kind):
        return to_toml(distribution).comment(f"default {default_text(default)}")
    return f"...  # keeps its default {default_text(default)}, {NOT_TOML}"


def argument(parameter: Parameter) -> Item | str:
    """Return a value for a required parameter in [objective.arguments], or the text of a comment with the default."""
    if parameter.kind is Parameter.POSITIONAL_ONLY and parameter.default is Parameter.empty:
        raise InputError(f"is built with {parameter.name!r} by position only; wanted arguments that can go by name")
    if parameter.default is Parameter.empty:
        distribution, _ = for_type(unwrap(parameter.annotation))
        value = 1.0 if "normal" in distribution else next(iter(distribution.values()))[0]
        return to_toml([value] * 3 if "shape" in distribution else value).comment("required")
    try:
        return to_toml(parameter.default).as_string()
    except (ValueError, TypeError):
        return f"...  # default {default_text(parameter.default)}"


def default_text(default: Any) -> str:
    """Return a default for a comment; objects are shown by type, since a repr may be long or span several lines."""
    if isinstance(default, np.generic):
        default = default.item()
    text = repr(default)
    if default is None or isinstance(default, str | int | float):
        return text
    short = isinstance(default, list | tuple | dict) and len(text) < 60 and text.isprintable()
    return text if short else f"of type {type(default).__name__}"
