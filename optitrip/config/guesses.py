"""Guesses of a distribution for a parameter, from its type or its default."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
import tomlkit
from tomlkit.items import Item

from optitrip.space.variables import Variable

Entry = dict[str, Any]

ARRAYS = re.compile(r"ndarray|Array|[Ll]ist\b|[Tt]uple\b|Sequence")
"""Pattern in the text of an array annotation: NumPy's, jaxtyping's and Python's own all match somewhere."""
SCALARS = {"bool": bool, "int": int, "float": float, "str": str}


def toml(value: Any) -> Item:
    """Convert a value to a TOML item, a dict to an inline table; raise ValueError or TypeError if TOML has no such."""
    if isinstance(value, Enum):
        raise ValueError("an Enum")  # one that is a str too would come back as a plain str
    item = tomlkit.item(value)
    if isinstance(value, dict):
        item = tomlkit.inline_table().add(tomlkit.ws(" "))
        item.update(value)  # pyright: ignore[reportUnknownArgumentType]
        item.add(tomlkit.ws(" "))
    item.as_string().encode()  # raises a ValueError for half of a surrogate pair
    return item


def for_type(kind: Any) -> tuple[Entry, str]:
    """Return a distribution for values of a type, and a comment for the user."""
    if options := literals(kind):
        return {"choice": options}, ""
    if ARRAYS.search(str(kind)):
        return {"shape": [3], "normal": [0, 1]}, "set the shape"
    if not inspect.isclass(kind) or kind is inspect.Parameter.empty:
        return {"normal": [0, 1]}, "a guess: the type is unknown"
    if issubclass(kind, bool):
        return {"choice": [True, False]}, ""
    if issubclass(kind, int | np.integer):
        return {"integer": [1, 10]}, ""
    if issubclass(kind, str):
        return {"choice": ["..."]}, "fill in the strings to choose from"
    return {"normal": [0, 1]}, ""


def around(default: Any, kind: Any) -> Entry | None:
    """Return a distribution around a default, or None if no sweep file can hold the default.

    An integer is varied from 1 to twice its value; a positive float far from 1 by a factor of 10 either way; any other
    float from half to twice its value. Where that range is too wide, as near the largest numbers, the default alone
    is used.
    """
    if isinstance(default, np.generic | np.ndarray) and not default.ndim:
        default = default.item()
    if isinstance(default, Enum):
        return None
    entry: Entry = {}
    match default:
        case str() | int() | float() if options := literals(kind):
            entry = {"choice": options}
        case bool():
            entry = {"choice": [True, False]}
        case int():
            entry = integers(default, default)
        case float() if not default:
            entry = {"normal": [0, 1]}
        case float() if 0 < default < 1e-1 or default > 1e3:
            entry = {"log_uniform": [short(default / 10), short(default * 10)]}
        case float():
            entry = {"uniform": sorted([short(default / 2), short(default * 2)])}
        case list() | tuple() | np.ndarray():
            entry = array(default)
        case _:
            pass
    for attempt in (entry, {"choice": [default]}):
        try:
            Variable.parse("x", attempt)
            toml(attempt)
        except (ValueError, TypeError):
            continue
        return attempt
    return None


def array(default: Any) -> Entry:
    """Return a distribution around the mean of an array, or over the range of its integers; {} if not numeric."""
    try:
        values = np.asarray(default)
    except ValueError:  # ragged
        return {}
    if values.dtype.kind not in "iuf" or not values.size:
        return {}
    if values.dtype.kind != "f":
        return {"shape": list(values.shape), **integers(int(values.min()), int(values.max()))}
    with np.errstate(all="ignore"):  # an overflow gives no valid distribution
        mean, deviation = short(values.mean(dtype=float)), short(values.std(dtype=float))
    return {"shape": list(values.shape), "normal": [mean, deviation or abs(mean) or 1]}


def integers(low: int, high: int) -> Entry:
    return {"integer": [min(1, 2 * low), max(1, 2 * high)]}


def short(value: float) -> float:
    """Round to three digits, enough for a guess."""
    return float(f"{value:.3g}")


def literals(kind: Any) -> list[Any]:
    """Return the values of a Literal that a sweep file can hold."""
    options = get_args(kind) if get_origin(kind) is Literal else ()
    return [option for option in options if isinstance(option, str | int) and not isinstance(option, Enum)]


def unwrapped(annotation: Any) -> Any:
    """Return the type inside Annotated or Optional, or the scalar type that a string names."""
    if isinstance(annotation, str):
        return SCALARS.get(annotation, annotation)
    arguments = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is Annotated or (get_origin(annotation) in (Union, UnionType) and len(arguments) == 1):
        return unwrapped(arguments[0])
    return annotation
