"""Literals: values that a text says exactly, so that they can be part of an identity, be stored, and be compared."""

import hashlib
import math
from typing import Any

import numpy as np

SCALARS = (str, bytes, bool, int, float, complex, type(None))
DATES = ("date", "time", "datetime")
"""Types of the module `datetime`, which is not imported here: it has a clock."""
PYTHON = "python"
"""Key of the table that describes a value that JSON cannot hold; a sweep file has a list or a number in its place."""


def literal_text(value: Any) -> str:
    """Return a literal as Python writes it, and an array by a digest of its entries; raises ValueError for anything
    else, such as a function or an object of the user's class."""
    kind = type(value)
    try:
        if kind in SCALARS or (kind.__module__ == "datetime" and kind.__name__ in DATES):
            return repr(value)
        if kind is dict:
            return f"{{{', '.join(f'{literal_text(key)}: {literal_text(entry)}' for key, entry in value.items())}}}"
        if kind in (list, tuple):
            entries = ", ".join(map(literal_text, value))
            return f"[{entries}]" if kind is list else f"({entries},)"
        if kind is np.ndarray and not value.dtype.hasobject:
            digest = hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
            return f"array({value.dtype.str}, {value.shape}, {digest})"
    except RecursionError:
        raise ValueError("it is nested too deep, or contains itself") from None
    raise ValueError(f"a {kind.__name__} has no text that says exactly what it is")


def in_json(value: Any) -> bool:
    """Return whether JSON holds a value as it is, so that no two different ones become equal."""
    if isinstance(value, float):
        return math.isfinite(value)
    if type(value) is dict:
        return all(type(key) is str and in_json(entry) for key, entry in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if type(value) is list:
        return all(map(in_json, value))  # pyright: ignore[reportUnknownArgumentType]
    return value is None or isinstance(value, str | int)


def described(value: Any) -> Any:
    """Return a value for identities: as it is where JSON holds it, else its text; for want of one, its `repr`, which
    may say less."""
    if in_json(value):
        return value
    try:
        return {PYTHON: literal_text(value)}
    except ValueError:
        return {PYTHON: repr(value)}
