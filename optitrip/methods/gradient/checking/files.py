"""The picture and the table of an analytic gradient beside the numeric one."""

import csv
import io

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.gradient.checking.comparison import Comparison, called
from optitrip.methods.gradient.checking.intervals import MARGIN
from optitrip.output.outcome import Table
from optitrip.output.pictures import general, new_figure, nothing, plain_style, png

TABLE_ROWS, MOST_POINTS, MOST_ROWS = 8, 20_000, 1_000
"""Most coordinates in the printed table, the picture and the file, those with the largest disagreement."""
LEAST = 1e-300
HEADS = ("coordinate", "analytic", "numeric", "error", "step", "relative", "called", "wrong")


def comparison_table(comparison: Comparison) -> Table:
    """Return a table of the coordinates with the largest disagreement."""
    found, result = comparison.result.found, comparison.result
    columns: list[list[str]] = []
    for row in comparison.worst(TABLE_ROWS):
        kink = comparison.at_kinks[row]
        error = "kink" if kink else f"{found.error[row]:.1g}"
        relative = "" if kink or not comparison.told[row] else f"{comparison.relative[row]:.2g}"
        verdict = "WRONG" if comparison.wrong[row] else "" if comparison.clear[row] else "below the error"
        name = result.center.title(int(result.coordinates[row]))
        numbers = [f"{comparison.analytic[row]:.8g}", f"{found.value[row]:.8g}", error, f"{result.step[row]:.1g}"]
        columns.append([name, *numbers, relative, "" if kink and not comparison.wrong[row] else verdict])
    return ["", "analytic", "numeric", "error", "step", "relative", "verdict"], columns


@plain_style
@ours()
def comparison_png(comparison: Comparison, title: str) -> bytes:
    """Draw the difference of both gradients and what explains it, against the size of the numeric one, as a PNG."""
    rows = comparison.worst(MOST_POINTS)
    numeric, error = comparison.result.found.value[rows], comparison.result.found.error[rows]
    difference, wrong = np.abs(comparison.analytic[rows] - numeric), comparison.wrong[rows]
    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    size = positive(numeric)
    axes.scatter(size, positive(MARGIN * error), s=9, color="0.75", label=f"{MARGIN:g} errors of the numeric entry")
    axes.scatter(size[~wrong], positive(difference)[~wrong], s=14, color="C0", label="difference, explained")
    if wrong.any():
        axes.scatter(size[wrong], positive(difference)[wrong], s=24, color="C3", marker="x", label="difference, WRONG")
    axes.set(xscale="log", yscale="log", xlabel="|numeric entry|", ylabel="|analytic - numeric|")
    axes.legend(fontsize=8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(general)
        axis.set_minor_formatter(nothing)
    figure.suptitle(title)
    return png(figure)


def positive(values: Array) -> Array:
    """Return magnitudes for a logarithmic axis, where 0 and what is not finite have no place."""
    size = np.abs(values)
    shown = np.isfinite(size) & (size > LEAST)
    least = float(size[shown].min()) if shown.any() else 1.0
    return np.where(shown, size, least / 10)


def comparison_csv(comparison: Comparison) -> bytes:
    """Return a table of the coordinates with the largest disagreement, as CSV in UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADS)
    found, result = comparison.result.found, comparison.result
    for row in comparison.worst(MOST_ROWS):
        numbers = (comparison.analytic[row], found.value[row], found.error[row], result.step[row])
        relative = float(comparison.relative[row])
        name = result.center.title(int(result.coordinates[row]))
        wrong = "wrong" if comparison.wrong[row] else ""
        writer.writerow([name, *(repr(float(number)) for number in numbers), repr(relative), called(relative), wrong])
    return text.getvalue().encode(errors="backslashreplace")
