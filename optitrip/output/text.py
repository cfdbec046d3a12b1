"""Values and failures in words, for people."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures

if TYPE_CHECKING:
    from optitrip.core.method import Items

SHOWN_ENTRIES, SHOWN_VARIABLES = 8, 12


def show(value: Any) -> str:
    """A value for a reader, in a line or two."""
    if isinstance(value, np.ndarray) and value.ndim:
        array: Array = value
        if array.size > SHOWN_ENTRIES and array.dtype.kind in "fiu":
            return f"array of shape {array.shape}, from {array.min():.4g} to {array.max():.4g}"
        return np.array2string(array, threshold=SHOWN_ENTRIES, edgeitems=2).replace("\n", "")
    return reprlib.repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)


def figure(name: str, value: float) -> str:
    """A figure of a report, by its name."""
    return f"{100 * value:.2f} %" if name.endswith("accuracy") and 0 <= value <= 1 else f"{value:.6g}"


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures for JSON, which has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def rows_of(values: Mapping[str, Array]) -> list[tuple[str, str]]:
    """One line a variable of one point, given as a batch of one; the first dozen."""
    return [(f"  {name}", show(batch[0])) for name, batch in list(values.items())[:SHOWN_VARIABLES]]


def told(failures: Failures | None, items: Items | None, index: int | None = None, what: str = "") -> str:
    """Show the first failure as it was raised, with the parameters of the point that failed; empty without one.

    Where it is not known which of an item's points failed, all are shown.

    Args:
        failures: of a stage.
        items: of that stage.
        index: of the item, where those of the stage are others.
        what: failed of it.
    """
    first = failures.first() if failures else None
    if first is None or items is None:
        return ""
    kind, record = first
    at = record.index if index is None else index
    sides = range(items.sides(at)) if record.side is None else [record.side]
    parameters = "\nor\n".join(
        "\n".join(f"  {name} = {show(values[0])}" for name, values in items.point(at, side).items()) for side in sides
    )
    said = record.traceback.rstrip() or record.message
    return f"\n{items.title(at, record.side)} ({f'{what} ' if what else ''}{kind}), with\n{parameters}\n{said}"
