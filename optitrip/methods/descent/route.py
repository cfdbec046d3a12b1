"""The stages of a descent: before the first step, one or more for each step, and at the best point."""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Method, Route, digest_of
from optitrip.core.point import Limits, Point
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.descent.answer import DescentAnswer
from optitrip.methods.descent.line_search import LineSearch, Searched
from optitrip.methods.descent.mini_batch import check_rows, on_mini_batches
from optitrip.methods.descent.rule import Rule
from optitrip.methods.descent.schedule import LINE_SEARCH, Schedule
from optitrip.methods.descent.sources import Slope, Source
from optitrip.methods.descent.trajectory import Trajectory
from optitrip.methods.gradient.result import norm
from optitrip.methods.gradient.route import Known
from optitrip.methods.points import Along, confined, flat_of, moved_to, only
from optitrip.methods.shared import LossAtX, Report, ReportResult
from optitrip.methods.snapshot import Columns, Snapshot

EVERY = 10
"""Number of steps between snapshots."""
DIVERGED = 1e8
"""Factor by which a loss may grow beyond the first, or beyond 1, before the descent counts as diverged."""


@dataclass(frozen=True)
class Descent:
    """A descent to run.

    Args:
        start: first point.
        steps: largest number of steps.
        rule: how a step follows from the gradient.
        schedule: rates of the steps.
        source: where the gradient comes from.
        digest: digest of everything that decides the path, beside the number of steps.
        limits: variables that must not leave an interval.
        sign: +1 to minimise, -1 to maximise.
        seed: seed of the mini-batches.
        rows: number of rows in a mini-batch; None for steps on all data.
        least_norm: norm of the gradient at which to stop.
        target_loss: loss at which to stop.
        no_improvement: number of steps without a better loss after which to stop.
    """

    start: Point
    steps: int
    rule: Rule
    schedule: Schedule
    source: Source
    digest: str
    limits: Limits | None = None
    sign: int = 1
    seed: int = 0
    rows: int | None = None
    least_norm: float | None = None
    target_loss: float | None = None
    no_improvement: int | None = None

    def ended(self, path: Trajectory, loss: float, size: float) -> str:
        """Return why the descent ends before its next step; empty if it goes on."""
        first = path.history["losses"][0] if path.steps else loss
        if not math.isfinite(loss):
            return f"diverged: the loss after {path.steps:,} steps is {loss}"
        if self.sign * (loss - first) > DIVERGED * max(1.0, abs(first)):
            return f"diverged: the loss after {path.steps:,} steps is {loss:.3g}, {first:.3g} at first"
        if math.isnan(size):
            return f"no coordinate of the gradient is known after {path.steps:,} steps"
        if self.least_norm is not None and size <= self.least_norm:
            return f"converged: the norm of the gradient is {size:.3g}"
        reached = path.best_loss if self.rows else loss
        if self.target_loss is not None and self.sign * reached <= self.sign * self.target_loss:
            return f"target_loss {self.target_loss:g} is reached"
        if self.no_improvement and path.steps - path.best_step >= self.no_improvement:
            return f"no better loss in {self.no_improvement:,} steps"
        return ""


def descent_route(descent: Descent, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a descent; return the answer.

    Raises NoAnswer if there is no loss at the first point, the rule fails, or `agree` is set and batches and plain
    calls give different losses.
    """
    if descent.rows:
        check_rows(descent.rows, capabilities)
    known = yield from descent.source.begin(descent.start, capabilities, agree=agree)
    answer: DescentAnswer = yield from followed(descent, known, capabilities)
    report = (yield Report(only(answer.best), 0)) if capabilities.report else ReportResult()
    return replace(answer, report_result=report, unchecked=known.unchecked)


def followed(descent: Descent, known: Known, capabilities: Capabilities) -> Route:
    """Yield the stages of the steps; return the answer without a report. Raises NoAnswer as `descent_route` does."""
    x = flat_of(descent.start)
    path = yield from recalled(descent, Trajectory(x, descent.rule.begin(x), x))
    ended = ""
    if descent.rows and not path.steps:
        path = yield from seen_whole(descent, path)
    while not ended and path.steps < descent.steps:
        path, ended = yield from step(descent, path, known, capabilities)
        if descent.rows and not ended and path.steps % EVERY == 0:
            path = yield from seen_whole(descent, path)
        if not ended and (path.steps % EVERY == 0 or path.steps == descent.steps):
            since = (path.steps - 1) // EVERY * EVERY
            yield Snapshot(descent.digest, path.steps, path.columns(since))
    if not ended:
        last: float = yield LossAtX(only(moved_to(descent.start, path.x)))
        path = path.counted(1, {}).seen(last, descent.sign)
        if not math.isfinite(last):
            ended = f"diverged: the loss after {path.steps:,} steps is {last}"
    else:
        last = math.nan
    if not math.isfinite(path.best_loss):
        raise NoAnswer(f"there is no loss at the first point: {ended}")
    best = moved_to(descent.start, path.best_x)
    return DescentAnswer(
        best, path, descent.rule.name, descent.sign, ended, last, noise=known.noise, mini_batch=descent.rows or 0
    )


def recalled(descent: Descent, path: Trajectory) -> Generator[Method, Any, Trajectory]:
    """Yield readings of one snapshot after the other; return the path of the last that is stored."""
    number = min(EVERY, descent.steps)
    while path.steps < descent.steps:
        # The first begins a stage, which all of the path joins.
        begins = not path.steps
        columns: Columns | None = yield Snapshot(descent.digest, number, only_stored=True, joins=not begins)
        if columns is None:
            return path
        path = path.continued(columns)
        number = min(number + EVERY, descent.steps)
    return path


def step(
    descent: Descent, path: Trajectory, known: Known, capabilities: Capabilities
) -> Generator[Method, Any, tuple[Trajectory, str]]:
    """Yield the stages of a step; return the path after it, and why it ends; without a step if it ends before."""
    center = moved_to(descent.start, path.x)
    taken = descent.source.take(center, path.steps, known, capabilities)
    if descent.rows:
        taken = on_mini_batches(taken, descent.seed, path.steps, descent.rows)
    slope: Slope = yield from taken
    path = path.counted(slope.evaluations, slope.failures)
    if not descent.rows:  # losses of different rows cannot be compared
        path = path.seen(slope.loss, descent.sign)
    missing = np.isnan(slope.gradient)
    gradient = np.where(missing, 0.0, descent.sign * slope.gradient)
    size = math.nan if missing.all() else norm(gradient)
    if ended := descent.ended(path, slope.loss, size):
        return path, ended
    rate = descent.schedule.rate(path.steps, descent.steps)
    searches = descent.schedule.word == LINE_SEARCH
    x, state = descent.rule.step(path.x, gradient, path.state, 1.0 if searches else rate)
    with ours():
        direction = np.where(missing, 0.0, path.x - x)  # an entry without a derivative stays where it is
    if not np.isfinite(direction).all():
        return path, f"diverged: step {path.steps:,} leads out of all numbers"
    if searches:
        tolerance = float(known.noise.at(np.array([slope.loss]))[0])
        stage = line_search(descent, center, slope, gradient, direction, tolerance)
        found: Searched = yield stage
        path = path.counted(found.losses, found.failures.counts())
        if found.rate is None:
            return path, f"no rate of the line search lowers the loss after {path.steps:,} steps"
        rate, direction = found.rate, found.rate * direction
    after = confined(center, path.x - direction, descent.limits)
    return path.stepped(after, state, slope.loss, size, rate), ""


def seen_whole(descent: Descent, path: Trajectory) -> Generator[Method, Any, Trajectory]:
    """Yield the stage of the loss on all data; return the path that has seen it."""
    loss: float = yield LossAtX(only(moved_to(descent.start, path.x)), joins=True)
    return path.counted(1, {}).seen(loss, descent.sign)


@ours()
def line_search(
    descent: Descent, center: Point, slope: Slope, gradient: Array, direction: Array, tolerance: float
) -> LineSearch:
    """Make the stage of losses at several rates, each a fraction of the one before."""
    options = descent.schedule.options
    rates = tuple(descent.schedule.first * options["factor"] ** n for n in range(int(options["points"])))
    points = Along(center, direction, rates, descent.limits)
    return LineSearch(points, slope.loss, -float(gradient @ direction), tolerance, descent.sign)


def descents_of(digest: str, rule: Rule, rate: float) -> str:
    """Return the digest of one of several descents that differ in rule and rate."""
    return digest_of("descent", {"of": digest, "rule": rule.name, "rate": rate}).hex()


def path_digest(fields: dict[str, Any]) -> str:
    """Return the digest of everything that decides the path of a descent."""
    return digest_of("descent", fields).hex()
