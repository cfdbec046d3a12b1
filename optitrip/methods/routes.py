"""Routes of one method: check the ladder, run it, ask for the rest."""

from __future__ import annotations

import numpy as np

from optitrip.core.method import Route
from optitrip.draws import Draws
from optitrip.errors import NoAnswer
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.method import Gradient, GradientResult, gradient_of
from optitrip.methods.gradient.structured import Deltas, DeltasAgreement
from optitrip.methods.search.answer import SearchAnswer
from optitrip.methods.search.method import Search, SearchResult
from optitrip.methods.search.screening import screened
from optitrip.methods.shared.report import Report
from optitrip.methods.shared.steps import agreement, checked, listed, reported
from optitrip.objective import Offers
from optitrip.samplers.random import permutation
from optitrip.spec import Sweep
from optitrip.tables import GradientTable


def single(sweep: Sweep, offers: Offers) -> Route:
    """Yield the stages of a sweep of one method; return its answer.

    Raises:
        NoAnswer: if batched and plain losses disagree, no loss is finite, or no coordinate has a derivative.
    """
    method, agree = method_of(sweep, offers), sweep.objective.deterministic
    if isinstance(method, Search):
        return (screened if method.screen else search)(method, offers, agree=agree)
    return gradient(method, offers, agree=agree)


def method_of(sweep: Sweep, offers: Offers) -> Search | Gradient:
    """The method that a sweep describes."""
    table = sweep.method
    if not isinstance(table, GradientTable):
        draws = Draws(sweep.space, sweep.seed, table.sampler)
        return Search(
            draws,
            table.candidates,
            table.best,
            maximize=sweep.objective.maximize,
            screen=table.screen_said,
            target_loss=sweep.stop.target_loss,
            no_improvement=sweep.stop.no_improvement,
        )
    if sweep.base is None:
        raise RuntimeError("the point of a gradient was not looked up")
    coordinates = np.arange(sweep.base.size)
    if sweep.items < sweep.base.size:
        coordinates = permutation(sweep.seed, "coordinate", "", sweep.base.size)
    elif offers.order is not None and len(offers.order) == sweep.base.size:
        coordinates = offers.order
    by_losses = gradient_of(sweep.base, coordinates, table.scheme, table.step, 1 + sweep.items)
    return Deltas(by_losses.sides, by_losses.items, block=offers.deltas_block) if offers.around else by_losses


def search(method: Search, offers: Offers, *, agree: bool = True) -> Route:
    """A search: the winner is reported. The steps of the ladder must agree, unless no two losses would."""
    if offers.losses and agree:
        yield from agreement(method.points, min(2, method.items))
    result: SearchResult = yield method
    if not len(result.best_index):
        why = f"none of the {result.items:,} candidates has a finite loss: {listed(result.failures)}"
        raise NoAnswer(why, result.failures, method.points)
    return SearchAnswer(result, method.draws, (yield from reported(method, result, offers)))


def gradient(method: Gradient, offers: Offers, *, agree: bool = True) -> Route:
    """A numeric gradient: x is reported, and the objective's own gradient is asked for."""
    stuck = method.stuck(range(method.items))
    if len(stuck) == method.items - 1:
        raise NoAnswer(f"no coordinate can take a step: {stuck[0].message}")
    if isinstance(method, Deltas) and agree:
        yield from checked(DeltasAgreement(method.points, min(3, method.items), method=method), "deltas gives")
    elif offers.losses and agree:
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
