"""Routes of one method: check the ladder, run it, ask for the rest."""

from __future__ import annotations

import numpy as np

from optitrip.answers.gradient import GradientAnswer
from optitrip.answers.search import SearchAnswer
from optitrip.draws import Draws
from optitrip.errors import NoAnswer
from optitrip.methods import Points
from optitrip.methods.agreement import Agreement, AgreementResult
from optitrip.methods.deltas import Deltas, DeltasAgreement
from optitrip.methods.gradient import Gradient, GradientResult, gradient_of
from optitrip.methods.report import Report, ReportResult
from optitrip.methods.search import Search, SearchResult
from optitrip.objective import Offers
from optitrip.part import Failures
from optitrip.routes import Route
from optitrip.samplers.random import permutation
from optitrip.spec import Sweep
from optitrip.tables import GradientTable


def single(sweep: Sweep, offers: Offers) -> Route:
    """Yield the stages of a sweep of one method; return its answer.

    Raises:
        NoAnswer: if batched and plain losses disagree, no loss is finite, or no coordinate has a derivative.
    """
    method = method_of(sweep, offers)
    return search(method, offers) if isinstance(method, Search) else gradient(method, offers)


def method_of(sweep: Sweep, offers: Offers) -> Search | Gradient:
    """The method that a sweep describes."""
    table = sweep.method
    if not isinstance(table, GradientTable):
        draws = Draws(sweep.space, sweep.seed, table.sampler)
        return Search(draws, table.candidates, table.best, maximize=sweep.objective.maximize)
    if sweep.base is None:
        raise RuntimeError("the point of a gradient was not looked up")
    coordinates = np.arange(sweep.base.size)
    if sweep.items < sweep.base.size:
        coordinates = permutation(sweep.seed, "coordinate", "", sweep.base.size)
    elif offers.order is not None and len(offers.order) == sweep.base.size:
        coordinates = offers.order
    by_losses = gradient_of(sweep.base, coordinates, table.scheme, table.step, 1 + sweep.items)
    return Deltas(by_losses.sides, by_losses.items, block=offers.deltas_block) if offers.around else by_losses


def search(method: Search, offers: Offers) -> Route:
    """A search: the winner is reported."""
    if offers.losses:
        yield from agreement(method.points, min(2, method.items))
    result: SearchResult = yield method
    if not len(result.best_index):
        why = f"none of the {result.items:,} candidates has a finite loss: {listed(result.failures)}"
        raise NoAnswer(why, result.failures, method.points)
    report: ReportResult | None = None
    if offers.report:
        report = yield Report(method.points, int(result.best_index[0]))
    return SearchAnswer(result, method.draws, report)


def gradient(method: Gradient, offers: Offers) -> Route:
    """A numeric gradient: x is reported, and the objective's own gradient is asked for."""
    stuck = method.stuck(range(method.items))
    if len(stuck) == method.items - 1:
        raise NoAnswer(f"no coordinate can take a step: {stuck[0].message}")
    if isinstance(method, Deltas):
        yield from checked(DeltasAgreement(method.points, min(3, method.items), method=method), "deltas gives")
    elif offers.losses:
        yield from agreement(method.points, min(2, method.items))
    result: GradientResult = yield method
    if not np.isfinite(result.flat).any():
        why = f"none of the {result.items - 1:,} coordinates has a difference: {listed(result.failures)}"
        raise NoAnswer(why, result.failures, method.points)
    report = derived = None
    if offers.report:
        report = yield Report(method.points, 0)
    if offers.gradient:
        derived = yield Report(method.points, 0, method.center.varied)
    return GradientAnswer(result, method, report, derived)


def listed(failures: Failures) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in failures.counts().items())


def agreement(points: Points, items: int) -> Route:
    """Go on only if batches and plain calls agree on the first items."""
    yield from checked(Agreement(points, items), "losses gives")


def checked(method: Agreement, gives: str) -> Route:
    result: AgreementResult = yield method
    points = method.points
    for wrong in result.disagreements:
        first = result.failures.first()
        why = f"\n{first[1].traceback or first[1].message}" if first else ""
        raise NoAnswer(
            f"{points.title(wrong.index)}: {gives} {wrong.batched!r} where the plain call gives {wrong.plain!r}; "
            f"they may differ by {wrong.allowed:.3g}. Correct one of them, or give the objective a relative "
            f"`tolerance`.{why}"
        )
