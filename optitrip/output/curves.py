"""Curves of the loss against the evaluations that it took, several on one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.output.pictures import general, new_figure, nothing, plain_style, png, set_value_axis, thousands
from optitrip.output.text import short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 4_000
"""Most points of a line: the picture has 1,080 columns."""
STYLES = ("-", "--", "-.", ":")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Colours that survive printing in grey and can be told apart by all (M. Okabe, K. Ito, 2008)."""
WIDE = 200.0
"""Ratio of the largest to the smallest number of evaluations from which their axis is logarithmic."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Losses after numbers of evaluations, float64 of the same shape, ascending."""

    evaluations: Array
    losses: Array
    staircase: bool = False
    """True if the loss stays as it is until the next point."""

    def after(self, evaluations: float) -> Curve:
        """Return the curve of what began only after so many evaluations."""
        return Curve(self.evaluations + evaluations, self.losses, self.staircase)


@plain_style
@ours()
def curves_png(curves: Mapping[str, Curve], title: str, *, maximize: bool = False) -> bytes:
    """Draw curves by name on one page, as a PNG."""
    figure = new_figure(9, 4.8)
    figure.suptitle(title, fontsize=11)
    axes = figure.add_subplot()
    draw_curves(axes, curves, maximize=maximize)
    return png(figure)


def draw_curves(axes: Axes, curves: Mapping[str, Curve], *, maximize: bool = False) -> None:
    """Draw curves with their best points and a legend."""
    known = {name: curve for name, curve in curves.items() if np.isfinite(curve.losses).any()}
    if not known:
        return
    losses = np.concatenate([curve.losses[np.isfinite(curve.losses)] for curve in known.values()])
    set_value_axis(axes, losses, best_is_largest=maximize)
    spent = np.concatenate([curve.evaluations for curve in known.values()])
    if (spent > 0).any() and spent.max() > WIDE * spent[spent > 0].min():
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(nothing)
        axes.xaxis.set_major_formatter(general if spent.max() < 1e4 else thousands)
    else:
        axes.xaxis.set_major_formatter(thousands)
    for number, (name, curve) in enumerate(known.items()):
        rows = np.flatnonzero(np.isfinite(curve.losses))
        rows = rows if len(rows) <= MOST else rows[np.unique(np.linspace(0, len(rows) - 1, MOST).astype(int))]
        x, y = curve.evaluations[rows], curve.losses[rows]
        best = int(np.argmax(y) if maximize else np.argmin(y))
        colour, style = COLOURS[number % len(COLOURS)], STYLES[number // len(COLOURS) % len(STYLES)]
        label = f"{short_name(name)}: {y[best]:.4g}"
        if curve.staircase:
            axes.step(x, y, where="post", color=colour, linestyle=style, linewidth=1.4, label=label)
        else:
            axes.plot(x, y, color=colour, linestyle=style, linewidth=1.4, label=label)
        axes.plot(x[best], y[best], "o", color=colour, markersize=4)
    axes.set(xlabel="evaluations of the loss", ylabel="loss")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, frameon=False)
