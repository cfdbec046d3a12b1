"""Strips: rows of images, one for each of several answers, to see what changes from one to the next."""

from collections.abc import Mapping

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.output.pictures import DIVERGING, centred, even_scale, new_figure, plain_style, png
from optitrip.output.text import short_name

MOST = 12
"""Most images in a row."""


@plain_style
@ours()
def strips_png(rows: Mapping[str, Mapping[str, Array]], title: str) -> bytes:
    """Draw rows of images by title, as a PNG; each row has a colour scale of its own, centred on zero."""
    columns = min(MOST, max(map(len, rows.values())))
    figure = new_figure(1.0 * columns + 1.6, 1.15 * len(rows) + 0.7)
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for number, (name, images) in enumerate(rows.items()):
        pictures = {key: image for key, image in images.items() if len(image) > 1}
        pictures = dict(list((pictures or images).items())[:columns])
        largest = even_scale(np.concatenate([np.ravel(image) for image in pictures.values()]))["vmax"]
        for place, axes in enumerate(grid[number]):
            axes.set_xticks([])
            axes.set_yticks([])
            for side in axes.spines.values():
                side.set_visible(False)
            if place < len(pictures):
                key, image = list(pictures.items())[place]
                shown = image if image.ndim == 2 else centred(image, largest)
                axes.imshow(shown, cmap=DIVERGING, interpolation="nearest", vmin=-largest, vmax=largest)
                if not number:
                    axes.set_title(short_name(key), fontsize=8)
        grid[number][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    return png(figure)
