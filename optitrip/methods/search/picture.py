"""The picture of a search: losses by candidate, and the best so far."""

import numpy as np

from optitrip.methods.search.method import SearchResult
from optitrip.output.pictures import new_figure, plain_style, png

DOTS = 20_000


@plain_style
def losses_png(result: SearchResult, title: str) -> bytes:
    """Draw losses by index as dots, about `DOTS` at most, with the best so far as a line."""
    finite = np.isfinite(result.loss)
    index, loss = result.index[finite], result.loss[finite]
    stride = 1 + len(index) // DOTS
    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    label = f"loss (1 in {stride:,} shown)" if stride > 1 else "loss"
    axes.plot(index[::stride], loss[::stride], ".", markersize=2, color="0.65", label=label, rasterized=True)
    steps = np.append(result.incumbent_index, result.items - 1)
    incumbents = np.append(result.incumbent_loss, result.incumbent_loss[-1])
    axes.step(
        steps, incumbents, where="post", color="C3", label="largest so far" if result.maximize else "smallest so far"
    )
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
