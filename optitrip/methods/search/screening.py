"""A search in two stages: a cheaper surrogate evaluates every candidate, then the objective itself verifies the best.

The answer uses the objective's own losses. It is the same as without screening, unless the surrogate's error for a
candidate that was not verified exceeds `SAFETY` times its largest error for any that was. Whether it does cannot be
known: the surrogate may be in another regime for a few candidates. So a random sample is verified too, and what is
reported is what was seen.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, joined
from optitrip.core.failures import Failures, Record
from optitrip.core.method import Method, digest_of
from optitrip.core.part import Part
from optitrip.loss.objective import Objective
from optitrip.methods.search.method import Search, SearchResult, evaluator, improvements
from optitrip.methods.shared import PointMethod, no_answer
from optitrip.samplers.random import stream_key, uniform_index
from optitrip.space.candidates import Candidates

FIRST, SAMPLED = 64, 32
"""Numbers of candidates verified in the first round: those the surrogate ranks best, and a sample chosen independently
of it, which shows its typical error: its best ones are too often those that it overrates."""
RANDOM = 64
"""Size of the random sample of all candidates, which shows errors that those of the first round do not. If 1 % of the
candidates are in another regime, it holds one of them with a probability of 47 %; if 5 %, with 96 %."""
MOST_VERIFIED = 4_096
"""Number of best candidates stored from the screening stage, and of candidates without a screened loss that are
verified; no more of either can be."""
SAFETY = 2.0
"""Safety factor: a candidate is skipped only if it could not win unless the surrogate's error for it exceeded this
many times the largest known one."""


@dataclass(frozen=True)
class Chosen(PointMethod[Candidates]):
    """Evaluates the candidates `indices`, in order, and again from the first; the result is the whole part."""

    points: Candidates
    indices: tuple[int, ...]
    retried = True

    def point_index(self, item: int) -> int:
        return self.indices[item % len(self.indices)]

    def values(self, items: range) -> dict[str, Array]:
        points = [self.point(item) for item in items]
        values = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
        for column in values.values():
            column.flags.writeable = False
        return values

    def result(self, whole: Part) -> Part:
        return whole


@dataclass(frozen=True)
class Verification(Chosen):
    """Evaluates the candidates `indices` with the objective itself, or the surrogate."""

    screen: str | None = None
    """Description of the surrogate, if it evaluates them."""
    kind = "verification"

    @property
    def items(self) -> int:
        return len(self.indices)

    def digest(self) -> bytes:
        fields = {"draws": self.points.describe(), "candidates": list(self.indices)}
        return digest_of(self.kind, {**fields, "screen": self.screen} if self.screen else fields)

    def prepare(self, objective: Objective) -> Objective:
        return evaluator(objective, self.screen)

    @property
    def preparation(self) -> bytes:
        return (self.screen or "").encode()

    def evaluations(self, items: range) -> int:
        return 0 if self.screen else len(items)


def failed_candidates(rounds: Iterable[tuple[Chosen, Part]]) -> Failures:
    """Return the failures of several stages by the indices of the candidates."""
    kinds: dict[int, str] = {}
    records: list[tuple[str, Record]] = []
    for method, part in rounds:
        for kind, runs in part.failures.runs.items():
            kinds |= {method.point_index(item): kind for lo, hi in runs for item in range(lo, hi)}
        for kind, found in part.failures.records.items():
            records += [(kind, replace(record, index=method.point_index(record.index))) for record in found]
    return Failures.of(kinds, records)


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
    """Surrogate losses of these candidates; NaN where the surrogate failed."""
    loss: Array
    """Losses of these candidates by the objective itself; NaN where one failed."""
    named: Mapping[str, Array]
    """Other numbers that the objective returned, by name, beside `loss`."""
    failures: Failures
    offset: float
    """Median error of the surrogate over the sample of the first round."""
    random: int
    """Number of verified candidates that were drawn at random from all."""
    unseen: int = 0
    """Number of candidates of which nothing is known: the surrogate failed, and they were too many to verify."""
    margin: float = np.inf
    """Estimated loss gap between the best candidate and the nearest unverified one with a screened loss; infinite if
    there is none."""

    @classmethod
    @np.errstate(all="ignore")  # errors may overflow, which is then a sign of a better candidate
    def of(
        cls,
        search: Search,
        rounds: list[tuple[Verification, Part]],
        losses: Mapping[int, float],
        sample: Array,
        random: int,
    ) -> "Screening":
        """Combine rounds of verification, the surrogate's losses, the indices of the first round's sample and the size
        of the random one."""
        index = np.array([n for method, _ in rounds for n in method.indices], np.int64)
        order = np.argsort(index)
        numbers = joined([part.columns for _, part in rounds], "loss", "")
        named = {name: column[order] for name, column in numbers.items()}
        loss, screened = named.pop("loss"), np.array([losses.get(n, np.nan) for n in index[order].tolist()])
        errors = (screened - loss)[np.isin(index[order], sample) & np.isfinite(loss)]
        offset = float(np.median(errors)) if len(errors) else 0.0
        offset = offset if np.isfinite(offset) else 0.0
        failures = failed_candidates(rounds)
        return cls(search.screen or "", search.sign, index[order], screened, loss, named, failures, offset, random)

    @property
    def finite(self) -> Array:
        return np.isfinite(self.loss)

    @property
    @np.errstate(all="ignore")
    def largest_error(self) -> float:
        """Largest error of the surrogate after subtracting the offset; infinite if none is known."""
        errors = np.abs(self.screened - self.offset - self.loss)[self.finite & np.isfinite(self.screened)]
        return float(errors.max()) if len(errors) else np.inf

    @property
    def bound(self) -> float:
        """Error that the surrogate is trusted not to exceed."""
        return SAFETY * self.largest_error

    @property
    def sign_of_better(self) -> bool:
        """True if an error within the bound could make an unverified candidate the best. False is no proof that there
        is none: errors are known for verified candidates only."""
        return self.margin != np.inf and not self.margin > self.bound

    @property
    def summary(self) -> str:
        """Line that says what was seen, and no more."""
        chosen = len(self.index) - self.random
        verified = f"{chosen:,} + a random sample of {self.random:,}" if chosen else f"{self.random:,}"
        seen = f"largest error {self.largest_error:.3g} on {verified}"
        if np.isfinite(self.margin):
            seen = f"margin {self.margin:.3g}, {seen}"
        elif not self.unseen:
            return f"all {len(self.index):,} verified, {seen}"
        unseen = f"; nothing is known of {self.unseen:,}, for which the screen failed" if self.unseen else ""
        return f"{'a better one is possible' if self.sign_of_better else 'no sign of a better one'}: {seen}{unseen}"

    def margin_of(self, screened: float) -> float:
        """Return the estimated loss gap between the best and a candidate with this screened loss."""
        best = float((self.sign * self.loss[self.finite]).min()) if self.finite.any() else np.inf
        gap = self.sign * (screened - self.offset) - best
        return min(gap, float(np.finfo(np.float64).max))  # an infinite margin says that nothing was left out

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


def random_sample(method: Search) -> list[int]:
    """Draw candidates from all, each equally likely, ascending; there are fewer than `RANDOM` if some are drawn twice.
    With more candidates most of the sample stays."""
    seed = method.points.seed
    return sorted({uniform_index(stream_key(seed, "sample", str(n)), method.items) for n in range(RANDOM)})


def first_failed(failures: Failures) -> list[int]:
    """Return the lowest indices that failed, at most `MOST_VERIFIED`, ascending."""
    runs = sorted(run for runs in failures.runs.values() for run in runs)
    return list(islice(chain.from_iterable(range(lo, hi) for lo, hi in runs), MOST_VERIFIED))


def screened(method: Search) -> Generator[Method, Any, tuple[SearchResult, Screening]]:
    """Screen, then verify until no unverified candidate seems able to be the best; those for which the surrogate
    failed are verified too. Raises NoAnswer if no screened loss, or no verified one, is finite."""
    found: SearchResult = yield replace(method, best=max(method.best, MOST_VERIFIED))
    if not len(found.best_index):
        reason = f"none of the {found.items:,} candidates has a finite screened loss"
        raise no_answer(reason, found.failures, method)
    sample = np.flatnonzero(np.isfinite(found.loss))[:SAMPLED]
    best = dict(zip(found.best_index.tolist(), found.best_loss.tolist(), strict=True))
    losses = best | dict(zip(found.index[sample].tolist(), found.loss[sample].tolist(), strict=True))
    random, failed = random_sample(method), first_failed(found.failures)
    losses |= yield from screened_losses(method, found, [n for n in random if n not in losses])
    wanted = {*found.index[sample].tolist(), *list(best)[: max(FIRST, method.best)], *random, *failed}
    rounds: list[tuple[Verification, Part]] = []
    while True:
        verification = Verification(method.points, tuple(sorted(wanted)))
        rounds.append((verification, (yield verification)))
        screening = Screening.of(method, rounds, losses, found.index[sample], len(random))
        verified, bound = set(screening.index.tolist()), screening.bound
        left_out = {n: loss for n, loss in best.items() if n not in verified}
        wanted = {n for n, loss in left_out.items() if not screening.margin_of(loss) > bound}
        if not wanted:
            break
    if not screening.finite.any():
        reason = f"none of the {len(screening.index)} verified candidates has a finite loss"
        raise no_answer(reason, screening.failures, method)
    verified_failed = {*failed, *(n for n in random if n not in losses)}
    screening = replace(screening, unseen=found.failures.count - len(verified_failed))
    if left_out or found.feasible - found.failures.count > len(best):
        nearest = next(iter(left_out.values()), float(found.best_loss[-1]))
        screening = replace(screening, margin=screening.margin_of(nearest))
    return screening.result(found, method.best), screening


def screened_losses(
    method: Search, found: SearchResult, indices: Sequence[int]
) -> Generator[Method, Any, dict[int, float]]:
    """Return surrogate losses of candidates: the stored ones, and those of a further stage where none is stored."""
    places = np.minimum(np.searchsorted(found.index, indices), len(found.index) - 1)
    stored = dict(zip(found.index[places].tolist(), found.loss[places].tolist(), strict=True)) if len(indices) else {}
    others = tuple(n for n in indices if n not in stored)
    if others:
        again: Part = yield Verification(method.points, others, method.screen)
        stored |= dict(zip(others, again.columns["loss"].tolist(), strict=True))
    return {n: loss for n, loss in stored.items() if np.isfinite(loss)}
