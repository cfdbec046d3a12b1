"""The picture of slopes along directions."""

import numpy as np

from optitrip.core.arrays import Array
from optitrip.output.pictures import draw_bars, new_figure, plain_style, png

MOST_BARS, MOST_NAMED = 200, 20
"""Most bars, and most that have a name and a value."""


@plain_style
def slopes_png(slopes: Array) -> bytes:
    """Draw slopes, float64 of shape (directions,), as bars of a PNG."""
    figure = new_figure(8, 3.5)
    axes = figure.add_subplot()
    shown = slopes[:MOST_BARS]
    draw_bars(axes, range(len(shown)), shown) if len(shown) <= MOST_NAMED else axes.bar(np.arange(len(shown)), shown)
    axes.set(xlabel="direction", ylabel="slope")
    figure.suptitle("slopes of the loss along the directions")
    return png(figure)
