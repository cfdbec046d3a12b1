"""Overrides beside a sweep file, `--set key.path=value`: applied to its tables, written into its text, and named."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple

import tomlkit

from optitrip.config.locations import ASSIGNMENT, parse_key, spelled
from optitrip.core.differences import nearest
from optitrip.errors import InputError

Path = tuple[str, ...]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Characters that a comment of TOML cannot have."""
UNTOLD = {
    ("name",),
    ("objective", "files"),
    ("run",),
    ("tracking",),
    ("failures",),
    ("stop", "max_seconds"),
    ("stop", "drain_seconds"),
}
"""Keys that say where and how long a sweep runs, or that name it: its result is the same without them."""


class Override(NamedTuple):
    """One option, parsed."""

    path: Path
    value: Any
    """The value as TOML reads it, else the text as it is."""
    text: str


def parsed(option: str) -> Override:
    """Parse one option; raise InputError if it has no key."""
    found = ASSIGNMENT.match(option)
    path = parse_key(found[1]) if found else ()
    if found is None or len(path) == 0:
        raise InputError(
            f"--set {option}: wanted key=value, e.g. --set method.candidates=500; a key is letters, digits, _ and -, "
            "or in quotes, as in TOML"
        )
    right = option[found.end() :]
    try:
        read = tomllib.loads(f"value = {right}")
    except tomllib.TOMLDecodeError:
        read = {}
    # More than the value is there if the option goes on with lines of its own.
    return Override(path, read["value"] if len(read) == 1 else right.strip(), right.strip())


def override(tables: dict[str, Any], option: str) -> tuple[str | int, ...]:
    """Apply one option to the tables; return its key."""
    path, value, _ = parsed(option)
    space = tables.get("space", {})
    if path[0] == "space" and path[1:] and isinstance(space, dict) and path[1] not in space:
        known = [str(name) for name in space]
        raise InputError(f"--set {option}: space has no variable {path[1]!r}; {nearest(path[1], known)}")
    table: Any = tables
    place: list[str | int] = []
    for depth, key in enumerate(path[:-1], 1):
        if isinstance(table, list):  # [[leg]] tables, by their name or number
            row = row_of(table, key, option)  # pyright: ignore[reportUnknownArgumentType]
            place.append(row)
            table: Any = table[row]
        else:
            place.append(key)
            table = table.setdefault(key, {})
        if not isinstance(table, dict | list) or (isinstance(table, list) and depth == len(path) - 1):
            raise InputError(f"--set {option}: {'.'.join(path[:depth])} is {table!r}, not a table")
    last: Any = table
    last[path[-1]] = value
    return (*place, path[-1])


def row_of(tables: list[Any], key: str, option: str) -> int:
    """Return the number of a table in an array of tables, from its name or number."""
    names = [str(table.get("name", number)) for number, table in enumerate(tables)]
    if key in names:
        return names.index(key)
    if key.isdecimal() and int(key) < len(tables):
        return int(key)
    raise InputError(f"--set {option}: there is no {key!r}; {nearest(key, names)}")


def effective(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options without those that a later one replaces: to apply the others twice changes nothing."""
    paths = [parsed(option).path for option in options]
    return tuple(
        option
        for place, option in enumerate(options)
        if not any(paths[place][: len(later)] == later for later in paths[place + 1 :])
    )


def resolved(text: str, options: Sequence[str], name: str, folder: PurePath | None = None) -> str:
    """Return the text of a sweep file with the options and the sweep's name written into it, so that it describes the
    same sweep wherever it is read; comments and layout stay if TOML Kit can keep them. A program that does not say
    where its files are gets the `folder` of its sweep file.

    A text without tables, of a sweep made in Python, is returned as it is. If a value cannot be written as TOML, the
    options are only named in comments.
    """

    def changed(tables: Any) -> Any:
        for option in options:
            override(tables, option)
        if folder is not None and "program" in tables and "here" not in tables["program"]:
            tables["program"]["here"] = str(folder)
        tables["name"] = name
        return tables

    if not tomllib.loads(text):
        return text
    wanted = changed(tomllib.loads(text))
    writers = (lambda: changed(tomlkit.parse(text)), lambda: variables_in_line(changed(tomllib.loads(text))))
    for write in writers:
        with suppress(Exception):  # TOML Kit fails on some valid files
            written = tomlkit.dumps(write())
            written.encode()
            if same(tomllib.loads(written), wanted):
                return written
    comments = "".join("\n# --set " + option.replace("\n", "\n# ") for option in options)
    comments = CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", comments)
    return f"{text}{comments}\n".encode(errors="backslashreplace").decode()


def variables_in_line(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables with variables as inline tables: others would come after constants, and their order counts."""
    for name, value in tables["space"].items():
        if isinstance(value, dict):
            tables["space"][name] = tomlkit.inline_table()
            tables["space"][name].update(value)
    return tables


def same(tables: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether tables describe the same sweep; the order counts for variables only."""
    one, other = (json.dumps(found, sort_keys=True, default=repr) for found in (tables, others))
    return one == other and list(tables.get("space", ())) == list(others.get("space", ()))


def told(text: str, options: Sequence[str], identity: Mapping[str, Any]) -> dict[str, str]:
    """Return what the options set in the resolved text of a sweep file, but for `UNTOLD`: values as text by key, which
    is the shortest end of the path that no other key of the file has. Those in the fields of the identity come first,
    sorted, and those that only extend or end the sweep come last."""
    paths, deciding = set(paths_in(tomllib.loads(text))), set(paths_in(identity))
    values: dict[tuple[bool, str], str] = {}
    for path, value, right in map(parsed, options):
        if UNTOLD.isdisjoint((path[:1], path[:2])):
            ends = (path[start:] for start in range(len(path) - 1, -1, -1))
            others = paths - {path}
            key = next(end for end in ends if not any(other[-len(end) :] == end for other in others) or end == path)
            label = ".".join(map(spelled, key))
            values[path not in deciding, label] = value if isinstance(value, str) else right
    return {label: value for (_, label), value in sorted(values.items())}


def paths_in(table: Mapping[str, Any], prefix: Path = ()) -> Iterator[Path]:
    """Yield the paths of all keys of nested tables."""
    for key, value in table.items():
        path = (*prefix, key)
        yield path
        if isinstance(value, dict):
            yield from paths_in(value, path)
