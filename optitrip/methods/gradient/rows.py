"""The lines and the table that a command prints of a gradient."""

from typing import TYPE_CHECKING

import numpy as np

from optitrip.methods.gradient.checking.hints import hints
from optitrip.methods.gradient.flags import (
    BELOW_NOISE,
    FAILED,
    IMPRECISE,
    KINK,
    LEFT_OUT,
    ONE_SIDED,
    OUTSIDE,
    UNCHANGED,
    WITHOUT_STEP,
)
from optitrip.methods.gradient.stencil import step_text
from optitrip.methods.gradient.words import distinct
from optitrip.output.outcome import Rows, Table, figure_rows
from optitrip.output.text import variable_rows

if TYPE_CHECKING:
    from optitrip.methods.gradient.answer import GradientAnswer

TABLE_ROWS = 8
"""Number of coordinates in the table."""
SHOWN_LOSSES = 2
"""Most losses of a coordinate in the table, which with more would not fit on a terminal."""
TOLD = (
    (FAILED | WITHOUT_STEP, "missing", "coordinates; their flags in gradient.npz explain why"),
    (UNCHANGED, "no change", "coordinates do not change the loss at all: the derivative is 0, or the step too small"),
    (BELOW_NOISE, "below noise", "coordinates have an error larger than the entry: nothing but 0 can be told of them"),
    (IMPRECISE, "imprecise", "coordinates have an error over 2 %; the errors are in gradient.npz"),
    (KINK, "at kinks", "coordinates have another slope to each side of x, so there is no derivative"),
    (ONE_SIDED, "one-sided", "coordinates have losses on one side of x only"),
    (OUTSIDE, "outside", "coordinates of x are outside of their variable's limits, which were ignored there"),
    (LEFT_OUT, "left out", "coordinates were not requested"),
)
"""Flags that the table tells of, each with the head and the text of its row."""


def answer_rows(answer: "GradientAnswer") -> Rows:
    """Return the lines of the short table."""
    result, scheme = answer.result, answer.method.scheme.name.replace("_", "-")
    rows = [
        *check_rows(answer),
        ("loss at x", f"{answer.loss:.12g}"),
        *variable_rows(answer.method.points.point(0)),
        ("gradient", f"norm {answer.norm:.8g}, largest magnitude {answer.max_abs:.8g}, {scheme} differences"),
        ("largest", ", ".join(f"{title} {value:.6g}" for title, value in answer.largest())),
    ]
    if np.isfinite(answer.largest_error):
        rows.append(("errors", f"largest {answer.largest_error:.2g}, noise of the loss {answer.noise:.2g}"))
    rows += [(head, f"{result.flagged(flag):,} {text}") for flag, head, text in TOLD if result.flagged(flag)]
    if kinks := sum(int(counts.sum()) for counts in result.kinks.values()):
        rows.append(("kinks", f"{kinks:,} crossed by steps; a difference across a kink is not a derivative"))
    if answer.difference is not None:
        rows.append(
            ("analytic", f"relative difference {answer.difference:.3g}: norm of the difference / sum of the norms")
        )
    return rows + figure_rows(answer.report)


def check_rows(answer: "GradientAnswer") -> Rows:
    """Return the lines on the comparison with the analytic gradient; none without one."""
    if answer.comparison is None:
        return []
    rows = [("gradcheck", f"the analytic gradient {answer.comparison.verdict}")]
    rows += [("pattern", text) for text in hints(answer.comparison)]
    return [*rows, *(("evidence", text) for text in answer.on_line.texts()[:1])]


def first_coordinates(answer: "GradientAnswer") -> Table:
    """Return a table of W | W + h | loss(W + h) | dW for the first coordinates."""
    center, result = answer.method.center, answer.result
    asked = np.flatnonzero(~np.concatenate([(flags & LEFT_OUT).ravel() > 0 for flags in result.flags.values()]))
    first = asked[:TABLE_ROWS]
    x = center.entries(first)
    name = center.varied[0] if len(center.varied) == 1 else "x"
    columns = [[center.title(int(coordinate)) for coordinate in first], [f"{value:.6g}" for value in x]]
    columns.append(distinct(x + np.concatenate([part.ravel() for part in result.steps.values()])[first], x))
    step = spaced(answer.method.moves.offsets[0])
    heads = ["", name, f"{name} {step}"]
    for offset in answer.method.scheme.offsets[:SHOWN_LOSSES]:
        heads.append(f"loss({name} {spaced(offset)})")
        columns.append([f"{loss:.11g}" for loss in result.losses(offset)[first]])
    columns.append([f"{value:.6g}" for value in result.flat[first]])
    heads.append(f"d{name}")
    if result.has_errors:
        errors = np.concatenate([part.ravel() for part in result.error.values()])[first]
        columns.append([f"{error:.1g}" for error in errors])
        heads.append("error")
    return heads, [list(row) for row in zip(*columns, strict=True)]


def spaced(offset: float) -> str:
    """Return a multiple of the step as in a formula, e.g. + h, - 2h."""
    text = step_text(offset)
    return f"{text[0]} {text[1:]}"
