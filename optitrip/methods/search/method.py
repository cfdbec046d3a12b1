"""Search: draw candidates, compute the loss of each, keep the best.

    min_loss = inf
    for n in range(candidates):
        W = draw(n)
        if loss(W) < min_loss: min_loss, min_W = loss(W), W

Parts hold only integers and order statistics, never sums of floats, so merging is exact in any grouping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optitrip.core.arrays import Array, joined, overwritten, without_prefix
from optitrip.core.failures import Failures
from optitrip.core.method import StopRule, digest_of, merged
from optitrip.core.observer import InOrder, Times
from optitrip.core.part import Part, failures_replaced
from optitrip.loss.evaluation import Evaluation, stretches
from optitrip.loss.objective import Objective
from optitrip.methods.shared import PointMethod, constraints, joined_part
from optitrip.space.candidates import Candidates


class SearchStopRule(StopRule):
    """Ends a search at `target_loss`, or after `no_improvement` candidates without a new best."""

    def __init__(self, search: "Search") -> None:
        super().__init__(search.items)
        self._sign, self._target, self._allowed = search.sign, search.target_loss, search.no_improvement
        self._order = InOrder()
        self._best = float("inf")
        self._last_improvement = -1
        """Index of the last incumbent among the candidates before the first gap."""

    def see(self, part: Part) -> None:
        if self._target is not None:
            # The first candidate to meet the target is an incumbent: those before it did not, so it is better.
            for index, loss in incumbents(part, self._sign):
                if loss <= self._sign * self._target:
                    self.items = min(self.items, index + 1)
        if self._allowed is not None:
            for ready, _ in self._order.push([(part, Times([part.items.start], [0]))]):
                for index, loss in incumbents(ready, self._sign):
                    if loss < self._best:
                        self._end_before(index, self._allowed)
                        self._best, self._last_improvement = loss, index
                self._end_before(ready.items.stop, self._allowed)

    def _end_before(self, index: int, allowed: int) -> None:
        """End the search if more than the allowed number of candidates lie between the last improvement and `index`."""
        if index - self._last_improvement > allowed:
            self.items = min(self.items, self._last_improvement + 1 + allowed)


def incumbents(part: Part, sign: int) -> list[tuple[int, float]]:
    """Return the incumbents of a part in order, each with sign * loss."""
    index, loss = part.columns["low_index"], part.columns["low_loss"]
    return list(zip(index.tolist(), (sign * loss).tolist(), strict=True))


KEEP_ALL = 1_000_000
INFEASIBLE = "infeasible"
"""Column with the number of infeasible candidates, one entry."""
OF_KEPT, OF_BEST = "kept_", "best_"
"""Prefixes of columns: for extra numbers beside the stored losses, and for everything about the best few candidates."""
CANDIDATES_AT_ONCE = 2**16
"""Number of candidates whose losses are in memory at a time, so that long slices need no more than short ones."""


def kept_indices(items: range, keep_all: int = KEEP_ALL) -> Array:
    """Return the indices within `items` whose losses are stored: all below `keep_all`, then fewer and fewer.

    In [2^j, 2^(j+1)) times `keep_all` they are every 2^(j+1)-th: at most keep_all (1 + log2(N / keep_all) / 2) of N
    losses, and the choice depends on the index alone.
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
    """The result of a search; the best candidate first, ties to the lower index. Losses have the objective's sign."""

    items: int
    maximize: bool
    best_index: Array
    best_loss: Array
    incumbent_index: Array
    """Candidates that were better than all before them, ascending; the last one is the best."""
    incumbent_loss: Array
    index: Array
    loss: Array
    """Stored losses, at the candidates `index`; NaN where one failed."""
    named: Mapping[str, Array]
    """Other numbers that the objective returned, by name, beside `loss`."""
    best_named: Mapping[str, Array]
    """Other numbers that the objective returned, by name, beside `best_loss`."""
    failures: Failures
    infeasible: int = 0
    """Number of candidates that violate a constraint, and were not evaluated."""

    @property
    def feasible(self) -> int:
        """Number of candidates that violate no constraint."""
        return self.items - self.infeasible


@dataclass(frozen=True)
class Search(PointMethod[Candidates]):
    """A search of `items` candidates that keeps the `best` best: the smallest losses, or the largest."""

    points: Candidates
    items: int
    best: int = 10
    keep_all: int = KEEP_ALL
    maximize: bool = False
    screen: str | None = None
    """Description of the surrogate that gives the losses; None for the objective itself."""
    target_loss: float | None = None
    """Loss at which the search ends, at the first candidate that reaches it."""
    no_improvement: int | None = None
    """Number of candidates in a row without a new best after which the search ends."""
    kind = "search"
    main = True
    retried = True
    required_prefix = 100  # if they all fail, the mistake is in the loss, and more candidates show nothing new

    def stop_rule(self) -> SearchStopRule:
        return SearchStopRule(self)

    @property
    def sign(self) -> int:
        """+1 to minimise, -1 to maximise."""
        return -1 if self.maximize else 1

    def digest(self) -> bytes:
        fields = {"draws": self.points.describe(), "best": self.best, "keep_all": self.keep_all}
        fields |= {"screen": self.screen} if self.screen else {}
        return digest_of(self.kind, {**fields, "maximize": self.maximize})

    def prepare(self, objective: Objective) -> Objective:
        return evaluator(objective, self.screen)

    @property
    def preparation(self) -> bytes:
        return (self.screen or "").encode()

    def evaluate(self, context: Objective, items: range) -> Part:
        parts: list[Part] = []
        low = worst = np.inf
        for stretch in stretches(items, context.capabilities.block, CANDIDATES_AT_ONCE):
            evaluation = context.evaluate(self.points.values, stretch, *constraints(self.points))
            part = self.part(evaluation, low, worst)
            parts.append(part)
            incumbents, best = part.columns["low_loss"], part.columns[OF_BEST + "loss"]
            low = self.sign * incumbents[-1] if len(incumbents) else low
            worst = self.sign * best[-1] if len(best) == self.best else worst
        return merged(parts, self.merge)

    def evaluations(self, items: range) -> int:
        return 0 if self.screen else len(items)

    def witness(self, part: Part) -> tuple[int, float] | None:
        index, loss = part.columns["low_index"], part.columns["low_loss"]
        return (int(index[-1]), float(loss[-1])) if len(index) else None

    def part(self, evaluation: Evaluation, low: float = np.inf, worst: float = np.inf) -> Part:
        """Return the part of one stretch, leaving out losses that cannot beat the incumbent, or enter the best few, of
        the stretches before it: merging would drop them, and sorting nearly all of a long slice is avoided."""
        items, failures = evaluation.items, evaluation.failures
        key = self.sign * evaluation.losses
        if failures.count or self.points.constrained:
            key[~np.isfinite(key)] = np.inf
        incumbents = np.flatnonzero(key < low)
        incumbents = incumbents[improvements(key[incumbents])]
        best = np.flatnonzero(key < worst)
        kept = kept_indices(items, self.keep_all)
        columns = {
            "loss": evaluation.losses[kept - items.start],
            **{OF_KEPT + name: column[kept - items.start] for name, column in evaluation.extras.items()},
            "low_index": items.start + incumbents,
            "low_loss": evaluation.losses[incumbents],
            **self._best(
                {"index": items.start + best, **{n: column[best] for n, column in evaluation.columns.items()}}
            ),
        }
        if self.points.constrained:
            columns[INFEASIBLE] = np.array([evaluation.infeasible.sum()])
        return Part(items, columns, failures)

    def merge(self, *parts: Part) -> Part:
        tables = [part.columns for part in parts]
        best = without_prefix(joined(tables, OF_BEST + "loss", OF_BEST), OF_BEST)
        columns = {**joined(tables, "loss", OF_KEPT), **self._incumbents(tables), **self._best(best)}
        return joined_part(parts, columns | infeasible_of(tables))

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        """Return the whole with the losses of retried items in their places.

        A candidate that failed was neither among the best nor an incumbent, so those of all parts are joined in order
        of index; incumbents that no longer improve on all before them are dropped.
        """
        tables = [whole.columns, *(part.columns for part in retried)]
        kept = kept_indices(whole.items, self.keep_all)
        places = [slice(*np.searchsorted(kept, [part.items.start, part.items.stop])) for part in retried]
        columns = overwritten(tables, len(kept), places, "loss", OF_KEPT)
        best = joined(tables, OF_BEST + "loss", OF_BEST)
        order = np.argsort(best[OF_BEST + "index"], kind="stable")
        best = without_prefix({name: column[order] for name, column in best.items()}, OF_BEST)
        columns |= {**self._incumbents(tables), **self._best(best), **infeasible_of(tables)}
        return Part(whole.items, columns, failures_replaced(whole, retried))

    def result(self, whole: Part) -> SearchResult:
        columns = whole.columns
        best = without_prefix(columns, OF_BEST)
        return SearchResult(
            items=len(whole.items),
            maximize=self.maximize,
            best_index=best.pop("index"),
            best_loss=best.pop("loss"),
            incumbent_index=columns["low_index"],
            incumbent_loss=columns["low_loss"],
            index=kept_indices(whole.items, self.keep_all),
            loss=columns["loss"],
            named=without_prefix(columns, OF_KEPT),
            best_named=best,
            failures=whole.failures,
            infeasible=int(columns[INFEASIBLE].sum()) if INFEASIBLE in columns else 0,
        )

    def gathered(self, parts: Sequence[Part]) -> SearchResult:
        """Return the result of ascending parts that may have gaps between them, as those of a stopped search have."""
        tables = [part.columns for part in parts]
        best = without_prefix(joined(tables, OF_BEST + "loss", OF_BEST), OF_BEST)
        columns = {**joined(tables, "loss", OF_KEPT), **self._incumbents(tables), **self._best(best)}
        columns |= infeasible_of(tables)
        failures = Failures().then(*(part.failures for part in parts))
        index = np.concatenate([kept_indices(part.items, self.keep_all) for part in parts])
        whole = Part(range(sum(len(part.items) for part in parts)), columns, failures)
        return replace(self.result(whole), index=index)

    def why_ended(self, result: SearchResult) -> str:
        """Return why the search ended early; empty if it did not."""
        if result.items == self.items:
            return ""
        best = int(result.best_index[0])
        if self.target_loss is not None and best == result.items - 1:
            return f"candidate {best:,} met the target of {self.target_loss:g}: the search ends there"
        return f"no improvement in {self.no_improvement:,} candidates: the search ends at {result.items:,}"

    def _incumbents(self, tables: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        index, loss = (np.concatenate([table[name] for table in tables]) for name in ("low_index", "low_loss"))
        order = np.argsort(index, kind="stable")
        index, loss = index[order], loss[order]
        places = improvements(self.sign * loss)
        return {"low_index": index[places], "low_loss": loss[places]}

    def _best(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Return the best few, from columns in order of index: a stable sort gives ties to the lower index."""
        key = self.sign * columns["loss"]
        rows = np.arange(len(key))
        if len(key) > 4 * self.best:
            rows = np.flatnonzero(key <= np.partition(key, self.best - 1)[self.best - 1])
        chosen = rows[np.argsort(key[rows], kind="stable")[: self.best]]
        return {OF_BEST + name: column[chosen] for name, column in columns.items()}


def infeasible_of(tables: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Return the number of infeasible candidates of several parts, as a column of one entry, if they have it. A part
    that stands for several has an entry for each."""
    counts = [int(table[INFEASIBLE].sum()) for table in tables if INFEASIBLE in table]
    return {INFEASIBLE: np.array([sum(counts)])} if counts else {}


def evaluator(objective: Objective, screen: str | None) -> Objective:
    """Return the surrogate of an objective if there is a `screen`, else the objective itself."""
    if not screen:
        return objective
    if objective.surrogate is None:
        raise ValueError(f"{objective.name} has no surrogate, and this search screens with {screen}")
    return objective.surrogate


def improvements(losses: Array) -> Array:
    """Return the positions of losses that are below all before them."""
    if not len(losses):
        return np.empty(0, np.int64)
    before = np.minimum.accumulate(losses)[:-1]
    return np.flatnonzero(np.concatenate([[True], losses[1:] < before]))
