"""The stages of a search: check that batches and plain calls agree, draw and evaluate, report the winner."""

from __future__ import annotations

from dataclasses import dataclass

from optitrip.core.method import Route
from optitrip.loss.objective import Capabilities
from optitrip.methods.search.method import Search, SearchResult
from optitrip.methods.search.screening import Screening, screened
from optitrip.methods.shared.report import Report, ReportResult
from optitrip.methods.shared.routes import check_batches, no_answer


@dataclass(frozen=True, eq=False)
class RouteResult:
    """The results of the stages."""

    result: SearchResult
    report: ReportResult | None
    """The report of the winner, if the objective reports anything."""
    screening: Screening | None = None
    """How candidates were chosen for verification, if they were screened."""


def search_route(method: Search, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a search, with screening or without; return their results.

    Args:
        method: the search.
        capabilities: what the objective offers.
        agree: whether batches and plain calls must agree; no two losses do if they are not deterministic.

    Raises:
        NoAnswer: if batches and plain calls disagree, or no loss is finite.
    """
    if capabilities.losses and agree:
        yield from check_batches(method.points, min(2, method.items))
    screening = report = None
    if method.screen:
        result, screening = yield from screened(method)
    else:
        result: SearchResult = yield method
        if not len(result.best_index):
            reason = f"none of the {result.items:,} candidates has a finite loss"
            raise no_answer(reason, result.failures, method)
    if capabilities.report:
        report = yield Report(method.points, int(result.best_index[0]))
    return RouteResult(result, report, screening)
