"""How sure a gradient is, in words, and its numbers as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optitrip.core.arrays import Array, ours

if TYPE_CHECKING:
    from optitrip.methods.gradient.answer import GradientAnswer


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


@ours()
def distinct(values: Array, others: Array) -> list[str]:
    """Format values with three digits more than it takes to tell each from its counterpart in `others`."""
    ratio = np.abs(others / (values - others))
    digits = np.ceil(np.log10(np.where(np.isfinite(ratio), ratio, 1.0).clip(1))).astype(int) + 3
    return [f"{value:.{min(max(count, 6), 17)}g}" for value, count in zip(values, digits, strict=True)]
