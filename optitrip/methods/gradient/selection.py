"""Reads which coordinates are wanted: "W", "W[3, :]", or a list of such."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from optitrip.core.arrays import Array

Shapes = Mapping[str, Sequence[int]]


def selected(wanted: str | Iterable[str], shapes: Shapes) -> Array:
    """Return the flat coordinates of some entries of the varied variables, int64, ascending and each once.

    Raises ValueError, with what was wanted instead, for an unknown variable, an index that is none, or no entry.
    """
    chosen = [entries(one, shapes) for one in ([wanted] if isinstance(wanted, str) else wanted)]
    found = np.unique(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)
    if not len(found):
        raise ValueError("selects no coordinate")
    return found.astype(np.int64)


def entries(wanted: str, shapes: Shapes) -> Array:
    """Return the flat coordinates of one selection."""
    match = re.fullmatch(r"(.*?)\[([^\[\]]*)\]", wanted, re.DOTALL)
    name, inside = (wanted, "...") if wanted in shapes or match is None else match.groups()
    if name not in shapes:
        raise ValueError(f"{wanted!r}: there is no variable {name!r}; wanted one of {', '.join(shapes)}")
    first = 0
    for other, shape in shapes.items():
        if other == name:
            break
        first += int(np.prod(shape, dtype=np.int64))
    shape = tuple(shapes[name])
    every: Any = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    try:
        return first + every[tuple(axis(part.strip()) for part in inside.split(","))].ravel()
    except (ValueError, IndexError) as error:
        wants = f"{name} has shape {list(shape)}; wanted e.g. {example(name, shape)!r}"
        raise ValueError(f"{wanted!r}: {wants} ({error})") from None


def axis(text: str) -> object:
    """Return the index of one axis: a whole number, a slice, or the dots that stand for all other axes."""
    if text == "...":
        return ...
    parts = [int(part) if part.strip() else None for part in text.split(":")]
    if len(parts) > 3 or parts == [None]:
        raise ValueError("an index is a whole number, or a slice start:stop:step")
    return slice(*parts) if len(parts) > 1 else parts[0]


def example(name: str, shape: Sequence[int]) -> str:
    return f"{name}[{', '.join(['0', *':' * (len(shape) - 1)])}]" if shape else name
