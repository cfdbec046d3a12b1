"""Search: draw candidates, compute the loss of each, keep the best.

    min_loss = inf
    for n in range(candidates):
        W = draw(n)
        if loss(W) < min_loss: min_loss, min_W = loss(W), W

Kept are integers and order statistics only, never sums of floats: so merging is exact, in any grouping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array, joined, overwritten, without_prefix
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import digest_of, merged
from optitrip.core.part import Part, adjacent, failures_replaced
from optitrip.loss.evaluation import stretches
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation
from optitrip.methods.search.stop_rule import SearchStopRule
from optitrip.space.candidates import Candidates

KEEP_ALL = 1_000_000
KEPT, BEST = "kept_", "best_"
"""Before the names of columns: of the numbers beside the kept losses, and of all that belongs to the best few."""
CANDIDATES_AT_ONCE = 2**16
"""Candidates whose losses are held at a time, so that a long slice takes no more memory than a short one."""


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
    """What a search found; the best first, ties to the lower index. Losses have the objective's own sign."""

    items: int
    maximize: bool
    best_index: Array
    best_loss: Array
    low_index: Array
    low_loss: Array
    """Records: each loss better than all before it. Their last is the best."""
    index: Array
    loss: Array
    """Every loss that is kept, with its index; NaN where the candidate failed."""
    named: Mapping[str, Array]
    """The other numbers of the objective by name, beside `loss`."""
    best_named: Mapping[str, Array]
    """The same beside `best_loss`."""
    failures: Failures


@dataclass(frozen=True)
class Search:
    """A search of `items` candidates that keeps the `best` best: the smallest losses, or the largest."""

    draws: Candidates
    items: int
    best: int = 10
    keep_all: int = KEEP_ALL
    maximize: bool = False
    screen: str | None = None
    """Losses are those of the objective's surrogate; how it was made."""
    target_loss: float | None = None
    """The search is over at the first candidate that is this good."""
    no_improvement: int | None = None
    """The search is over once so many candidates in a row were no better than the best before them."""
    kind: str = "search"
    main: bool = True
    retried: bool = True
    required_prefix: int = 100
    """The mistake is in the loss then, and more of it tells nothing."""
    block: int = 0

    def sides(self, item: int) -> int:
        return self.draws.sides(item)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.draws.point(item, side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.draws.title(item, side)

    def stop_rule(self) -> SearchStopRule:
        return SearchStopRule(self.items, self.sign, self.target_loss, self.no_improvement)

    @property
    def sign(self) -> int:
        """+1 to minimise, -1 to maximise."""
        return -1 if self.maximize else 1

    def digest(self) -> bytes:
        fields = {"draws": self.draws.describe(), "best": self.best, "keep_all": self.keep_all}
        fields |= {"screen": self.screen} if self.screen else {}
        return digest_of(self.kind, {**fields, "maximize": self.maximize})

    def prepare(self, objective: Objective) -> Objective:
        if not self.screen:
            return objective
        if objective.surrogate is None:
            raise ValueError(f"{objective.name} has no surrogate, and this search screens by {self.screen}")
        return objective.surrogate

    @property
    def preparation(self) -> bytes:
        return (self.screen or "").encode()

    def evaluate(self, context: Objective, items: range) -> Part:
        parts: list[Part] = []
        low = worst = np.inf
        for stretch in stretches(items, context.capabilities.block, CANDIDATES_AT_ONCE):
            part = self._part(context.evaluate(self.draws.values, stretch), low, worst)
            parts.append(part)
            lows, best = part.columns["low_loss"], part.columns[BEST + "loss"]
            low = self.sign * lows[-1] if len(lows) else low
            worst = self.sign * best[-1] if len(best) == self.best else worst
        return merged(parts, self.merge)

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self._part(Evaluation(items, problems=problems), np.inf, np.inf)

    def _part(self, found: Evaluation, low: float, worst: float) -> Part:
        """Of one stretch, without what is not below the lowest loss, or the last of the best few, of one before it.

        Such losses would go when parts are merged; leaving them out here spares sorting nearly all of a long slice.
        """
        items, failures = found.items, found.failures
        key = self.sign * found.losses
        if failures.count:
            key[~np.isfinite(key)] = np.inf
        lows = np.flatnonzero(key < low)
        lows = lows[record_lows(key[lows])]
        best = np.flatnonzero(key < worst)
        kept = kept_indices(items, self.keep_all)
        columns = {
            "loss": found.losses[kept - items.start],
            **{KEPT + name: column[kept - items.start] for name, column in found.named.items()},
            "low_index": items.start + lows,
            "low_loss": found.losses[lows],
            **self._best({"index": items.start + best, **{n: column[best] for n, column in found.columns.items()}}),
        }
        return Part(items, columns, failures)

    def merge(self, *parts: Part) -> Part:
        sides = [part.columns for part in parts]
        index, loss = (np.concatenate([side[name] for side in sides]) for name in ("low_index", "low_loss"))
        lows = record_lows(self.sign * loss)
        columns = {
            **joined(sides, "loss", KEPT),
            "low_index": index[lows],
            "low_loss": loss[lows],
            **self._best(without_prefix(joined(sides, BEST + "loss", BEST), BEST)),
        }
        return Part(adjacent(*parts), columns, Failures().then(*(part.failures for part in parts)))

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        """Losses by place; a candidate that failed was neither among the best nor a record low, so these are put
        together, and records that are none any more go."""
        sides = [whole.columns, *(part.columns for part in retried)]
        kept = kept_indices(whole.items, self.keep_all)
        places = [slice(*np.searchsorted(kept, [part.items.start, part.items.stop])) for part in retried]
        columns: dict[str, Array] = {}
        for name in sorted({name for side in sides for name in side if name == "loss" or name.startswith(KEPT)}):
            updates = [(place, part.columns.get(name)) for place, part in zip(places, retried, strict=True)]
            columns[name] = overwritten(whole.columns.get(name), len(kept), updates)
        index, loss = (np.concatenate([side[name] for side in sides]) for name in ("low_index", "low_loss"))
        order = np.argsort(index, kind="stable")
        index, loss = index[order], loss[order]
        lows = record_lows(self.sign * loss)
        best = joined(sides, BEST + "loss", BEST)
        order = np.argsort(best[BEST + "index"], kind="stable")
        columns |= {
            "low_index": index[lows],
            "low_loss": loss[lows],
            **self._best(without_prefix({name: column[order] for name, column in best.items()}, BEST)),
        }
        return Part(whole.items, columns, failures_replaced(whole, retried))

    def result(self, whole: Part) -> SearchResult:
        columns = whole.columns
        best = without_prefix(columns, BEST)
        return SearchResult(
            items=len(whole.items),
            maximize=self.maximize,
            best_index=best.pop("index"),
            best_loss=best.pop("loss"),
            low_index=columns["low_index"],
            low_loss=columns["low_loss"],
            index=kept_indices(whole.items, self.keep_all),
            loss=columns["loss"],
            named=without_prefix(columns, KEPT),
            best_named=best,
            failures=whole.failures,
        )

    def _best(self, columns: dict[str, Array]) -> dict[str, Array]:
        """The best few of finite losses in order of index; a stable sort leaves ties to the lower one."""
        key = self.sign * columns["loss"]
        rows = np.arange(len(key))
        if len(key) > 4 * self.best:
            rows = np.flatnonzero(key <= np.partition(key, self.best - 1)[self.best - 1])
        chosen = rows[np.argsort(key[rows], kind="stable")[: self.best]]
        return {BEST + name: column[chosen] for name, column in columns.items()}


def record_lows(losses: Array) -> Array:
    """Places where a loss is below all before it."""
    if not len(losses):
        return np.empty(0, np.int64)
    before = np.minimum.accumulate(losses)[:-1]
    return np.flatnonzero(np.concatenate([[True], losses[1:] < before]))
