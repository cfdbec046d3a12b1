"""Python values as TOML writes them: the standard library reads TOML and writes none."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any

import numpy as np


def shown(default: Any) -> str:
    """A default for a comment; an object by its type, as its own words may be long or of many lines."""
    if isinstance(default, np.generic):
        default = default.item()
    if default is None or isinstance(default, str | int | float):
        return repr(default)
    try:
        text = toml(default)
    except ValueError:
        text = ""
    return text if 0 < len(text) < 60 else f"of type {type(default).__name__}"


def key(name: str) -> str:
    """A name as a key of TOML, quoted where it must be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def toml(value: Any) -> str:
    """A value as TOML writes it.

    Raises:
        ValueError: if TOML cannot hold it.
    """
    match value:
        case Enum():
            raise ValueError("an Enum")
        case bool():
            return str(value).lower()
        case int():
            return str(int(value))
        case float():
            return repr(float(value))  # 1e-05, inf and nan are TOML's too
        case str():
            value.encode()  # raises a ValueError for half of a pair of surrogates
            return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
        case list() | tuple():
            return f"[{', '.join(toml(entry) for entry in value)}]"
        case dict() if all(isinstance(name, str) for name in value):
            return f"{{ {', '.join(f'{key(name)} = {toml(entry)}' for name, entry in value.items())} }}"
        case _:
            raise ValueError(f"a {type(value).__name__}")
