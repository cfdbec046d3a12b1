"""The stages of an adaptive search: one batch after the other, each asked for once the losses of the last are told."""

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import Method, Points, Route, digest_of, merged
from optitrip.core.part import Part
from optitrip.loss.objective import Capabilities
from optitrip.methods.adaptive.batch import Batch
from optitrip.methods.adaptive.cube import Asked, Cube
from optitrip.methods.adaptive.searcher import Guarded, SearcherChoice
from optitrip.methods.checks import MOST_COMPARED, Agreement, check_agreement
from optitrip.methods.search.answer import SearchAnswer
from optitrip.methods.search.method import Search, SearchResult
from optitrip.methods.search.recheck import RecheckTable, rechecked
from optitrip.methods.shared import Report, ReportResult, no_answer
from optitrip.methods.snapshot import Snapshot

PREFIX = 100
"""Number of first candidates; if they all fail, the mistake is in the loss, and more would show nothing new."""


@dataclass(frozen=True)
class AdaptiveSearch:
    """An adaptive search to run.

    Args:
        search: the search of all candidates; those that it would draw serve to compare batches and plain calls.
        searcher: how the searcher is made.
        batch: number of candidates that are asked for at a time.
    """

    search: Search
    searcher: SearcherChoice
    batch: int

    @property
    def items(self) -> int:
        """Largest number of candidates."""
        return self.search.items

    @property
    def cube(self) -> Cube:
        """The unit cube of the space."""
        return Cube.of(self.search.points.space)

    def stage(self, unit: Array, told: "Told") -> Batch:
        """Return the stage of the next batch, or of as much of it as is wanted.

        Args:
            unit: points that the searcher asks for, float64 of shape (batch, coordinates).
            told: everything before.
        """
        drawn, name = self.search.points, self.searcher.name
        count = min(self.batch, self.items - told.count)
        points = Asked(drawn.space, drawn.seed, name, unit)
        search = replace(self.search, points=points, items=count, no_improvement=None)
        fields: dict[str, Any] = {"search": self.search.digest().hex(), "searcher": name, "batch": self.batch}
        # With failures retried, a resumed searcher is told other losses, and goes another way.
        digest = digest_of("told", {**fields, "options": repr(self.searcher.options), "losses": told.digest}).hex()
        return Batch(search, told.count, self.batch, digest, name, told.best if told.best_at >= 0 else None)


@dataclass(eq=False)
class Told:
    """Everything that was asked for and told so far."""

    units: list[Array] = field(default_factory=list[Array])
    parts: list[Part] = field(default_factory=list[Part])
    count: int = 0
    """Number of candidates."""
    best: float = float("nan")
    """Best loss."""
    best_at: int = -1
    """Number of the candidate with the best loss; -1 without one."""
    digest: str = ""
    """Digest of all losses, in order."""

    def add(self, stage: Batch, tried: Part) -> None:
        """Add the result of a batch."""
        losses, sign = tried.columns["loss"], stage.search.sign
        self.units.append(stage.asked.unit_rows[: len(losses)])
        self.parts.append(stage.numbered(tried))
        keys = np.where(np.isfinite(losses), sign * losses, np.inf)
        if np.isfinite(keys.min()) and not keys.min() >= sign * self.best:
            self.best, self.best_at = float(losses[np.argmin(keys)]), self.count + int(np.argmin(keys))
        self.count += len(losses)
        losses = np.where(np.isfinite(losses), losses, np.nan)  # in one spelling, as the searcher sees them
        self.digest = hashlib.blake2b(self.digest.encode() + losses.tobytes(), digest_size=16).hexdigest()


def adaptive_route(
    adaptive: AdaptiveSearch,
    capabilities: Capabilities,
    *,
    recheck: RecheckTable | None = None,
    agree: bool = True,
    word: str = "loss",
) -> Route:
    """Yield the stages of an adaptive search; return the answer, that of a search.

    Raises NoAnswer if the searcher fails, no loss is finite, or `agree` is set and batches and plain calls give
    different losses; StateError if the searcher asks for other points than those that are stored.
    """
    search, unchecked = adaptive.search, ""
    if capabilities.losses and agree:
        drawn: Points = search.points
        unchecked = (yield from check_agreement(Agreement(drawn, min(MOST_COMPARED, search.items)))).unchecked
    searcher = adaptive.searcher.begin(adaptive.cube, search.points.seed, adaptive.batch)
    told, ended = Told(), ""
    yield Snapshot("", 0, only_stored=True, joins=False)  # begins a stage, which all batches join
    while told.count < adaptive.items and not ended:
        yield from batch(adaptive, searcher, told)
        if told.best_at < 0 and told.count >= min(PREFIX, adaptive.items):
            raise none_finite(adaptive, told)
        ended = why_ended(search, told)
    points = Asked(search.points.space, search.points.seed, adaptive.searcher.name, np.concatenate(told.units))
    result: SearchResult = search.result(merged(told.parts, search.merge))
    found = None
    if recheck is not None:
        found = yield from rechecked(points, result, None, recheck)
        result = found.result(result)
    best = int(result.best_index[0])
    report = (yield Report(points, best)) if capabilities.report else ReportResult()
    return SearchAnswer(
        loss=float(result.best_loss[0]),
        index=best,
        candidates=points,
        maximize=search.maximize,
        named={name: float(column[0]) for name, column in result.best_named.items()},
        result=result,
        screening=None,
        recheck=found,
        report_result=report,
        word=word,
        ended=ended,
        unchecked=unchecked,
        noisy=not agree or capabilities.noisy,
        how_to_read=capabilities.how_to_read,
    )


def batch(adaptive: AdaptiveSearch, searcher: Guarded, told: Told) -> Generator[Method, Any, None]:
    """Yield the stage of a batch, and tell the searcher."""
    unit = searcher.ask(adaptive.batch, adaptive.cube.size)
    stage = adaptive.stage(unit, told)
    tried: Part = yield stage
    told.add(stage, tried)
    if len(tried.items) == adaptive.batch:  # or else it is the last
        searcher.tell(unit, adaptive.search.sign * tried.columns["loss"])


def none_finite(adaptive: AdaptiveSearch, told: Told) -> Exception:
    """Return the error for candidates that have all failed."""
    points = Asked(adaptive.search.points.space, 0, adaptive.searcher.name, np.concatenate(told.units))
    failures = merged(told.parts, adaptive.search.merge).failures
    return no_answer(f"none of the first {told.count:,} candidates has a finite loss", failures, points)


def why_ended(search: Search, told: Told) -> str:
    """Return why the search ends before its last candidate; empty if it goes on."""
    if told.count >= search.items or told.best_at < 0:
        return ""
    target, sign = search.target_loss, search.sign
    if target is not None and sign * told.best <= sign * target:
        return f"candidate {told.best_at:,} met the target of {target:g}: the search ends there"
    if search.no_improvement and told.count - told.best_at > search.no_improvement:
        return f"no improvement in {search.no_improvement:,} candidates: the search ends at {told.count:,}"
    return ""
