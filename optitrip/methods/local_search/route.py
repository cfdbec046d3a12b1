"""The stages of a local search: the loss at the first point, one generation after the other, a report on the best."""

import math
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import Method, Route
from optitrip.core.point import Limits, Point
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.checks import Agreement, Nearby, check_agreement
from optitrip.methods.local_search.answer import LocalSearchAnswer
from optitrip.methods.local_search.generation import Around, Generation, Tried
from optitrip.methods.points import flat_of, moved_to, only
from optitrip.methods.shared import LossAtX, Report, ReportResult
from optitrip.methods.snapshot import Columns, Snapshot

EVERY = 10
"""Number of generations between snapshots."""
WORD = "try"
"""Noun for what snapshots count."""
FAILED = "failed "
"""Prefix of the columns with numbers of failures."""


@dataclass(frozen=True)
class LocalSearch:
    """A local search to run.

    Args:
        start: first point.
        tries: number of moves to try.
        generation: number of moves from the same point.
        step: standard deviation of the moves at first.
        halve_after: number of generations without a better loss after which the step is halved; 0 for never.
        seed: seed of the moves.
        digest: digest of everything that decides the moves, beside their number.
        limits: variables that must not leave an interval.
        sign: +1 to minimise, -1 to maximise.
        target_loss: loss at which to stop.
        no_improvement: number of tries without a better loss after which to stop.
    """

    start: Point
    tries: int
    generation: int
    step: float
    halve_after: int
    seed: int
    digest: str
    limits: Limits | None = None
    sign: int = 1
    target_loss: float | None = None
    no_improvement: int | None = None


@dataclass(frozen=True, eq=False)
class Climb:
    """A local search after some generations.

    Args:
        x: best point so far, float64 of shape (coordinates,).
        loss: loss there.
        step: standard deviation of the next moves.
        tried: number of moves so far.
        idle: number of generations without a better loss, since the last or since the step was halved.
        improved: numbers of the tries that were better, float64, with 0 for the first point.
        losses: their losses.
        failures: numbers of failed tries by kind.
    """

    x: Array
    loss: float
    step: float
    tried: int = 0
    idle: int = 0
    improved: Array = field(default_factory=lambda: np.zeros(1))
    losses: Array = field(default_factory=lambda: np.zeros(0))
    failures: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def last_improved(self) -> int:
        """Number of tries at the last better loss."""
        return int(self.improved[-1])

    def columns(self) -> dict[str, Array]:
        """Return everything for a snapshot."""
        counts = {FAILED + kind: np.array([count]) for kind, count in self.failures.items()}
        numbers = np.array([self.loss, self.step, self.tried, self.idle])
        return {"x": self.x, "numbers": numbers, "improved": self.improved, "losses": self.losses, **counts}


def restored(columns: Columns) -> Climb:
    """Return the state of a snapshot."""
    loss, step, tried, idle = columns["numbers"].tolist()
    counts = {name.removeprefix(FAILED): int(value[0]) for name, value in columns.items() if name.startswith(FAILED)}
    return Climb(columns["x"], loss, step, int(tried), int(idle), columns["improved"], columns["losses"], counts)


def local_search_route(search: LocalSearch, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a local search; return the answer.

    Raises NoAnswer if there is no loss at the first point, or `agree` is set and batches and plain calls give different
    losses.
    """
    unchecked = ""
    if capabilities.losses and agree:
        unchecked = (yield from check_agreement(Agreement(Nearby(search.start, search.seed)))).unchecked
    first: float = yield LossAtX(only(search.start))
    if not math.isfinite(first):
        raise NoAnswer(f"there is no loss at the first point: it is {first}")
    climb = Climb(flat_of(search.start), first, search.step, losses=np.array([first]))
    climb = yield from recalled(search, climb)
    ended = ""
    while climb.tried < search.tries and not ended:
        climb = yield from generation(search, climb)
        whole = climb.tried % search.generation == 0
        if whole and climb.tried // search.generation % EVERY == 0:
            yield Snapshot(search.digest, climb.tried, climb.columns())
        ended = why_ended(search, climb)
    best = moved_to(search.start, climb.x)
    report = (yield Report(only(best), 0)) if capabilities.report else ReportResult()
    return LocalSearchAnswer(
        best=best,
        loss=climb.loss,
        tried=climb.tried,
        improved=climb.improved,
        losses=climb.losses,
        step=climb.step,
        counts=climb.failures,
        sign=search.sign,
        ended=ended,
        report_result=report,
        unchecked=unchecked,
    )


def recalled(search: LocalSearch, climb: Climb) -> Generator[Method, Any, Climb]:
    """Yield readings of one snapshot after the other; return the state of the last that is stored."""
    apart = EVERY * search.generation
    number = apart
    while number <= search.tries or number == apart:
        # The first begins a stage, which all generations join.
        columns: Columns | None = yield Snapshot(
            search.digest, number, only_stored=True, joins=number > apart, word="try"
        )
        if columns is None or number > search.tries:
            break
        climb = restored(columns)
        number += apart
    return climb


def generation(search: LocalSearch, climb: Climb) -> Generator[Method, Any, Climb]:
    """Yield the stage of a generation; return the state after it. Ties go to the first try."""
    size = min(search.generation, search.tries - climb.tried)
    around = Around(moved_to(search.start, climb.x), climb.tried, climb.step, search.seed, search.limits)
    tried: Tried = yield Generation(around, size, search.generation, search.sign)
    counts = Counter(climb.failures)
    counts.update(tried.failures.counts())
    climb = replace(climb, tried=climb.tried + size, failures=dict(counts), idle=climb.idle + 1)
    keys = np.where(np.isfinite(tried.losses), search.sign * tried.losses, np.inf)
    best = int(np.argmin(keys))
    if keys[best] < search.sign * climb.loss:
        x = flat_of(around.end(best))
        improved = np.append(climb.improved, around.first + best + 1)
        losses = np.append(climb.losses, tried.losses[best])
        return replace(climb, x=x, loss=float(tried.losses[best]), idle=0, improved=improved, losses=losses)
    if search.halve_after and climb.idle >= search.halve_after:
        return replace(climb, step=climb.step / 2, idle=0)
    return climb


def why_ended(search: LocalSearch, climb: Climb) -> str:
    """Return why a local search ends before its last try; empty if it goes on."""
    if search.target_loss is not None and search.sign * climb.loss <= search.sign * search.target_loss:
        return f"target_loss {search.target_loss:g} is reached"
    if search.no_improvement and climb.tried - climb.last_improved >= search.no_improvement:
        return f"no better loss in {search.no_improvement:,} tries"
    return ""
