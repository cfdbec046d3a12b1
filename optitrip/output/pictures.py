"""Pictures as PNG: the style, rows of images, and colours. The only file that imports matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.output.text import short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


P = ParamSpec("P")
DIVERGING, NEGATIVE, POSITIVE = "RdBu_r", "#2f79b5", "#b6212f"
"""Colour map from negative, blue, to positive, red, and the colours of bars."""


def plain_style(draw: Callable[P, bytes]) -> Callable[P, bytes]:
    """Have a function draw in matplotlib's own style, whatever the user has chosen for other pictures."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> bytes:
        import matplotlib

        with ours(), matplotlib.rc_context():
            matplotlib.rcdefaults()
            return draw(*args, **kwargs)

    return drawn


IMAGES_A_ROW = 5


@plain_style
def images_png(images: Mapping[str, Array], title: str) -> bytes:
    """Draw images by title on one scale centred on zero, with its colour bar; an image of one row is drawn as bars.

    Grey images are blue to red. In coloured ones grey is zero, and each colour has the scale.
    """
    bars = {name: image for name, image in images.items() if len(image) == 1 and image.ndim == 2}
    pictures = {name: image for name, image in images.items() if name not in bars} or bars
    bars = bars if pictures is not bars else {}
    largest = even_scale(np.concatenate([np.ravel(image) for image in pictures.values()]))["vmax"]
    columns = min(len(pictures), IMAGES_A_ROW)
    rows = -(-len(pictures) // columns)
    figure = new_figure(1.5 * columns + 1.5, 1.7 * rows + 0.6 + 1.3 * len(bars))
    grid = figure.add_gridspec(rows + len(bars), columns, height_ratios=[1.0] * rows + [0.7] * len(bars))
    drawn: list[Any] = []
    for number, (name, image) in enumerate(pictures.items()):
        axes = figure.add_subplot(grid[divmod(number, columns)])
        scaled = image if image.ndim == 2 else centred(image, largest)
        drawn += [axes.imshow(scaled, cmap=DIVERGING, interpolation="nearest", vmin=-largest, vmax=largest)]
        axes.set_title(short_name(name), fontsize=9)
        axes.set_axis_off()
    bar = figure.colorbar(drawn[0], ax=figure.axes, shrink=0.9, aspect=30)
    if any(image.ndim == 3 for image in pictures.values()):  # one column of the bar for each colour
        levels = np.zeros((256, 3, 3))
        levels[:, range(3), range(3)] = np.linspace(-largest, largest, 256)[:, np.newaxis]
        bar.ax.imshow(
            centred(levels, largest), aspect="auto", origin="lower", extent=(0, 1, -largest, largest), zorder=9
        )
    for number, (name, image) in enumerate(bars.items(), rows):
        axes = figure.add_subplot(grid[number, :])
        draw_bars(axes, list(pictures) if len(pictures) == image.size else list(range(image.size)), image[0])
        axes.set_ylabel(short_name(name), fontsize=9)
    figure.suptitle(title, fontsize=11)
    return png(figure)


def draw_bars(axes: Axes, names: Sequence[Any], values: Array) -> None:
    """Draw named values as bars, with each value written at its end; a missing one is said to be."""
    known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    places = np.arange(len(known))
    axes.bar(places, known, color=np.where(known > 0, POSITIVE, NEGATIVE), width=0.6)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xticks(places, [short_name(str(name)) for name in names], fontsize=8)
    axes.margins(y=0.25)
    middle, half = (len(known) - 1) / 2, max(len(known), 4) / 2  # a bar alone is no wider than one of four
    axes.set_xlim(middle - half, middle + half)
    for place, value in zip(places, values.tolist(), strict=True):
        text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}") if np.isfinite(value) else "missing"
        up = not value < 0
        axes.annotate(text, (place, known[place]), (0, 2 if up else -2), textcoords="offset points", fontsize=8,
                      ha="center", va="bottom" if up else "top")  # fmt: skip


def even_scale(values: Array) -> dict[str, Any]:
    """Return a colour range centred on zero, as arguments of `imshow`."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    return {"vmin": -largest, "vmax": largest}


def centred(image: Array, largest: float) -> Array:
    """Map colours from -largest, 0, over zero, a middle grey, to largest, 1; missing entries become white."""
    return np.nan_to_num(np.clip(0.5 + image / (2 * largest), 0, 1), nan=1.0)


WIDE_RATIO, WIDE_SIGNED = 30.0, 1_000.0
"""Ratios of large to small values from which an axis is logarithmic: if all have one sign, and if not."""


def set_value_axis(axes: Axes, values: Array, *, best_is_largest: bool) -> int:
    """Scale and limit the y axis for values, logarithmic where they span decades, with room for a label beside the
    best; return how many, far from the best, lie beyond it."""
    low, high = np.quantile(values, [0.005, 1] if best_is_largest else [0, 0.995])
    within = values[(values >= low) & (values <= high)]
    sizes = np.abs(within[within != 0])
    if len(sizes) and low > 0 and high / low > WIDE_RATIO:
        axes.set_yscale("log")
    elif len(sizes) and sizes.max() / np.quantile(sizes, 0.05) > WIDE_SIGNED:
        axes.set_yscale("symlog", linthresh=10.0 ** np.ceil(np.log10(np.quantile(sizes, 0.05))))
    scale = axes.yaxis.get_transform()
    ends = scale.transform(np.array([low, high]))
    width = (ends[1] - ends[0]) or max(1e-3 * abs(ends[0]), 1e-3)
    near, away = 0.14 * width, 0.08 * width
    limits = scale.inverted().transform(ends + ([-away, near] if best_is_largest else [-near, away]))
    if np.isfinite(limits).all():
        axes.set_ylim(*limits)
    low, high = axes.get_ylim()
    if axes.get_yscale() != "linear":  # matplotlib's own labels are formulas, which pictures do not have
        axes.yaxis.set_major_formatter(general)
        axes.yaxis.set_minor_formatter(nothing)
    elif 1e4 <= np.abs(limits).max() < 1e9 and width >= 10:
        axes.yaxis.set_major_formatter(thousands)
    return int(np.count_nonzero((values < low) | (values > high)))


def thousands(value: float, place: object) -> str:
    del place
    return f"{value:,.0f}"


def general(value: float, place: object) -> str:
    del place
    return f"{value:g}"


def nothing(value: float, place: object) -> str:
    del value, place
    return ""


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
