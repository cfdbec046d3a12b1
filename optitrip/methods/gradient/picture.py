"""The picture of a gradient."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.output.pictures import DIVERGING, draw_bars, even_scale, images_png, new_figure, plain_style, png
from optitrip.output.text import short_name

MOST_BARS, MOST_VARIABLES = 200, 12
MOST_NAMED = 20
"""Most bars with a name and a value."""
MOST_DRAWN = 2**20
"""Most rows or columns of an array that are drawn; matplotlib itself leaves some out above 2^23, with a warning."""


@plain_style
def gradient_png(gradient: Mapping[str, Array], images: Mapping[str, Array], title: str) -> bytes:
    """Draw a row of images if there are any; else heat maps of arrays with two axes or more, where missing entries stay
    white, and bars for the rest."""
    if images:
        return images_png(images, title)
    shown = dict(list(gradient.items())[:MOST_VARIABLES])
    scalars = {short_name(name): float(values) for name, values in shown.items() if not values.ndim}
    panels: list[tuple[str, Any]] = [(short_name(name), values) for name, values in shown.items() if values.ndim]
    panels += [("scalars", scalars)] if scalars else []
    figure = new_figure(8, 1 + 2.5 * len(panels))
    for number, (name, values) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, number)
        if isinstance(values, dict):
            draw_bars(axes, list(scalars), np.array(list(scalars.values())))
            axes.set_ylabel("derivative")
        elif values.ndim == 1 and values.size <= MOST_NAMED:
            draw_bars(axes, range(values.size), values)
            axes.set(xlabel=f"entry of {name}", ylabel=f"d{name}")
        elif values.ndim == 1 and values.size <= MOST_BARS:
            axes.bar(np.arange(values.size), values, color="C0")
            axes.axhline(0, color="0.7", linewidth=0.8)
            axes.set(xlabel=f"entry of {name}", ylabel=f"d{name}")
        else:
            table = values.reshape(len(values) if values.ndim > 1 else 1, -1)
            rows, columns = table.shape
            some = table[:: 1 + rows // MOST_DRAWN, :: 1 + columns // MOST_DRAWN]
            place = (-0.5, columns - 0.5, rows - 0.5, -0.5)
            picture = axes.imshow(
                some, aspect="auto", interpolation="nearest", cmap=DIVERGING, extent=place, **even_scale(table)
            )
            figure.colorbar(picture, ax=axes, label=f"d{name}")
            axes.set(xlabel=f"column of {name}", ylabel="row")
            axes.locator_params(integer=True)
    figure.suptitle(title)
    return png(figure)
