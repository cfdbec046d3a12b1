"""Mistakes in a TOML file, told with file, line and key. `tomllib` gives lines for syntax errors only."""

from __future__ import annotations

import re
import tomllib
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from optitrip.core.suggest import nearest
from optitrip.errors import InputError

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails

BARE_OR_QUOTED = r"""(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)"""
KEYS = rf"{BARE_OR_QUOTED}(?:\s*\.\s*{BARE_OR_QUOTED})*"
HEADER = re.compile(rf"^\s*(\[{{1,2}})\s*({KEYS})\s*\]")
ASSIGNMENT = re.compile(rf"^\s*({KEYS})\s*=")
STRING_OR_COMMENT = re.compile(
    r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*""", re.DOTALL
)

KeyPath = tuple[str | int, ...]


class Lines:
    """Where the keys of a TOML file stand; the file is known to be TOML."""

    def __init__(self, path: Path | None, text: str) -> None:
        self.path = path
        """None for tables that are Python values: then there is no place to name."""
        self.overridden: dict[KeyPath, str] = {}
        self._lines: dict[KeyPath, int] = {}
        masked = STRING_OR_COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        table, depth = KeyPath(), 0
        counts: dict[KeyPath, int] = {}
        for number, (line, bare) in enumerate(zip(text.split("\n"), masked.split("\n"), strict=True), 1):
            header, key = HEADER.match(line), ASSIGNMENT.match(line)
            if depth == 0 and header and bare[header.start(1)] == "[":
                table = self._split(header[2])
                self._record(table, number)
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                    self._record(table, number)
                continue
            if depth == 0 and key and bare[key.end() - 1] == "=":
                self._record((*table, *self._split(key[1])), number)
            depth += sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))

    def _record(self, key: KeyPath, number: int) -> None:
        for end in range(1, len(key) + 1):
            self._lines.setdefault(key[:end], number)

    @staticmethod
    def _split(dotted: str) -> KeyPath:
        return tuple(key.strip("\"'") for key in re.findall(BARE_OR_QUOTED, dotted))

    @staticmethod
    def syntax(path: Path, message: str) -> str:
        """A syntax error of `tomllib`, whose message ends in its place."""
        place = re.search(r"\(at line (\d+), column (\d+)\)", message)
        if not place:
            return f"{path}: not TOML: {message}"
        return f"{path}:{place[1]}:{place[2]}: not TOML: {message[: place.start()].strip()}"

    def at(self, key: KeyPath, message: str) -> str:
        """A message with the place of the key, or of the nearest table around it, before it."""
        dotted = ".".join(str(part) for part in key)
        for end in range(len(key), 0, -1):
            if key[:end] in self.overridden:
                return f"--set {self.overridden[key[:end]]}: {dotted}: {message}"
        if key not in self._lines:
            for overridden, given in self.overridden.items():
                if key and overridden[: len(key)] == key:
                    return f"--set {given}: {dotted}: {message}"
        if self.path is None:
            return f"{dotted}: {message}" if dotted else message
        for end in range(len(key), 0, -1):
            if key[:end] in self._lines:
                return f"{self.path}:{self._lines[key[:end]]}: {dotted}: {message}"
        return f"{self.path}:1: {dotted}: {message}" if dotted else f"{self.path}: {message}"


def override(tables: dict[str, Any], given: str, lines: Lines) -> None:
    """Apply one `--set key.path=value` to the tables.

    Raises:
        InputError: if it has no `=`, an empty key, a parent that is no table, or names a variable that is not there.
    """
    dotted, equals, right = given.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise InputError(f"--set {given}: wanted key=value, e.g. --set method.candidates=500")
    try:
        value = tomllib.loads(f"value = {right}")["value"]
    except tomllib.TOMLDecodeError:
        value = right.strip()
    space = tables.get("space", {})
    if keys[0] == "space" and len(keys) > 1 and isinstance(space, dict) and keys[1] not in space:
        known = [str(name) for name in space]
        raise InputError(f"--set {given}: space has no variable {keys[1]!r}; {nearest(keys[1], known)}")
    table: Any = tables
    for depth, key in enumerate(keys[:-1], 1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {given}: {'.'.join(keys[:depth])} is {table!r}, not a table")
    table[keys[-1]] = value
    lines.overridden[tuple(keys)] = given


def explain(detail: ErrorDetails, model: type[BaseModel], lines: Lines, prefix: KeyPath = ()) -> str:
    """Return one mistake that pydantic found, as a line of ours; `prefix` is where the model stands in the file."""
    below, fields = _place(model, detail["loc"])
    path = (*prefix, *below)
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return lines.at(path, f"unknown key; {nearest(str(path[-1]), list(fields))}")
    if kind == "missing":
        return lines.at(path, f"is missing; wanted {_plain_type(fields[str(path[-1])])}")
    if kind == "string_pattern_mismatch" and "pattern" in detail.get("ctx", {}):
        wanted = 'wanted "module:name"' if ":" in detail["ctx"]["pattern"] else "wanted letters, digits, . _ -"  # pyright: ignore[reportTypedDictNotRequiredAccess]
        return lines.at(path, f"was {given!r}, {wanted}")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return lines.at(path, f"was {given!r}, wanted a table")
    wanted = re.sub(r"^(Input should be (a valid )?|String should have )", "", detail["msg"])
    return lines.at(path, f"was {given!r}, wanted {wanted}")


def _place(model: type[BaseModel], location: KeyPath) -> tuple[KeyPath, dict[str, Any]]:
    """Return the keys of a mistake, and the fields beside the last one."""
    path, fields, inside = KeyPath(), _fields(model), None
    for part in location:
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            fields = _fields(inside)
        path = (*path, part)
        inside = fields.get(str(part))
    return path, fields


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {name: field.annotation for name, field in model.model_fields.items()}


def _plain_type(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a table"
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(annotation))
    return {int: "a whole number", str: "a string", dict: "a table"}.get(
        typing.get_origin(annotation) or annotation, "a value"
    )
