"""The picture of Sobol' indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.output.pictures import new_figure, plain_style, png
from optitrip.output.text import short_name

MOST_BARS = 24
"""Most variables that are drawn."""
Z = 1.96
"""Standard errors in half a 95 % interval."""


@plain_style
def indices_png(names: Sequence[str], first: tuple[Array, Array], total: tuple[Array, Array], title: str) -> bytes:
    """Draw first-order and total indices, each with its standard errors, as pairs of bars with 95 % intervals."""
    names = names[:MOST_BARS]
    places = np.arange(len(names))
    figure = new_figure(8, 1.6 + 0.45 * len(names))
    axes = figure.add_subplot()
    for side, (values, errors), label, colour in ((-1, first, "alone", "#4c78a8"), (1, total, "in all", "#c9d7e8")):
        values, bars = values[: len(names)], Z * errors[: len(names)]
        kept: dict[str, Any] = {
            "color": colour,
            "edgecolor": "#4c78a8",
            "linewidth": 0.8,
            "ecolor": "0.2",
            "capsize": 2,
        }
        axes.barh(places + 0.2 * side, values, 0.38, xerr=bars, label=label, **kept)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_yticks(places, [short_name(name) for name in names], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("share of the variance of the loss, with 95 % intervals")
    axes.legend(fontsize=8, loc="lower right")
    figure.suptitle(title, fontsize=11)
    return png(figure)
