"""Locates mistakes in a TOML file: error messages with file, line and key.

No TOML library reports the lines of keys; `tomllib` reports lines for syntax errors only.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from optitrip.core.differences import nearest

BARE = re.compile("[A-Za-z0-9_-]+")
BARE_OR_QUOTED = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)"""
KEYS = rf"{BARE_OR_QUOTED}(?:\s*\.\s*{BARE_OR_QUOTED})*"
HEADER = re.compile(rf"^\s*(\[{{1,2}})\s*({KEYS})\s*\]")
ASSIGNMENT = re.compile(rf"^\s*({KEYS})\s*=")
STRING_OR_COMMENT = re.compile(
    r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*""", re.DOTALL
)

KeyPath = tuple[str | int, ...]


class Lines:
    """Line numbers of the keys of a valid TOML file."""

    def __init__(self, path: Path | None, text: str) -> None:
        self.path, self.text = path, text
        """Path of the file (None for Python values), and its text."""
        self.overridden: dict[KeyPath, str] = {}
        """Text of the `--set` option that set a key."""
        self._lines: dict[KeyPath, int] = {}
        masked = STRING_OR_COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        table, depth = KeyPath(), 0
        counts: dict[KeyPath, int] = {}
        for number, (line, bare) in enumerate(zip(text.split("\n"), masked.split("\n"), strict=True), 1):
            header, key = HEADER.match(line), ASSIGNMENT.match(line)
            if depth == 0 and header and bare[header.start(1)] == "[":
                table = parse_key(header[2])
                self._record(table, number)
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                    self._record(table, number)
                continue
            if depth == 0 and key and bare[key.end() - 1] == "=":
                self._record((*table, *parse_key(key[1])), number)
            depth += sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))

    def _record(self, key: KeyPath, number: int) -> None:
        for end in range(1, len(key) + 1):
            self._lines.setdefault(key[:end], number)

    def at(self, key: KeyPath, message: str) -> str:
        """Prefix a message with the line of the key, or of the nearest table that contains it."""
        dotted = ".".join(map(spelled, key))
        message = f"{dotted}: {message}" if dotted else message
        parents = [key[:end] for end in range(len(key), 0, -1)]
        options = [self.overridden[parent] for parent in parents if parent in self.overridden]
        if key and key not in self._lines:
            options += [option for path, option in self.overridden.items() if path[: len(key)] == key]
        if options:
            return f"--set {options[0]}: {message}"
        if self.path is None:
            return message
        number = next((self._lines[parent] for parent in parents if parent in self._lines), 1)
        return f"{self.path}:{number}: {message}" if key else f"{self.path}: {message}"


def spelled(part: str | int) -> str:
    """Return a part of a key as TOML spells it."""
    text = str(part)
    return text if BARE.fullmatch(text) else json.dumps(text, ensure_ascii=not text.isprintable())


def parse_key(dotted: str) -> tuple[str, ...]:
    """Return the parts of a key as TOML reads it; none if it is not a key."""
    try:
        table: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str] = []
    while isinstance(table, dict):
        ((part, table),) = table.items()  # pyright: ignore[reportUnknownVariableType]
        parts.append(str(part))  # pyright: ignore[reportUnknownArgumentType]
    return tuple(parts)


def syntax_error(path: Path, message: str) -> str:
    """Move the line and column of a `tomllib` error from the end of the message to its beginning."""
    place = re.search(r"\(at line (\d+), column (\d+)\)", message)
    if not place:
        return f"{path}: not TOML: {message}"
    return f"{path}:{place[1]}:{place[2]}: not TOML: {message[: place.start()].strip()}"


def explain(detail: ErrorDetails, model: type[BaseModel], lines: Lines, prefix: KeyPath = ()) -> str:
    """Rewrite a pydantic error as one line; `prefix` is the key of the model's table in the file."""
    path, fields = (*prefix, *detail["loc"]), innermost_fields(model, detail["loc"])
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return lines.at(path, f"unknown key; {nearest(str(path[-1]), list(fields))}")
    if kind == "missing":
        return lines.at(path, f"is missing; wanted {type_in_words(fields[str(path[-1])])}")
    wanted = re.sub(r"^(Input should be (a valid )?|String should have )", "", detail["msg"])
    if kind == "string_pattern_mismatch":
        wanted = '"module:name"' if ":" in detail["msg"] else "letters, digits, . _ -"
    elif kind in ("model_type", "dict_type", "model_attributes_type"):
        wanted = "a table"
    return lines.at(path, f"was {value!r}, wanted {wanted}")


def innermost_fields(model: type[BaseModel], location: KeyPath) -> dict[str, Any]:
    """Return the annotation of each field of the table that contains the last key of a location."""
    table: Any = model
    fields: dict[str, Any] = {}
    for part in location:
        if isinstance(table, type) and issubclass(table, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in table.model_fields.items()}
        table = fields.get(str(part))
        tables = [one for one in get_args(table) if isinstance(one, type) and issubclass(one, BaseModel)]
        table = tables[0] if tables else table  # a table that may be missing
    return fields


def type_in_words(annotation: Any) -> str:
    kind = get_origin(annotation) or annotation
    if kind is Literal:
        return " or ".join(map(repr, get_args(annotation)))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a table"
    return {int: "a whole number", str: "a string", dict: "a table"}.get(kind, "a value")
