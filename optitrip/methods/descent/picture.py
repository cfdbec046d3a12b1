"""The picture of a descent: the loss and the norm of its gradient, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.descent.trajectory import Trajectory
from optitrip.output.pictures import general, new_figure, nothing, plain_style, png, set_value_axis, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 4_000
"""Most points of a line: the picture has 1,080 columns."""
LOSS, BEST, NORM = "C0", "C3", "0.45"
"""Colours."""


@plain_style
@ours()
def descent_png(path: Trajectory, last: float, title: str, *, maximize: bool = False) -> bytes:
    """Draw the loss against the evaluations that led to it, with its best point, and the norm of the gradient below."""
    figure = new_figure(9, 4.8)
    figure.suptitle(title, fontsize=11)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 1])
    evaluations = path.history["evaluations"]
    losses, spent = path.history["losses"], evaluations
    if np.isfinite(last):
        losses, spent = np.append(losses, last), np.append(spent, path.evaluations)
    finite = np.isfinite(losses)
    rows = thinned(np.flatnonzero(finite))
    if len(rows):
        set_value_axis(top, losses[finite], best_is_largest=maximize)
        top.plot(spent[rows], losses[rows], color=LOSS, linewidth=1.2, marker="." if len(rows) < 60 else "")
    if path.best_step < len(spent):
        place = (spent[path.best_step], path.best_loss)
        top.plot(*place, "o", color=BEST, markersize=5)
        text = f"{path.best_loss:.6g} after {path.best_step:,} steps"
        top.annotate(text, place, (0, -7 if not maximize else 7), textcoords="offset points", color=BEST,
                     fontsize=9, ha="right", va="bottom" if maximize else "top")  # fmt: skip
    top.set_ylabel("loss")
    norms = path.history["norms"]
    rows = thinned(np.flatnonzero(norms > 0))
    bottom.plot(evaluations[rows], norms[rows], color=NORM, linewidth=1.0)
    bottom.set(xlabel="evaluations of the loss", ylabel="norm of gradient")
    if len(rows) and norms[rows].max() > 30 * norms[rows].min():
        log_scale(bottom)
    bottom.xaxis.set_major_formatter(thousands)
    return png(figure)


def log_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(general)
    axes.yaxis.set_minor_formatter(nothing)


def thinned(rows: Array) -> Array:
    """Return at most `MOST` of some rows, evenly, the last included."""
    if len(rows) <= MOST:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, MOST).astype(int))]
