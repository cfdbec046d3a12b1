"""Pictures of a result, as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from optitrip.methods.search.method import SearchResult
from optitrip.part import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS = 20_000
MOST_BARS, MOST_VARIABLES = 200, 12


def losses_png(result: SearchResult, title: str) -> bytes:
    """Losses by index as dots, and the best so far as a line; at most about twenty thousand dots."""

    finite = np.isfinite(result.loss)
    index, loss = result.index[finite], result.loss[finite]
    stride = 1 + len(index) // DOTS
    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    label = f"loss (every {stride:,}. shown)" if stride > 1 else "loss"
    axes.plot(index[::stride], loss[::stride], ".", markersize=2, color="0.65", label=label, rasterized=True)
    steps = np.append(result.low_index, result.items - 1)
    lows = np.append(result.low_loss, result.low_loss[-1])
    axes.step(steps, lows, where="post", color="C3", label="largest so far" if result.maximize else "smallest so far")
    axes.plot(result.best_index[0], result.best_loss[0], "o", color="C3", markersize=5)
    best = f"{result.best_loss[0]:.6g} at {int(result.best_index[0]):,}"
    above = result.maximize
    axes.annotate(
        best, (result.best_index[0], result.best_loss[0]), (0, 8 if above else -8), textcoords="offset points",
        ha="center", va="bottom" if above else "top", color="C3",
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
    )  # fmt: skip
    if len(loss):
        # A few losses far from the rest would leave no room for the others.
        low, high = np.quantile(loss, [0.005, 1] if result.maximize else [0, 0.995])
        room = 0.1 * (high - low) or 1.0
        if np.isfinite([low - room, high + room]).all():
            axes.set_ylim(low - room, high + room)
    axes.set(xlabel="candidate", ylabel="loss", title=title)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="lower right" if result.maximize else "upper right", framealpha=0.9)
    return png(figure)


def gradient_png(gradient: Mapping[str, Array], images: Mapping[str, Array], title: str) -> bytes:
    """A row of images where there are some; else heat maps of arrays with two axes or more and bars of the rest.

    Entries that are missing stay white in heat maps and have no bar.
    """
    if images:
        return images_png(images, title)
    shown = dict(list(gradient.items())[:MOST_VARIABLES])
    scalars = {name: float(values) for name, values in shown.items() if not values.ndim}
    panels: list[tuple[str, Any]] = [(name, values) for name, values in shown.items() if values.ndim]
    panels += [("scalars", scalars)] if scalars else []
    figure = new_figure(8, 1 + 2.5 * len(panels))
    for number, (name, values) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, number)
        if isinstance(values, dict):
            axes.bar(list(scalars), list(scalars.values()), color="C0")
            axes.axhline(0, color="0.7", linewidth=0.8)
            axes.set_ylabel("df")
        elif values.ndim == 1 and values.size <= MOST_BARS:
            axes.bar(np.arange(values.size), values, color="C0")
            axes.axhline(0, color="0.7", linewidth=0.8)
            axes.set(xlabel=f"entry of {name}", ylabel=f"d{name}")
        else:
            table = values.reshape(len(values) if values.ndim > 1 else 1, -1)
            picture = axes.imshow(table, aspect="auto", interpolation="nearest", cmap="RdBu_r", **even(table))
            figure.colorbar(picture, ax=axes, label=f"d{name}")
            axes.set(xlabel=f"column of {name}", ylabel="row")
    figure.suptitle(title)
    return png(figure)


def images_png(images: Mapping[str, Array], title: str) -> bytes:
    """Pictures by title in a row: grey ones in red and blue around zero on one scale, coloured ones each on its own."""
    figure = new_figure(1.4 * len(images), 2.2)
    grey = [image for image in images.values() if image.ndim == 2]
    scale: dict[str, Any] = even(np.concatenate([image.ravel() for image in grey])) if grey else {}
    for number, (name, image) in enumerate(images.items(), 1):
        axes = figure.add_subplot(1, len(images), number)
        axes.imshow(image if image.ndim == 2 else stretched(image), cmap="RdBu_r", interpolation="nearest", **scale)
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    figure.suptitle(title, fontsize=10)
    return png(figure)


def even(values: Array) -> dict[str, Any]:
    """A range of colours with zero in its middle."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    return {"vmin": -largest, "vmax": largest}


def stretched(image: Array) -> Array:
    """Colours from the smallest entry, 0, to the largest, 1; what is missing is white."""
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return np.nan_to_num((image - low) / ((high - low) or 1.0), nan=1.0)


def new_figure(width: float, height: float) -> Figure:
    """Of these inches."""
    from matplotlib.figure import Figure  # not pyplot: no global figures, no display

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def html(text: str, pictures: Sequence[Callable[[], bytes]]) -> str:
    """A text and pictures below it, for notebooks; a picture that cannot be drawn is left out."""
    shown: list[str] = []
    for draw in pictures:
        with suppress(Exception):
            shown.append(f'<img src="data:image/png;base64,{base64.b64encode(draw()).decode()}">')
    return "\n".join([f"<pre>{escape(text)}</pre>", *shown])
