"""Guesses at distributions, from a parameter's type or its default."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from optitrip.config.toml_text import toml
from optitrip.space.variables import Variable

Entry = dict[str, Any]

ARRAYS = re.compile(r"ndarray|Array|[Ll]ist\b|[Tt]uple\b|Sequence")
"""In the text of an annotation: NumPy's, jaxtyping's and Python's own all say it somewhere."""
SCALARS = {"bool": bool, "int": int, "float": float, "str": str}


def guess(kind: Any) -> tuple[Entry, str]:
    """A distribution for values of a type, which is all that is known, and what to say of it."""
    if options := literals(kind):
        return {"choice": options}, ""
    if ARRAYS.search(str(kind)):
        return {"shape": [3], "normal": [0, 1]}, "set the shape"
    if not inspect.isclass(kind) or kind is inspect.Parameter.empty:
        return {"normal": [0, 1]}, "only a guess: its type is not known"
    if issubclass(kind, bool):
        return {"choice": [True, False]}, ""
    if issubclass(kind, int | np.integer):
        return {"integer": [1, 10]}, ""
    if issubclass(kind, str):
        return {"choice": ["..."]}, "fill in the strings to choose from"
    return {"normal": [0, 1]}, ""


def around(default: Any, kind: Any) -> Entry | None:
    """A distribution around a default, or None if no sweep file can hold it.

    For an integer: from 1 to twice it. For a positive float that is far from 1: a decade to either side, else from
    half of it to twice. Where that is too wide, as near the largest numbers, the default alone.
    """
    if isinstance(default, np.generic | np.ndarray) and not default.ndim:
        default = default.item()
    entry: Entry = {}
    match default:
        case Enum():
            return None
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
        except ValueError:
            continue
        return attempt
    return None


def array(given: Any) -> Entry:
    """Entries around the mean of a default's, or in the range of its integers; {} for one that is not of numbers."""
    try:
        values = np.asarray(given)
    except ValueError:  # ragged
        return {}
    if values.dtype.kind not in "iuf" or not values.size:
        return {}
    if values.dtype.kind != "f":
        return {"shape": list(values.shape), **integers(int(values.min()), int(values.max()))}
    with np.errstate(all="ignore"):  # what overflows is refused as no distribution
        mean, deviation = short(values.mean(dtype=float)), short(values.std(dtype=float))
    return {"shape": list(values.shape), "normal": [mean, deviation or abs(mean) or 1]}


def integers(low: int, high: int) -> Entry:
    return {"integer": [min(1, 2 * low), max(1, 2 * high)]}


def short(value: float) -> float:
    """Three digits are enough for a guess."""
    return float(f"{value:.3g}")


def literals(kind: Any) -> list[Any]:
    """The values of a Literal that a sweep file can hold."""
    options = get_args(kind) if get_origin(kind) is Literal else ()
    return [option for option in options if isinstance(option, str | int) and not isinstance(option, Enum)]


def plain(annotation: Any) -> Any:
    """The type inside Annotated, the one beside None, or the one that a text names."""
    if isinstance(annotation, str):
        return SCALARS.get(annotation, annotation)
    arguments = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is Annotated or (get_origin(annotation) in (Union, UnionType) and len(arguments) == 1):
        return plain(arguments[0])
    return annotation
