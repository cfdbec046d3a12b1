"""The picture of a search: losses by candidate with the best so far, and beside it their distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.methods.search.method import SearchResult
from optitrip.methods.search.recheck import Rechecked
from optitrip.methods.search.screening import Screening
from optitrip.output.pictures import general, new_figure, nothing, plain_style, png, set_value_axis, thousands
from optitrip.output.text import short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS, CROSSES, STEPS = 20_000, 300, 4_000
"""Most candidates, failed ones, and steps of the best so far that are drawn; the picture has 1,080 columns."""
IN_ONE_ROW = 105
"""Most letters of a legend in one row."""
BEST, DOT, VERIFIED, FAILED = "C3", "0.45", "C0", "black"
"""Colours."""


@plain_style
def losses_png(
    result: SearchResult,
    title: str,
    word: str = "loss",
    screening: Screening | None = None,
    recheck: Rechecked | None = None,
) -> bytes:
    """Draw losses by index as dots with the best so far as a line, and the share of candidates that are as good.

    `word` is the user's for the loss. Failed candidates are crosses at the far edge.
    """
    finite = np.isfinite(result.loss)
    index, loss = result.index[finite], result.loss[finite]
    figure = new_figure(9, 4.4)
    figure.suptitle(title, fontsize=11)
    history, shares = figure.subplots(1, 2, sharey=True, width_ratios=[2.6, 1])
    far = set_value_axis(history, np.append(loss, result.best_loss), best_is_largest=result.maximize)
    draw_history(history, result, index, loss, far, screened=screening is not None)
    if screening:
        history.plot(screening.index, screening.loss, ".", color=VERIFIED, markersize=4, label="verified loss")
    if recheck:
        draw_means(history, recheck)
    draw_failures(history, result)
    history.set(xlabel="candidate", ylabel=short_name(word), xlim=(-0.02 * result.items, 1.02 * result.items))
    handles, labels = history.get_legend_handles_labels()
    wide = sum(map(len, labels)) > IN_ONE_ROW
    # Below the axes, where it hides no candidate.
    legend = figure.legend(handles, labels, loc="outside lower left", ncols=2 if wide else 4, fontsize=8, frameon=False)
    for handle in filter(None, legend.legend_handles):
        handle.set(alpha=1, markersize=5)
    draw_shares(shares, result, loss)
    return png(figure)


def draw_history(axes: Axes, result: SearchResult, index: Array, loss: Array, far: int, *, screened: bool) -> None:
    stride = 1 + len(index) // DOTS
    notes = [f"1 in {stride:,} shown"] if stride > 1 else []
    notes += [f"{far:,} beyond the axis"] if far else []
    label = ("screened loss" if screened else "candidate") + (f" ({', '.join(notes)})" if notes else "")
    shown = len(index[::stride])
    size, alpha = (5, 1.0) if shown <= 200 else (3, 0.7) if shown <= 2_000 else (2, 0.4)
    axes.plot(index[::stride], loss[::stride], ".", markersize=size, alpha=alpha, color=DOT, label=label)
    best_index, best_loss = int(result.best_index[0]), float(result.best_loss[0])
    steps, values = staircase(result)
    axes.step(steps, values, where="post", color=BEST, label=f"{'largest' if result.maximize else 'smallest'} so far")
    axes.plot(best_index, best_loss, "o", color=BEST, markersize=5)
    place = best_index / max(result.items, 1)
    text = f"{best_loss:,.{digits(best_loss, loss)}g} at {best_index:,}"
    axes.annotate(
        text, (best_index, best_loss), (0, 7 if result.maximize else -7),
        textcoords="offset points", color=BEST, fontsize=9, va="bottom" if result.maximize else "top",
        ha="left" if place < 0.2 else "right" if place > 0.8 else "center",
    )  # fmt: skip
    axes.xaxis.set_major_formatter(thousands)
    axes.locator_params(axis="x", nbins=6, integer=True)


def draw_means(axes: Axes, recheck: Rechecked) -> None:
    """Draw the means of candidates that were evaluated again, as dots with bars of one standard error."""
    known = slice(recheck.usable)
    label = f"mean of {recheck.repeats}, \N{PLUS-MINUS SIGN} standard error"
    index, means = recheck.index[known], recheck.means[known]
    axes.errorbar(index, means, recheck.errors[known], fmt="none", capsize=2, linewidth=1, ecolor=VERIFIED)
    axes.plot(index, means, "o", markersize=3, color=VERIFIED, label=label)


def staircase(result: SearchResult) -> tuple[Array, Array]:
    """Return indices and losses of the best so far, up to the last candidate: the last one in each column of a fine
    picture, and the first of all."""
    index, loss = result.incumbent_index, result.incumbent_loss
    kept = np.diff(index * STEPS // result.items, append=-1) != 0
    kept[0] = True
    return np.append(index[kept], result.items - 1), np.append(loss[kept], loss[-1])


def digits(best: float, loss: Array) -> int:
    """Return how many digits of the best loss tell it from most others, at least 6."""
    gaps = np.abs(loss - best)
    gap = float(np.median(gaps)) if len(gaps) else 0.0
    return 6 if not 0 < gap < abs(best) else min(17, 3 + max(3, int(np.ceil(np.log10(abs(best) / gap)))))


def draw_failures(axes: Axes, result: SearchResult) -> None:
    """Draw a cross at the far edge of the axes for each failed candidate, thinned if there are many."""
    failures = result.failures
    if not failures.count:
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in failures.counts().items())
    stride = 1 + failures.count // CROSSES
    kinds += f" (1 in {stride:,} shown)" if stride > 1 else ""
    edge = 0.015 if result.maximize else 0.985
    failed = some_failed(failures, stride)
    marks: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    axes.plot(failed, np.full(len(failed), edge), "x", color=FAILED, markersize=4, label=f"failed: {kinds}", **marks)


def some_failed(failures: Failures, stride: int) -> Array:
    """Return every `stride`-th index that failed."""
    runs = sorted(run for runs in failures.runs.values() for run in runs)
    ends = np.cumsum([hi - lo for lo, hi in runs])
    chosen = np.arange(0, ends[-1], stride)
    rows = np.searchsorted(ends, chosen, side="right")
    return np.array([hi for _, hi in runs])[rows] - (ends[rows] - chosen)


def draw_shares(axes: Axes, result: SearchResult, loss: Array) -> None:
    """Draw the share of finite losses that are at least as good as each; the best is the one at the left end."""
    ordered = np.sort(loss)[:: -1 if result.maximize else 1]
    count = len(ordered)
    rows = np.unique(np.geomspace(1, max(count, 1), 2_000).astype(int)) - 1
    axes.step(100 * (rows + 1) / max(count, 1), ordered[rows], where="pre", color=DOT)
    axes.plot(100 / max(count, 1), result.best_loss[0], "o", color=BEST, markersize=5, clip_on=False)
    axes.set(xscale="log", xlabel="% as good or better")
    axes.xaxis.set_major_formatter(general)
    axes.xaxis.set_minor_formatter(nothing)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
