"""A search in two stages: every candidate by a cheaper surrogate, then the best ones by the objective itself.

The answer is from the objective's own losses. It is that of a search without screening unless the surrogate was wrong
about a candidate left out by more than `CERTAINTY` times its largest error about any that was verified.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, joined
from optitrip.core.failures import Failures
from optitrip.core.method import Method, digest_of
from optitrip.core.part import Part
from optitrip.methods.search.method import Search, SearchResult, improvements
from optitrip.methods.shared import PointMethod, no_answer
from optitrip.space.variables import Candidates


@dataclass(frozen=True)
class Verification(PointMethod[Candidates]):
    """The losses of the candidates `indices`; its result is the part that covers them."""

    points: Candidates
    indices: tuple[int, ...]
    kind = "verification"
    retried = True

    @property
    def items(self) -> int:
        return len(self.indices)

    def point_index(self, item: int) -> int:
        return self.indices[item]

    def values(self, items: range) -> dict[str, Array]:
        points = [self.point(item) for item in items]
        values = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
        for column in values.values():
            column.flags.writeable = False
        return values

    def digest(self) -> bytes:
        return digest_of(self.kind, {"draws": self.points.describe(), "candidates": list(self.indices)})

    def result(self, whole: Part) -> Part:
        return whole


FIRST, SAMPLED = 64, 32
"""The numbers of candidates verified at first: the best by the surrogate, and a sample it did not choose, which shows
how far it is off in general: the best are too often those that it overrates."""
REACH = 4_096
"""The number of best candidates that are stored by the surrogate; no more can be verified."""
CERTAINTY = 2.0
"""A candidate is left out only if the surrogate's error about it would have to be this many times its largest error."""


@dataclass(frozen=True, eq=False)
class Screening:
    """The candidates verified so far, in order of index, and how wrong the surrogate was about them."""

    screen: str
    """The surrogate, in words."""
    sign: int
    """+1 to minimise, -1 to maximise."""
    index: Array = field(default_factory=lambda: np.empty(0, np.int64))
    """The candidates that were verified, int64, ascending."""
    screened: Array = field(default_factory=lambda: np.empty(0))
    """Their losses by the surrogate."""
    loss: Array = field(default_factory=lambda: np.empty(0))
    """Their losses by the objective itself; NaN where one failed."""
    named: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """The other numbers of the objective by name, beside `loss`."""
    failures: Failures = field(default_factory=Failures)
    offset: float = 0.0
    """The median error of the surrogate over the sample."""
    margin: float = np.inf
    """The distance by which the nearest candidate left out seems to be behind the best; infinite if none was."""

    @property
    def finite(self) -> Array:
        return np.isfinite(self.loss)

    @property
    def largest_error(self) -> float:
        """The largest error of the surrogate beside the offset."""
        errors = np.abs(self.screened - self.offset - self.loss)[self.finite]
        return float(errors.max()) if len(errors) else np.inf

    @property
    def bound(self) -> float:
        """The largest error that the surrogate is trusted not to exceed."""
        return CERTAINTY * self.largest_error

    @property
    def certain(self) -> bool:
        """True if the margin is more than such errors account for."""
        return self.margin > self.bound

    @property
    def words(self) -> str:
        margin = f"margin {self.margin:.3g}" if np.isfinite(self.margin) else "none left out"
        return f"{self.screen}: {len(self.index):,} verified, largest error {self.largest_error:.3g}, {margin}"

    @property
    def doubt(self) -> str:
        """A warning that the best candidate may have been left out; empty if that is certainly not so."""
        if self.certain:
            return ""
        return (
            f"the screen {self.screen} was wrong by up to {self.largest_error:.3g}, and the nearest candidate left out "
            f"seems {self.margin:.3g} behind the best: one of those may be better. To be certain, choose another "
            "screen, or none."
        )

    def margin_of(self, screened: float) -> float:
        """Return how far a candidate of this screened loss seems to be behind the best."""
        best = (self.sign * self.loss[self.finite]).min() if self.finite.any() else np.inf
        return float(self.sign * (screened - self.offset) - best)

    def with_more(self, method: Verification, part: Part, screened: Mapping[int, float], sample: Array) -> Screening:
        """Return the screening with a verification's part and the surrogate's losses of its candidates.

        The first verification includes the sample and sets the offset.
        """
        index = np.concatenate([self.index, method.indices]).astype(np.int64)
        order = np.argsort(index)
        losses = np.array([screened[n] for n in method.indices])
        numbers = joined([{**self.named, "loss": self.loss}, part.columns], "loss", "")
        named = {name: column[order] for name, column in numbers.items()}
        failures = by_candidate(part.failures, method.indices)
        offset = self.offset
        if not len(self.index):
            unbiased = np.isin(method.indices, sample) & np.isfinite(part.columns["loss"])
            errors = (losses - part.columns["loss"])[unbiased]
            offset = float(np.median(errors)) if len(errors) else 0.0
        return replace(
            self,
            index=index[order],
            screened=np.concatenate([self.screened, losses])[order],
            loss=named.pop("loss"),
            named=named,
            failures=self.failures.replaced([range(n, n + 1) for n in method.indices], failures),
            offset=offset,
        )

    def result(self, found: SearchResult, best: int) -> SearchResult:
        """Return the result of the search with the best by the objective itself."""
        key = np.where(self.finite, self.sign * self.loss, np.inf)
        order = np.argsort(key, kind="stable")[: min(best, int(self.finite.sum()))]
        incumbents = np.flatnonzero(self.finite)[improvements(key[self.finite])]
        return replace(
            found,
            best_index=self.index[order],
            best_loss=self.loss[order],
            best_named={name: column[order] for name, column in self.named.items()},
            incumbent_index=self.index[incumbents],
            incumbent_loss=self.loss[incumbents],
        )


def by_candidate(failures: Failures, indices: Sequence[int]) -> Failures:
    """Return the failures of a verification by candidate in place of item."""
    kinds = {indices[n]: kind for kind, runs in failures.runs.items() for lo, hi in runs for n in range(lo, hi)}
    records = [(kind, record) for kind, records in failures.records.items() for record in records]
    return Failures.of(kinds, [(kind, replace(record, index=indices[record.index])) for kind, record in records])


def screened(method: Search) -> Generator[Method, Any, tuple[SearchResult, Screening]]:
    """Screen, verify, and verify more until no candidate that is left out could be the best. Raises NoAnswer if no
    screened loss, or no verified one, is finite."""
    found: SearchResult = yield replace(method, best=max(method.best, REACH))
    if not len(found.best_index):
        reason = f"none of the {found.items:,} candidates has a finite screened loss"
        raise no_answer(reason, found.failures, method)
    sample = np.flatnonzero(np.isfinite(found.loss))[:SAMPLED]
    best = dict(zip(found.best_index.tolist(), found.best_loss.tolist(), strict=True))
    wanted = dict(zip(found.index[sample].tolist(), found.loss[sample].tolist(), strict=True))
    wanted |= dict(list(best.items())[: max(FIRST, method.best)])
    screening, left_out = Screening(method.screen or "", method.sign), best
    while wanted:
        verification = Verification(method.points, tuple(sorted(wanted)))
        part: Part = yield verification
        screening = screening.with_more(verification, part, wanted, found.index[sample])
        verified = set(screening.index.tolist())
        left_out, bound = {n: loss for n, loss in best.items() if n not in verified}, screening.bound
        wanted = {n: loss for n, loss in left_out.items() if not screening.margin_of(loss) > bound}
    if not screening.finite.any():
        reason = f"none of the {len(screening.index)} verified candidates has a finite loss"
        raise no_answer(reason, screening.failures, method)
    if left_out or found.items - found.failures.count > len(best):
        nearest = next(iter(left_out.values()), float(found.best_loss[-1]))
        screening = replace(screening, margin=screening.margin_of(nearest))
    return screening.result(found, method.best), screening
