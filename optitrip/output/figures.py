"""Pictures of a result, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optitrip.core.arrays import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def images_png(images: Mapping[str, Array], title: str) -> bytes:
    """Draw images by title in a row: grey ones in red and blue on one scale around zero, coloured ones on their own."""
    figure = new_figure(1.4 * len(images), 2.2)
    grey = [image for image in images.values() if image.ndim == 2]
    scale: dict[str, Any] = even_scale(np.concatenate([image.ravel() for image in grey])) if grey else {}
    for number, (name, image) in enumerate(images.items(), 1):
        axes = figure.add_subplot(1, len(images), number)
        axes.imshow(image if image.ndim == 2 else rescaled(image), cmap="RdBu_r", interpolation="nearest", **scale)
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    figure.suptitle(title, fontsize=10)
    return png(figure)


def even_scale(values: Array) -> dict[str, Any]:
    """Return a range of colours with zero in its middle, as arguments of `imshow`."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    return {"vmin": -largest, "vmax": largest}


def rescaled(image: Array) -> Array:
    """Rescale colours from the smallest entry, 0, to the largest, 1; missing entries become white."""
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return np.nan_to_num((image - low) / ((high - low) or 1.0), nan=1.0)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure  # not pyplot: no global figures, no display

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
