"""How sure a gradient is, in words, and its numbers as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.notice import Notice, info, warning
from optitrip.loss.returns import DOUBLE, PRECISIONS
from optitrip.methods.gradient.checking.hints import hints

if TYPE_CHECKING:
    from optitrip.methods.gradient.answer import GradientAnswer

NAMES = {eps: name for name, eps in PRECISIONS.items()}


def how_sure(answer: GradientAnswer) -> list[str]:
    """Return how the gradient compares with the analytic one, what is missing or imprecise, and the largest error."""
    doubtful = {"missing": answer.flagged, "imprecise": answer.imprecise}
    counts = ", ".join(f"{count:,} {word}" for word, count in doubtful.items() if count)
    lines = [f"{counts} of {answer.items:,}" if counts else f"none of {answer.items:,} is missing or imprecise"]
    if answer.comparison is not None:
        lines.insert(0, f"the analytic gradient {answer.comparison.verdict}")
    elif answer.difference is not None:
        lines.insert(0, f"its relative difference from the analytic gradient is {answer.difference:.2g}")
    if answer.drift:
        lines.append(f"the loss at x changed by {answer.drift:.2g} when evaluated again")
    if np.isfinite(answer.largest_error):
        share = f", {answer.largest_error / answer.max_abs:.2g} of the largest entry" if answer.max_abs else ""
        lines.append(f"the largest estimated error of an entry is {answer.largest_error:.2g}{share}")
    return lines


def told(answer: GradientAnswer) -> list[Notice]:
    """Return notices on a loss that is not deterministic or not of float64, and on an analytic gradient that is
    wrong."""
    notices: list[Notice] = []
    if answer.drift:
        text = f"the loss at x was {answer.loss!r}, and {answer.repeated!r} when evaluated again. The loss is not "
        text += f"deterministic: with these steps, a difference of {answer.drift:.2g} changes an entry of the gradient "
        text += f"by {answer.drift / float(np.nanmax(np.abs(answer.result.step))):.2g} or more"
        notices.append(warning("not-deterministic", text))
    if answer.comparison is not None and answer.comparison.wrong.any():
        text = "; ".join([f"the analytic gradient {answer.comparison.verdict}", *hints(answer.comparison)])
        notices.append(warning("gradient-wrong", text))
    elif answer.comparison is not None and answer.on_line.apart and answer.items < answer.method.center.size:
        text = answer.on_line.texts()[0]
        text = (
            f"the analytic gradient agrees where it was compared, but {text}: look at more coordinates; kinks on the "
        )
        notices.append(warning("gradient-doubtful", text + "line would explain it, too"))
    if answer.eps != DOUBLE:
        text = f"the losses are {NAMES[answer.eps]} numbers, so the steps are longer than for float64; "
        text += f"{answer.imprecise:,} of {answer.items:,} coordinates have an error over 2 %"
        notices.append(warning("low-precision", text) if answer.imprecise else info("low-precision", text))
    return notices


@ours()
def distinct(values: Array, others: Array) -> list[str]:
    """Format values with three digits more than it takes to tell each from its counterpart in `others`."""
    ratio = np.abs(others / (values - others))
    digits = np.ceil(np.log10(np.where(np.isfinite(ratio), ratio, 1.0).clip(1))).astype(int) + 3
    return [f"{value:.{min(max(count, 6), 17)}g}" for value, count in zip(values, digits, strict=True)]
