"""A search in two stages: a cheaper surrogate evaluates every candidate, then the objective itself verifies the best.

The answer uses the objective's own losses. It is the same as without screening, unless the surrogate's error for a
candidate that was not verified exceeds `CERTAINTY` times its largest error for any that was.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, joined
from optitrip.core.failures import Failures, Record
from optitrip.core.method import Method, digest_of
from optitrip.core.part import Part
from optitrip.methods.search.method import Search, SearchResult, improvements
from optitrip.methods.shared import PointMethod, no_answer
from optitrip.space.variables import Candidates

FIRST, SAMPLED = 64, 32
"""Numbers of candidates verified in the first round: those the surrogate ranks best, and a sample chosen independently
of it, which shows its typical error: its best ones are too often those that it overrates."""
MOST_VERIFIED = 4_096
"""Number of best candidates stored from the screening stage; no more can be verified."""
CERTAINTY = 2.0
"""Safety factor: a candidate is skipped only if it could not win unless the surrogate's error for it exceeded this
many times the largest known one."""


@dataclass(frozen=True)
class Verification(PointMethod[Candidates]):
    """Evaluates the candidates `indices` with the objective itself; the result is the whole part."""

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


@dataclass(frozen=True, eq=False)
class Screening:
    """The candidates verified so far, in order of index, and the surrogate's errors for them."""

    screen: str
    """Description of the surrogate."""
    sign: int
    """+1 to minimise, -1 to maximise."""
    index: Array
    """Indices of the verified candidates, int64, ascending."""
    screened: Array
    """Surrogate losses of these candidates."""
    loss: Array
    """Losses of these candidates by the objective itself; NaN where one failed."""
    named: Mapping[str, Array]
    """Other numbers that the objective returned, by name, beside `loss`."""
    failures: Failures
    offset: float
    """Median error of the surrogate over the sample."""
    margin: float = np.inf
    """Estimated loss gap between the best candidate and the nearest unverified one; infinite if all were verified."""

    @classmethod
    def of(
        cls, search: Search, rounds: list[tuple[Verification, Part]], losses: Mapping[int, float], sample: Array
    ) -> "Screening":
        """Combine rounds of verification, the surrogate's losses and the indices of the sample."""
        index = np.array([n for method, _ in rounds for n in method.indices], np.int64)
        order = np.argsort(index)
        numbers = joined([part.columns for _, part in rounds], "loss", "")
        named = {name: column[order] for name, column in numbers.items()}
        loss, screened = named.pop("loss"), np.array([losses[n] for n in index[order].tolist()])
        errors = (screened - loss)[np.isin(index[order], sample) & np.isfinite(loss)]
        offset = float(np.median(errors)) if len(errors) else 0.0
        kinds: dict[int, str] = {}
        records: list[tuple[str, Record]] = []
        for method, part in rounds:
            for kind, runs in part.failures.runs.items():
                kinds |= {method.indices[item]: kind for lo, hi in runs for item in range(lo, hi)}
            for kind, found in part.failures.records.items():
                records += [(kind, replace(record, index=method.indices[record.index])) for record in found]
        failures = Failures.of(kinds, records)
        return cls(search.screen or "", search.sign, index[order], screened, loss, named, failures, offset)

    @property
    def finite(self) -> Array:
        return np.isfinite(self.loss)

    @property
    def largest_error(self) -> float:
        """Largest error of the surrogate after subtracting the offset."""
        errors = np.abs(self.screened - self.offset - self.loss)[self.finite]
        return float(errors.max()) if len(errors) else np.inf

    @property
    def bound(self) -> float:
        """Error that the surrogate is trusted not to exceed."""
        return CERTAINTY * self.largest_error

    @property
    def certain(self) -> bool:
        """True if no error within the bound could change the answer."""
        return self.margin > self.bound

    def margin_of(self, screened: float) -> float:
        """Return the estimated loss gap between the best and a candidate with this screened loss."""
        best = (self.sign * self.loss[self.finite]).min() if self.finite.any() else np.inf
        return float(self.sign * (screened - self.offset) - best)

    def result(self, found: SearchResult, best: int) -> SearchResult:
        """Return the search's result with the best by the objective in place of the best by the surrogate."""
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


def screened(method: Search) -> Generator[Method, Any, tuple[SearchResult, Screening]]:
    """Screen, then verify until no unverified candidate could be the best. Raises NoAnswer if no screened loss, or no
    verified one, is finite."""
    found: SearchResult = yield replace(method, best=max(method.best, MOST_VERIFIED))
    if not len(found.best_index):
        reason = f"none of the {found.items:,} candidates has a finite screened loss"
        raise no_answer(reason, found.failures, method)
    sample = np.flatnonzero(np.isfinite(found.loss))[:SAMPLED]
    best = dict(zip(found.best_index.tolist(), found.best_loss.tolist(), strict=True))
    losses = best | dict(zip(found.index[sample].tolist(), found.loss[sample].tolist(), strict=True))
    wanted = {*found.index[sample].tolist(), *list(best)[: max(FIRST, method.best)]}
    rounds: list[tuple[Verification, Part]] = []
    while True:
        verification = Verification(method.points, tuple(sorted(wanted)))
        rounds.append((verification, (yield verification)))
        screening = Screening.of(method, rounds, losses, found.index[sample])
        verified, bound = set(screening.index.tolist()), screening.bound
        left_out = {n: loss for n, loss in best.items() if n not in verified}
        wanted = {n for n, loss in left_out.items() if not screening.margin_of(loss) > bound}
        if not wanted:
            break
    if not screening.finite.any():
        reason = f"none of the {len(screening.index)} verified candidates has a finite loss"
        raise no_answer(reason, screening.failures, method)
    if left_out or found.items - found.failures.count > len(best):
        nearest = next(iter(left_out.values()), float(found.best_loss[-1]))
        screening = replace(screening, margin=screening.margin_of(nearest))
    return screening.result(found, method.best), screening
