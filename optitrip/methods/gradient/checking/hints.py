"""Patterns in a wrong gradient that tell what the mistake is."""

from collections.abc import Iterator

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.gradient.checking.comparison import Comparison

FIT = 1e-4
"""Largest deviation from a pattern, relative to the largest entry."""


def hints(comparison: Comparison) -> list[str]:
    """Return what explains the wrong entries of each variable, where something simple does."""
    center, result = comparison.result.center, comparison.result
    found: list[str] = []
    for name, rows, places in center.split(result.coordinates):
        rows, places = rows[comparison.judged[rows]], places[comparison.judged[rows]]
        if not comparison.wrong[rows].any() or not np.isfinite(comparison.analytic[rows]).all():
            continue
        x = center.values[name]
        order = np.argsort(places)
        whole = len(rows) == x.size and x.ndim == 2  # only then is there a transpose
        analytic, numeric = comparison.analytic[rows][order], result.found.value[rows][order]
        error = result.found.error[rows][order]
        texts = explained(analytic, numeric, error, x.ravel()[places[order]], x.shape if whole else None)
        found += [f"{name}: {text}" for text in list(texts)[:1]]
    return found


@ours()
def explained(analytic: Array, numeric: Array, error: Array, x: Array, shape: tuple[int, ...] | None) -> Iterator[str]:
    """Yield the patterns that explain the difference of two gradients by the same variable, whose values are x."""
    allowed = 3 * error + FIT * float(np.max(np.maximum(np.abs(analytic), np.abs(numeric))))

    def fits(guess: Array) -> bool:
        return bool(np.all(np.abs(analytic - guess) <= allowed))

    if not analytic.any():
        yield "every analytic entry is 0"
    if shape is not None:
        table = numeric.reshape(shape)
        if fits(table.T.ravel()) and min(shape) > 1:
            yield "the analytic entries are the numeric ones, transposed"
    clear = np.abs(numeric) > 10 * error
    if np.count_nonzero(clear) >= 2:
        factor = float(np.median(analytic[clear] / numeric[clear]))
        if abs(factor - 1) > 10 * FIT and fits(factor * numeric):
            yield f"every analytic entry is {factor:.4g} times the numeric one"
    difference, wide = analytic - numeric, x.astype(np.float64)
    if np.count_nonzero(wide) >= 2 and float(np.ptp(np.abs(wide))) > 0.1 * float(np.max(np.abs(wide))):
        share = float((difference * wide).sum() / (wide * wide).sum())
        narrow = np.abs(difference - share * wide) <= 3 * error + 10 * FIT * float(np.max(np.abs(difference)))
        if np.all(narrow) and np.any(np.abs(difference) > 3 * error):
            yield f"analytic - numeric is {share:.4g} times x, as for a regulariser that one of them lacks"
    if len(difference) >= 3:
        shift = float(np.median(difference))
        narrow = np.abs(difference - shift) <= 3 * error + 10 * FIT * abs(shift)
        if np.all(narrow) and abs(shift) > 3 * float(np.max(error)):
            yield f"every analytic entry is {shift:+.4g} off"
