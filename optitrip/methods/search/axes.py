"""The axes of an HTML report, as plotly.js takes them."""

from collections.abc import Mapping
from html import escape, unescape
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, Coded, Column
from optitrip.methods.importance import numbers
from optitrip.output.text import short_name
from optitrip.space.variables import Variable

LOG_AXIS = {"type": "log", "tickformat": "~g"}
"""Logarithmic axis whose ticks are all written in full, not "2" for 0.002."""

ABSENT_TEXT = "absent"
"""Text of the tick for candidates that do not have a parameter."""


class Losses:
    """The losses of the drawn candidates, the others before the best, and their axis."""

    def __init__(self, values: Array, others: int, word: str, *, log: bool, maximize: bool) -> None:
        self.values, self.others = values, others
        low, high = np.quantile(values, [0.01 if maximize else 0, 1 if maximize else 0.99])
        ends = np.log10([low, high]) if log else np.array([low, high])
        room = 0.06 * (ends[1] - ends[0]) or 0.06 * abs(ends[0]) or 1.0
        low, high = ends[0] - room, ends[1] + room
        self.range = short([low, high])
        edge = high - 0.02 * (high - low)
        self.top = 10**edge if log else edge
        self.axis: dict[str, Any] = {
            "title": titled(word),
            "zeroline": False,
            "range": self.range,
            **(LOG_AXIS if log else {"exponentformat": "e"}),
        }


def axis_of(variable: Variable, column: Column) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": titled(label(variable.name)), "zeroline": False}
    if isinstance(column, Coded):
        texts = [label(str(option)) for option in column.words]
        if variable.when and not texts[-1]:
            texts[-1] = ABSENT_TEXT
        return axis | {"tickvals": list(range(len(texts))), "ticktext": texts, "range": [-0.6, len(texts) - 0.4]}
    return axis | (LOG_AXIS if is_log(variable) else {})


def label(name: str) -> str:
    """Return a name of the user's for a figure, in which plotly.js would take some tags for formatting."""
    return escape(short_name(name), quote=False)


def titled(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 4}


def is_log(variable: Variable) -> bool:
    return variable.word.startswith("log_")


def dimension(axis: Mapping[str, Any], column: Column, rows: Array) -> dict[str, Any]:
    """Return an axis of parallel coordinates; logarithms are drawn, since it has no logarithmic scale."""
    kept = {key: axis[key] for key in ("tickvals", "range") if key in axis}
    found, values = {"label": axis["title"]["text"], **kept}, numbers(column)[rows]
    if "ticktext" in axis:  # plotly.js decodes names, but not these
        found["ticktext"] = [unescape(text) for text in axis["ticktext"]]
    absent = np.isnan(values)
    if axis.get("type") != "log":
        if not absent.any() or absent.all():
            return {**found, "values": short(values)}
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return {**found, **with_absent(values, absent, np.unique(np.linspace(low, high, 6)))}
    logs = np.log10(values)
    known = logs[np.isfinite(logs)]  # a log-normal number may round to 0
    low, high = kept.get("range") or ((float(known.min()), float(known.max())) if len(known) else (0.0, 1.0))
    ticks = log_ticks(low, high)
    if absent.any() and len(known):
        return {**found, **with_absent(logs, absent, ticks, logarithmic=True)}
    texts = [f"{10**tick:.6g}" for tick in ticks]
    # The ends have ticks without a text, since plotly.js draws the axis from its first tick to its last.
    return {**found, "values": short(logs), "tickvals": short([low, *ticks, high]), "ticktext": ["", *texts, ""]}


def with_absent(values: Array, absent: Array, ticks: Array, *, logarithmic: bool = False) -> dict[str, Any]:
    """Return values and ticks of an axis with a place of its own, below all others, for candidates without the
    parameter; plotly.js would draw their lines through 0."""
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    place = low - (0.15 * (high - low) or 1.0)
    texts = [f"{10**tick if logarithmic else tick:.4g}" for tick in ticks]
    marks, words = [place, *ticks, high], [ABSENT_TEXT, *texts, ""]
    return {"values": short(np.where(absent, place, values)), "tickvals": short(marks), "ticktext": words}


def log_ticks(low: float, high: float) -> Array:
    """Return the logarithms of round numbers in a range of logarithms; of its ends, if there are fewer than three."""
    decades = np.arange(np.floor(low), np.ceil(high) + 1)[:: max(1, int(high - low) // 8)]
    for factors in ([1], [1, 2, 5], range(1, 10)):
        ticks = np.add.outer(decades, np.log10(factors)).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) > 2:
            return ticks
    return np.array([low, high])


def short(values: Any) -> list[float | None]:
    """Return numbers with six digits, to keep the page small; None, which JSON has, for those that are not finite."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values, float).tolist()]
