"""The picture of a search that stops bad candidates early: losses by rung, a line for each candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.loss.rung import shown
from optitrip.methods.search.rungs import Halved
from optitrip.output.pictures import general, new_figure, nothing, plain_style, png, set_value_axis
from optitrip.output.text import short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = 2_000
"""Most lines that are drawn: of more candidates, those that got furthest."""
NEARLY_ALIKE = 4.0
"""Largest ratio of losses up to which their axis is linear."""
STOPPED, FINALIST, BEST = "0.72", "C0", "C3"
"""Colours."""


@plain_style
def rungs_png(halved: Halved, title: str, word: str = "loss") -> bytes:
    """Draw the loss of each candidate against the amount of the resource; those that got to its end stand out.

    `word` is the user's for the loss.
    """
    amounts = [float(amount) for amount in halved.halving.amounts]
    figure = new_figure(9, 4.8)
    figure.suptitle(title, fontsize=11)
    axes: Axes = figure.subplots()
    losses = by_level(halved)
    finite = losses[np.isfinite(losses)]
    set_value_axis(axes, finite, best_is_largest=halved.first.maximize)
    low, high = finite.min(), finite.max()
    if axes.get_yscale() == "linear" and low > 0 and high / low > NEARLY_ALIKE:  # last rungs would be one line
        axes.set(yscale="log", ylim=(0.9 * low, 1.1 * high))
        axes.yaxis.set_major_formatter(general)
        axes.yaxis.set_minor_formatter(general)
        axes.tick_params(axis="y", which="both", labelsize=8)
    best, *others = halved.finalists.tolist()
    stopped = np.setdiff1d(halved.order[:LINES], halved.finalists)[::-1]
    draw(axes, amounts, losses[:, stopped], f"stopped ({halved.items - 1 - len(others):,})", STOPPED, 0.7)
    draw(axes, amounts, losses[:, others[:LINES]], f"to the end ({len(others):,})", FINALIST, 1.2)
    draw(axes, amounts, losses[:, [best]], f"best: candidate {best:,}", BEST, 2.0)
    axes.set(xscale="log", xlabel=halved.halving.argument, ylabel=short_name(word))
    axes.set_xticks(amounts, [shown(amount) for amount in halved.halving.amounts])
    axes.xaxis.set_minor_formatter(nothing)
    axes.tick_params(axis="x", which="minor", length=0)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    lines, labels = axes.get_legend_handles_labels()
    known = dict(zip(labels, lines, strict=True))
    figure.legend(known.values(), known, loc="outside lower left", ncols=4, fontsize=8, frameon=False)
    figure.text(0.99, 0.015, halved.cost_words(), ha="right", fontsize=8, color="0.35")
    return png(figure)


def by_level(halved: Halved) -> Array:
    """Return losses of shape (amounts, candidates); NaN where a candidate was not evaluated, or failed."""
    losses = np.full((len(halved.halving.amounts), halved.items), np.nan)
    for rung in halved.rungs:
        losses[rung.level, rung.index] = np.where(np.isfinite(rung.loss), rung.loss, np.nan)
    return losses


def draw(axes: Axes, amounts: list[float], losses: Array, label: str, colour: str, width: float) -> None:
    """Draw the lines of some candidates; one that was evaluated once is a dot."""
    if not losses.shape[1]:
        return
    style: dict[str, Any] = {"color": colour, "linewidth": width, "marker": ".", "markersize": 3 + 2 * width}
    axes.plot(amounts, losses, label=label, **style)
