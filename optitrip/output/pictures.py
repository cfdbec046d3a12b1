"""Pictures as PNG: the style, rows of images, and colours. The only file that imports matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.output.text import short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


P = ParamSpec("P")


def plain_style(draw: Callable[P, bytes]) -> Callable[P, bytes]:
    """Have a function draw in matplotlib's own style, whatever the user has chosen for other pictures."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> bytes:
        import matplotlib

        with ours(), matplotlib.rc_context():
            matplotlib.rcdefaults()
            return draw(*args, **kwargs)

    return drawn


@plain_style
def images_png(images: Mapping[str, Array], title: str) -> bytes:
    """Draw images by title in a row: grey ones on one scale centred on zero, coloured ones each on its own scale."""
    figure = new_figure(1.4 * len(images), 2.2)
    grey = [image for image in images.values() if image.ndim == 2]
    scale: dict[str, Any] = even_scale(np.concatenate([image.ravel() for image in grey])) if grey else {}
    for number, (name, image) in enumerate(images.items(), 1):
        axes = figure.add_subplot(1, len(images), number)
        axes.imshow(image if image.ndim == 2 else rescaled(image), cmap="RdBu_r", interpolation="nearest", **scale)
        axes.set_title(short_name(name), fontsize=9)
        axes.set_axis_off()
    figure.suptitle(title, fontsize=10)
    return png(figure)


def even_scale(values: Array) -> dict[str, Any]:
    """Return a colour range centred on zero, as arguments of `imshow`."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    return {"vmin": -largest, "vmax": largest}


def rescaled(image: Array) -> Array:
    """Rescale colours from the smallest entry, 0, to the largest, 1; missing entries become white."""
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return np.nan_to_num((image - low) / ((high - low) or 1.0), nan=1.0)


def new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # not pyplot: no global figures, no display

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def png(figure: Figure) -> bytes:
    """Draw a figure. Names of the user's in it are no formulas, and letters that the font lacks become boxes."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
