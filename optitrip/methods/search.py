"""Search: draw candidates, compute the loss of each, keep the best.

    min_loss = inf
    for n in range(candidates):
        W = draw(n)
        if loss(W) < min_loss: min_loss, min_W = loss(W), W

Kept are integers and order statistics only, never sums of floats: so merging is exact, in any grouping.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optitrip.methods.draws import Draws, digest_of
from optitrip.objective import Objective
from optitrip.part import Array, Failures, Part, adjacent

KEEP_ALL = 1_000_000


def kept_indices(items: range, keep_all: int = KEEP_ALL) -> Array:
    """Indices within `items` whose losses are kept: all below `keep_all`, then with each doubling every other one less.

    In [2^j, 2^(j+1)) times `keep_all` it is every 2^(j+1)-th, so that N losses leave keep_all (1 + log2(N / keep_all)
    / 2) at the most, and the choice depends on the index alone.
    """
    pieces = [np.arange(items.start, min(items.stop, keep_all))]
    low, stride = keep_all, 2
    while low < items.stop:
        first = -(-max(items.start, low) // stride) * stride
        pieces.append(np.arange(first, min(items.stop, 2 * low), stride))
        low, stride = 2 * low, 2 * stride
    return np.concatenate(pieces)


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found; the best first, ties to the lower index."""

    items: int
    best_index: Array
    best_loss: Array
    low_index: Array
    low_loss: Array
    """Record lows: each loss below all before it. Their last is the best."""
    index: Array
    loss: Array
    """Every loss that is kept, with its index; NaN where the candidate failed."""
    failures: Failures


@dataclass(frozen=True)
class Search:
    """A search of `items` candidates that keeps the `best` best."""

    draws: Draws
    items: int
    best: int = 10
    keep_all: int = KEEP_ALL
    kind: str = "search"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"draws": self.draws.describe(), "best": self.best, "keep_all": self.keep_all})

    def prepare(self, objective: Objective) -> Objective:
        return objective

    def evaluate(self, context: Objective, items: range) -> Part:
        losses, failures = context.evaluate(self.draws.values, items)
        index = np.arange(items.start, items.stop)
        finite = np.isfinite(losses)
        good, at = losses[finite], index[finite]
        lows = record_lows(good)
        columns = {
            "loss": losses[kept_indices(items, self.keep_all) - items.start],
            "low_index": at[lows],
            "low_loss": good[lows],
            **self._best(at, good),
        }
        return Part(items, columns, failures)

    def merge(self, left: Part, right: Part) -> Part:
        a, b = left.columns, right.columns
        floor = a["low_loss"][-1] if len(a["low_loss"]) else np.inf
        lower = b["low_loss"] < floor
        columns = {
            "loss": np.concatenate([a["loss"], b["loss"]]),
            "low_index": np.concatenate([a["low_index"], b["low_index"][lower]]),
            "low_loss": np.concatenate([a["low_loss"], b["low_loss"][lower]]),
            **self._best(
                np.concatenate([a["best_index"], b["best_index"]]), np.concatenate([a["best_loss"], b["best_loss"]])
            ),
        }
        return Part(adjacent(left, right), columns, left.failures.then(right.failures))

    def result(self, whole: Part) -> SearchResult:
        return SearchResult(
            items=len(whole.items),
            index=kept_indices(whole.items, self.keep_all),
            failures=whole.failures,
            **whole.columns,
        )

    def _best(self, index: Array, loss: Array) -> dict[str, Array]:
        """The best few of finite losses in order of index; a stable sort leaves ties to the lower one."""
        if len(loss) > 4 * self.best:
            near = loss <= np.partition(loss, self.best - 1)[self.best - 1]
            index, loss = index[near], loss[near]
        order = np.argsort(loss, kind="stable")[: self.best]
        return {"best_index": index[order], "best_loss": loss[order]}


def record_lows(losses: Array) -> Array:
    """Places where a loss is below all before it."""
    if not len(losses):
        return np.empty(0, np.int64)
    before = np.minimum.accumulate(losses)[:-1]
    return np.flatnonzero(np.concatenate([[True], losses[1:] < before]))
