"""Reads the loss, and other numbers, from what a program has printed or written."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STDOUT = "stdout"
"""Name of the file with what a program prints."""
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?|(?:inf(?:inity)?|nan)\b)", re.IGNORECASE)
"""A number as C, Fortran (1.5D-3) and Python print it, not within a word such as file2."""


def check_source(source: Mapping[str, Any]) -> None:
    """Raise ValueError, with what was wanted, for a description that says of no number where it is."""
    known = {"json", "regex", "file"}
    if not set(source) <= known or {"json", "regex"} <= set(source):
        raise ValueError(
            f"was {dict(source)!r}; wanted {{ json = 'key' }} or {{ regex = 'rms = (\\S+)' }}, each with file = '...' "
            "for a file, or only { file = '...' } for the last number in it"
        )
    if "regex" in source:
        try:
            groups = re.compile(source["regex"]).groups
        except (re.error, TypeError) as error:
            raise ValueError(f"regex was {source['regex']!r}: {error}") from None
        if groups > 1:
            raise ValueError(f"regex was {source['regex']!r}; wanted one group in parentheses, around the number")


def read_number(source: Mapping[str, Any], folder: Path) -> float:
    """Return a number from the output of a program in a folder; raise ValueError, with what was found, without one."""
    name = source.get("file", STDOUT)
    if (folder / name).exists() and not (folder / name).is_file():  # reading a pipe may never end
        raise ValueError(f"{name} is not a file")
    try:
        text = (folder / name).read_text("utf-8", "replace")
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror or error}; the program did not write it") from None
    if "json" in source:
        return number_in_json(source["json"], text, name)
    if "regex" in source:
        found = list(re.finditer(source["regex"], text))
        if not found:
            raise ValueError(f"{name} has nothing like {source['regex']!r}{ending(text)}")
        match = found[-1]
        return number_of(match[1] if match.re.groups else match[0], name)
    numbers = NUMBER.findall(text)
    if not numbers:
        raise ValueError(f"{name} has no number in it{ending(text)}")
    return number_of(numbers[-1], name)


def number_in_json(key: str, text: str, name: str) -> float:
    """Return the number at a key, or a path of keys such as "fit.rms", of JSON; the last line that is JSON counts."""
    for candidate in (text, *reversed(text.splitlines())):
        try:
            value: Any = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(value, dict):
            break
    else:
        raise ValueError(f"{name} is not JSON{ending(text)}")
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ValueError(f"{name} has no key {key!r}{ending(text)}")
        value = value[part]  # pyright: ignore[reportUnknownVariableType]
    return number_of(value, name)


def number_of(value: Any, name: str) -> float:
    """Return a number as it is printed; raise ValueError for anything else."""
    try:
        if isinstance(value, str):
            return float(value.strip().replace("D", "e").replace("d", "e"))
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} has {value!r:.80} where a number was wanted") from None


def ending(text: str) -> str:
    """Return the end of a text for a message."""
    tail = text.strip()[-200:]
    return f"; it ends with {tail!r}" if tail else "; it is empty"
