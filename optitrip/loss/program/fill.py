"""Writes parameters into texts: `{name}` in words of a command, `@name@` in templates, each with a format if wanted."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np

from optitrip.core.arrays import Array

HERE = "{here}/"
"""Beginning of a word that names a file beside the sweep file."""
MARK = re.compile(r"@([^\W\d]\w*)(?::([^@\s]*))?@")
"""A parameter in a template, e.g. @rate@ or @rate:.6e@."""


def beside(command: Sequence[str]) -> list[str]:
    """Return the names in a command that may be files beside the sweep file: the program, and what follows {here}/."""
    return [command[0].removeprefix(HERE), *(word.removeprefix(HERE) for word in command[1:] if word.startswith(HERE))]


def names_in_word(word: str) -> Iterator[str]:
    """Yield the names in braces in a word of a command; raise ValueError for one that is no plain name."""
    for _, name, _, conversion in Formatter().parse(word):
        if name is None:
            continue
        if not name.isidentifier() or conversion:
            raise ValueError(f"{word!r} has {{{name}}} in braces; wanted the name of a parameter, or {{{{ for a brace")
        yield name


def with_names(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return the words of which every name has a value: others are about variables that do not exist at a point."""
    return [word for word in words if all(name in values for name in names_in_word(word))]


def filled_word(word: str, values: Mapping[str, Any], *, quote: bool = False) -> str:
    """Replace names in braces, and quote what a shell would take for its own if wanted; raise ValueError for a format
    that does not suit the value."""
    parts: list[str] = []
    for literal, name, form, _ in Formatter().parse(word):
        parts.append(literal)
        if name is not None:
            text = formatted(name, values[name], form or "")
            parts.append(shlex.quote(text) if quote else text)
    return "".join(parts)


def write_array(value: Array, path: Path) -> None:
    """Write an array as its file is called: .npy, or text that reads back exactly, a row a line; raise ValueError for
    text of more than two axes."""
    if path.suffix == ".npy":
        np.save(path, value)
    else:
        np.savetxt(path, value, fmt="%.17g", delimiter="," if path.suffix == ".csv" else " ")


def names_in_template(text: str) -> set[str]:
    """Return the names that stand between @ signs in a template."""
    return {match[1] for match in MARK.finditer(text)}


def filled_template(text: str, values: Mapping[str, Any]) -> str:
    """Replace the parameters in a template; what stands between @ signs and is none stays as it is."""

    def replacement(match: re.Match[str]) -> str:
        name, form = match[1], match[2] or ""
        return formatted(name, values[name], form) if name in values else match[0]

    return MARK.sub(replacement, text)


def formatted(name: str, value: Any, form: str) -> str:
    """Write a value so that it reads back exactly, or by a format; the entries of an array stand side by side."""
    if isinstance(value, np.ndarray):
        return " ".join(formatted(name, entry, form) for entry in value.ravel().tolist())
    if not form:
        return str(value)
    try:
        return format(value, form)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameter {name} = {value!r} cannot be written as {form!r}: {error}") from None


def as_file(values: Mapping[str, Any], suffix: str) -> str:
    """Return all parameters as the text of a .json or .toml file."""
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    if suffix == ".json":
        return json.dumps(plain) + "\n"
    import tomlkit

    return tomlkit.dumps(plain)
