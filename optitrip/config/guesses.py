"""Guesses the distribution of a parameter from its type or its default."""

import inspect
import math
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
"""Pattern found in every array annotation, whether from NumPy, jaxtyping or Python itself."""
SCALARS = {"bool": bool, "int": int, "float": float, "str": str}


def to_toml(value: Any) -> Item:
    """Convert a value to a TOML item, a dict to an inline table; raise ValueError or TypeError if it has no form."""
    if isinstance(value, Enum):
        raise ValueError("an Enum")  # a str-based Enum would be read back as a plain str
    item = tomlkit.item(value)
    if isinstance(value, dict):
        item = tomlkit.inline_table().add(tomlkit.ws(" "))
        item.update(value)  # pyright: ignore[reportUnknownArgumentType]
        item.add(tomlkit.ws(" "))
    item.as_string().encode()  # raises a ValueError for a lone surrogate
    return item


def for_type(kind: Any) -> tuple[Entry, str]:
    """Return a distribution for values of a type, and a comment for the user."""
    if options := literal_values(kind):
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


def for_default(default: Any, kind: Any) -> Entry | None:
    """Return a distribution around a default, or None if no sweep file can hold the default.

    An integer ranges from 1 to twice its value, a positive float far from 1 over a factor of 10 either way, any other
    float from half to twice its value. If that range overflows, the default is the only choice.
    """
    if isinstance(default, np.generic | np.ndarray) and not default.ndim:
        default = default.item()
    if isinstance(default, Enum):
        return None
    entry: Entry = {}
    match default:
        case str() | int() | float() if options := literal_values(kind):
            entry = {"choice": options}
        case bool():
            entry = {"choice": [True, False]}
        case int():
            entry = integers(default, default)
        case float() if not default:
            entry = {"normal": [0, 1]}
        case float() if 0 < default < 1e-1 or default > 1e3:
            entry = {"log_uniform": [round_guess(default / 10), round_guess(default * 10)]}
        case float():
            entry = {"uniform": sorted([round_guess(default / 2), round_guess(default * 2)])}
        case list() | tuple() | np.ndarray():
            entry = array(default)
        case _:
            pass
    # A choice may hold any literal, but TOML would make a list of a tuple, and infinity alone is no guess.
    scalar = isinstance(default, str | int) or (isinstance(default, float) and math.isfinite(default))
    for attempt in (entry, {"choice": [default]} if scalar else {}):
        try:
            Variable.parse("x", attempt)
            to_toml(attempt)
        except (ValueError, TypeError):
            continue
        return attempt
    return None


def array(default: Any) -> Entry:
    """Return a distribution around the mean of an array, or over the range of integers; {} if it is not numeric."""
    try:
        values = np.asarray(default)
    except ValueError:  # ragged
        return {}
    if values.dtype.kind not in "iuf" or not values.size:
        return {}
    if values.dtype.kind != "f":
        return {"shape": list(values.shape), **integers(int(values.min()), int(values.max()))}
    with np.errstate(all="ignore"):  # an overflow gives no valid distribution
        mean, deviation = round_guess(values.mean(dtype=float)), round_guess(values.std(dtype=float))
    return {"shape": list(values.shape), "normal": [mean, deviation or abs(mean) or 1]}


def integers(low: int, high: int) -> Entry:
    return {"integer": [min(1, 2 * low), max(1, 2 * high)]}


def round_guess(value: float) -> float:
    return float(f"{value:.3g}")


def literal_values(kind: Any) -> list[Any]:
    """Return the values of a Literal that a sweep file can hold."""
    options = get_args(kind) if get_origin(kind) is Literal else ()
    return [option for option in options if isinstance(option, str | int) and not isinstance(option, Enum)]


def unwrap(annotation: Any) -> Any:
    """Return the type inside Annotated or Optional, or the scalar type that a string names."""
    if isinstance(annotation, str):
        return SCALARS.get(annotation, annotation)
    arguments = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is Annotated or (get_origin(annotation) in (Union, UnionType) and len(arguments) == 1):
        return unwrap(arguments[0])
    return annotation
