"""A search in two stages: every candidate by a cheaper surrogate, then the best ones by the objective itself.

The answer is from the objective's own losses. It is that of a search without screening unless the surrogate was wrong
by more, about a candidate that was left out, than `CERTAINTY` times the most it was wrong by about any that was
verified.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.core.method import Method
from optitrip.errors import NoAnswer
from optitrip.methods.search.method import Search, SearchResult, record_lows
from optitrip.methods.shared.steps import listed
from optitrip.methods.shared.verification import CandidateSubset, Verification, VerificationResult

FIRST, SAMPLED = 64, 32
"""Candidates verified at first: the best by the surrogate, and beside them some that it did not choose, which tell how
far it is off in general: among the chosen ones are too many that it thinks too well of."""
REACH = 4_096
"""As many of the best are kept by the surrogate; no more can be verified."""
CERTAINTY = 2.0
"""A candidate is left out only if the surrogate would have to be wrong about it by so many times its largest error."""


@dataclass(frozen=True, eq=False)
class Screening:
    """How candidates were chosen for the objective itself, and what it said of them."""

    screen: str
    index: Array
    """The candidates that were verified, int64, ascending."""
    screened: Array
    """The losses of these by the surrogate."""
    loss: Array
    """The losses of these by the objective itself; NaN where it failed."""
    offset: float
    """The median error of the surrogate over a sample."""
    largest_error: float
    """The largest error of the surrogate beside the offset."""
    margin: float
    """The distance by which the nearest candidate left out seems to be behind the best; infinite if none was."""
    certain: bool
    """Whether the margin is more than the largest errors account for."""
    failures: Failures


@dataclass(frozen=True, eq=False)
class Verified:
    """What the objective itself said of some candidates, in order of index; by `sign` a loss is better if smaller."""

    sign: int
    offset: float = 0.0
    """How far the surrogate is off in general: the median over the sample."""
    candidates: Array = field(default_factory=lambda: np.empty(0, np.int64))
    screened: Array = field(default_factory=lambda: np.empty(0))
    losses: Array = field(default_factory=lambda: np.empty(0))
    named: Mapping[str, Array] = field(default_factory=dict[str, Array])
    failures: Failures = field(default_factory=Failures)

    @property
    def finite(self) -> Array:
        return np.isfinite(self.losses)

    @property
    def largest_error(self) -> float:
        """Of the surrogate, beside the offset."""
        errors = np.abs(self.screened - self.offset - self.losses)[self.finite]
        return float(errors.max()) if len(errors) else np.inf

    def margin(self, screened: float) -> float:
        """How far a candidate of that screened loss seems to be behind the best."""
        best = (self.sign * self.losses[self.finite]).min() if self.finite.any() else np.inf
        return float(self.sign * (screened - self.offset) - best)

    def with_more(
        self, chosen: CandidateSubset, screened: list[float], result: VerificationResult, sample: Mapping[int, float]
    ) -> Verified:
        """The same and these; the offset is from those of the sample, which are among the first."""
        candidates = np.array(chosen.candidates)
        order = np.argsort(np.concatenate([self.candidates, candidates]))
        names = sorted({*self.named, *result.named})

        def both(ours: Array | None, theirs: Array | None) -> Array:
            sides = (ours, len(self.losses)), (theirs, len(candidates))
            return np.concatenate([np.full(count, np.nan) if a is None else a for a, count in sides])[order]

        offset = self.offset
        if not len(self.candidates):
            fair = np.isin(candidates, list(sample)) & np.isfinite(result.losses)
            errors = (np.array(screened) - result.losses)[fair]
            offset = float(np.median(errors)) if len(errors) else 0.0
        return Verified(
            self.sign,
            offset,
            both(self.candidates, candidates),
            both(self.screened, np.array(screened)),
            both(self.losses, result.losses),
            {name: both(self.named.get(name), result.named.get(name)) for name in names},
            together(self.failures, chosen, result.failures),
        )

    def result(self, found: SearchResult, best: int) -> SearchResult:
        """The result of the search, with the best by the objective itself."""
        key = np.where(self.finite, self.sign * self.losses, np.inf)
        order = np.argsort(key, kind="stable")[: min(best, int(self.finite.sum()))]
        lows = np.flatnonzero(self.finite)[record_lows(key[self.finite])]
        return replace(
            found,
            best_index=self.candidates[order],
            best_loss=self.losses[order],
            best_named={name: column[order] for name, column in self.named.items()},
            low_index=self.candidates[lows],
            low_loss=self.losses[lows],
        )


def together(known: Failures, chosen: CandidateSubset, more: Failures) -> Failures:
    """Failures by candidate, and those of a verification by its items."""
    kinds = {n: kind for kind, runs in known.runs.items() for lo, hi in runs for n in range(lo, hi)}
    records = [(kind, record) for kind, of_kind in known.records.items() for record in of_kind]
    kinds |= {chosen.candidates[n]: kind for kind, runs in more.runs.items() for lo, hi in runs for n in range(lo, hi)}
    records += [
        (kind, replace(record, index=chosen.candidates[record.index]))
        for kind, of_kind in more.records.items()
        for record in of_kind
    ]
    return Failures.of(kinds, records)


def screened(method: Search) -> Generator[Method, Any, tuple[SearchResult, Screening]]:
    """Screen, verify, and verify more until no candidate that is left out could be the best.

    Raises:
        NoAnswer: if no screened loss, or no verified one, is finite.
    """
    found: SearchResult = yield replace(method, best=max(method.best, REACH))
    if not len(found.best_index):
        why = f"none of the {found.items:,} candidates has a finite screened loss: {listed(found.failures)}"
        raise NoAnswer(why, found.failures, method)
    finite = np.isfinite(found.loss)
    sample = dict(zip(found.index[finite][:SAMPLED].tolist(), found.loss[finite].tolist(), strict=False))
    best = dict(zip(found.best_index.tolist(), found.best_loss.tolist(), strict=True))
    wanted = sample | dict(list(best.items())[: max(FIRST, method.best)])
    verified = Verified(method.sign)
    while True:
        chosen = CandidateSubset(method.draws, tuple(sorted(wanted)))
        more: VerificationResult = yield Verification(chosen)
        verified = verified.with_more(chosen, [wanted[n] for n in chosen.candidates], more, sample)
        bound = CERTAINTY * verified.largest_error
        known = set(verified.candidates.tolist())
        left_out = {n: loss for n, loss in best.items() if n not in known}
        wanted = {n: loss for n, loss in left_out.items() if not verified.margin(loss) > bound}
        if not wanted:
            break
    if not verified.finite.any():
        why = f"none of the {len(verified.candidates)} verified candidates has a finite loss"
        raise NoAnswer(f"{why}: {listed(verified.failures)}", verified.failures, method)
    margin = np.inf
    if left_out or found.items - found.failures.count > len(best):
        margin = verified.margin(next(iter(left_out.values()), float(found.best_loss[-1])))
    screening = Screening(
        screen=method.screen or "",
        index=verified.candidates,
        screened=verified.screened,
        loss=verified.losses,
        offset=verified.offset,
        largest_error=verified.largest_error,
        margin=margin,
        certain=margin > bound,
        failures=verified.failures,
    )
    return verified.result(found, method.best), screening
