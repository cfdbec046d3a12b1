"""A search whose best candidates are evaluated again, several times: of a noisy loss, the best of many is partly luck.

The winner is the one with the best mean of these evaluations, which know nothing of the search's own.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from optitrip.core.arrays import Array, Column, joined, ours
from optitrip.core.failures import Failures
from optitrip.core.method import Method, digest_of, merged
from optitrip.core.part import Part
from optitrip.core.table import Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Objective
from optitrip.methods.search.method import KEEP_ALL, SearchResult
from optitrip.methods.search.rungs import Halved
from optitrip.methods.search.screening import Chosen, Screening, failed_candidates
from optitrip.methods.search.table import CandidateTable
from optitrip.methods.shared import constraints, no_answer
from optitrip.output.tables import merged_columns
from optitrip.space.candidates import Candidates
from optitrip.space.columns import scalar_columns

FEWEST = 2
"""Least number of finite losses of a candidate with a standard error."""
TOLD_APART = 2.0
"""Number of standard errors of a difference from which on two candidates count as different."""


class RecheckTable(Table):
    """The table `recheck` of a search: the best candidates are evaluated again."""

    best: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Number of candidates."""
    repeats: Annotated[int, Field(ge=FEWEST, le=10_000)] = 5
    """Number of evaluations of each."""


def check_recheck(recheck: RecheckTable | None, candidates: int, best: int) -> None:
    """Raise Invalid if the search does not store as many candidates as are rechecked."""
    if recheck is not None and recheck.best > best and candidates > KEEP_ALL:
        problem = f"is {recheck.best:,}, but of more than {KEEP_ALL:,} candidates only the best {best:,} are stored"
        raise Invalid(("method", "recheck", "best"), f"{problem}; raise [method] best, or lower this")


def described(recheck: RecheckTable | None) -> str:
    """Return what is evaluated again, for a plan."""
    return "" if recheck is None else f"; the best {recheck.best:,} evaluated {recheck.repeats:,} times again"


@dataclass(frozen=True)
class Recheck(Chosen):
    """Evaluates the candidates `indices` again: all of them once, then all once more, and so on."""

    repeats: int
    kind = "recheck"

    @property
    def items(self) -> int:
        return len(self.indices) * self.repeats

    def title(self, item: int, side: int | None = 0) -> str:
        return f"{super().title(item, side)}, evaluated again ({item // len(self.indices) + 1} of {self.repeats})"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"draws": self.points.describe(), "candidates": list(self.indices)})

    def evaluate(self, context: Objective, items: range) -> Part:
        parts: list[Part] = []
        for number in range(items.start // len(self.indices), -(-items.stop // len(self.indices))):
            first = number * len(self.indices)
            within = range(max(items.start, first), min(items.stop, first + len(self.indices)))
            parts.append(self.part(context.again(1 + number).evaluate(self.values, within, *constraints(self.points))))
        return merged(parts, self.merge)


@dataclass(frozen=True, eq=False)
class Rechecked:
    """The candidates that were evaluated again, the best mean first; those with too few finite losses last."""

    index: Array
    """Indices of the candidates, int64."""
    searched: Array
    """Losses of these candidates in the search."""
    losses: Array
    """Losses of these candidates in each evaluation, float64 of shape (candidates, repeats); NaN where one failed."""
    named: Mapping[str, Array]
    """Means of other numbers that the objective returned, by name."""
    maximize: bool
    failures: Failures

    @property
    def repeats(self) -> int:
        """Number of evaluations of each candidate."""
        return self.losses.shape[1]

    @property
    def counts(self) -> Array:
        """Number of finite losses of each candidate."""
        return np.isfinite(self.losses).sum(axis=1)

    @property
    def means(self) -> Array:
        """Mean of the finite losses of each candidate; NaN where there are too few."""
        return means_of(self.losses)

    @property
    @ours()
    def errors(self) -> Array:
        """Standard error of each mean."""
        deviations = np.where(np.isfinite(self.losses), self.losses - self.means[:, np.newaxis], 0)
        return np.sqrt((deviations**2).sum(axis=1) / (self.counts - 1) / self.counts)

    @property
    def usable(self) -> int:
        """Number of candidates with a mean."""
        return int(np.isfinite(self.means).sum())

    def behind(self, place: int) -> tuple[float, float]:
        """Return how far a candidate is behind the best, and the standard error of that."""
        difference = abs(float(self.means[place] - self.means[0]))
        return difference, float(np.hypot(self.errors[0], self.errors[place]))

    @property
    def as_good(self) -> int:
        """Number of others that cannot be told from the best."""
        found = (self.behind(place) for place in range(1, self.usable))
        return sum(difference <= TOLD_APART * error for difference, error in found)

    def words(self) -> list[str]:
        """Return what the best is, and what can be said of the next."""
        failed = self.repeats - int(self.counts[0])
        seen = f", of which {failed} failed" if failed else ""
        first = f"mean of {self.repeats} evaluations{seen}, standard error {self.errors[0]:.3g}; "
        first += f"in the search it was {self.searched[0]:.6g}"
        if self.usable < 2:
            return [first, "no other candidate was evaluated again"]
        difference, error = self.behind(1)
        second = f"the runner-up (candidate {int(self.index[1]):,}) is {difference:.3g} behind, "
        second += f"with a standard error of {error:.3g}"
        if difference > TOLD_APART * error:
            return [first, second]
        others = f"it and {self.as_good - 1:,} others" if self.as_good > 1 else "it"
        return [first, f"{second}: {others} may be as good, and more repeats would tell"]

    def how_sure(self) -> list[str]:
        """Return in short how sure the best is, with what matters first."""
        reasons = [f"mean of {self.repeats}, standard error {self.errors[0]:.3g}"]
        if self.usable > 1:
            difference, error = self.behind(1)
            next_best = f"candidate {int(self.index[1]):,}"
            others = f" and {self.as_good - 1:,} others" if self.as_good > 1 else ""
            reasons += [f"{next_best}{others} may be as good"] if difference <= TOLD_APART * error else []
            reasons += [f"{next_best} is {difference:.3g} behind, with a standard error of {error:.3g}"]
        return [*reasons, f"in the search it was {self.searched[0]:.6g}"]

    def result(self, found: SearchResult) -> SearchResult:
        """Return a search's result with the best by these means."""
        usable = self.usable
        named = {name: column[:usable] for name, column in self.named.items()}
        return replace(found, best_index=self.index[:usable], best_loss=self.means[:usable], best_named=named)

    def table(self, candidates: Candidates) -> dict[str, Column]:
        """Return index, mean, its standard error, loss in the search, number of finite losses, means of other outputs
        and scalar variables."""
        losses = {"index": self.index, "loss": self.means, "standard_error": self.errors, "searched": self.searched}
        return merged_columns({**losses, "finite": self.counts}, self.named, scalar_columns(candidates, self.index))


@ours()
def means_of(losses: Array) -> Array:
    """Return the means of the finite entries in each row; NaN where there are too few."""
    finite = np.isfinite(losses)
    counts = finite.sum(axis=1)
    return np.where(counts >= FEWEST, np.where(finite, losses, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def rechecked(
    points: Candidates,
    found: SearchResult,
    screening: Screening | None,
    recheck: RecheckTable,
    halved: Halved | None = None,
) -> Generator[Method, Any, Rechecked]:
    """Evaluate the best candidates of a search again. Raises NoAnswer if none has enough finite losses."""
    index, searched, _ = CandidateTable(points, found, screening, halved=halved).ranked(recheck.best)
    order = np.argsort(index)
    index, searched = index[order], searched[order]
    method = Recheck(points, tuple(index.tolist()), recheck.repeats)
    whole: Part = yield method
    numbers = joined([whole.columns], "loss", "")
    columns = {name: column.reshape(recheck.repeats, len(index)).T for name, column in numbers.items()}
    losses = columns.pop("loss")
    means = means_of(losses)
    key = np.where(np.isfinite(means), -means if found.maximize else means, np.inf)
    best = np.argsort(key, kind="stable")  # ties to the lower index
    named = {name: means_of(column)[best] for name, column in columns.items()}
    failures = failed_candidates([(method, whole)])
    result = Rechecked(index[best], searched[best], losses[best], named, found.maximize, failures)
    if not result.usable:
        reason = f"none of the {len(index)} candidates that were evaluated again has {FEWEST} finite losses"
        raise no_answer(reason, failures, points)
    return result
