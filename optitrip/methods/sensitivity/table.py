"""The evaluated points of the design as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, Coded, Column, joined
from optitrip.core.failures import Failures
from optitrip.core.part import Part
from optitrip.methods.sensitivity.design import Saltelli
from optitrip.output.tables import merged_columns, status
from optitrip.space.columns import scalar_columns


def point_table(design: Saltelli, index: Array, numbers: dict[str, Any], failures: Failures) -> dict[str, Column]:
    """Return index, row, place in the row, loss, status, other outputs and scalar variables of points, ascending."""
    row, place = np.divmod(index, design.width)
    places = Coded(place.astype(np.int32), [design.place_name(number) for number in range(design.width)])
    numbers = dict(numbers)
    heads: dict[str, Column] = {"index": index, "row": row, "point": places, "loss": numbers.pop("loss")}
    return merged_columns(heads, {"status": status(failures, index)}, numbers, scalar_columns(design, index))


def stored_points(design: Saltelli, parts: Sequence[Part]) -> dict[str, Column]:
    """Return the table of ascending parts, which may have gaps between them; no columns without parts."""
    if not parts:
        return {}
    index = np.concatenate([np.arange(part.items.start, part.items.stop) for part in parts])
    failures = Failures().then(*(part.failures for part in parts))
    return point_table(design, index, joined([part.columns for part in parts], "loss", ""), failures)


def best_points(columns: Mapping[str, Column], count: int, *, maximize: bool) -> dict[str, Column]:
    """Return the rows of the smallest finite losses, or the largest, the best first; ties in order of rows."""
    if not columns:
        return {}
    losses = np.asarray(columns["loss"])
    rows = np.flatnonzero(np.isfinite(losses))
    rows = rows[np.argsort(-losses[rows] if maximize else losses[rows], kind="stable")][:count]
    return {name: chosen(column, rows) for name, column in columns.items() if name != "status"}


def chosen(column: Column, rows: Array) -> Column:
    """Return some rows of a column."""
    return Coded(column.codes[rows], column.words) if isinstance(column, Coded) else column[rows]
