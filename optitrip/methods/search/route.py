"""The stages of a search: check that batches and plain calls agree, draw and evaluate, report the winner."""

from __future__ import annotations

from dataclasses import dataclass

from optitrip.core.method import Route
from optitrip.loss.objective import Capabilities
from optitrip.methods.search.method import Search, SearchResult
from optitrip.methods.search.screening import Screening, screened
from optitrip.methods.shared.base import no_answer
from optitrip.methods.shared.consistency import Agreement, check_agreement
from optitrip.methods.shared.report import Report, ReportResult


@dataclass(frozen=True, eq=False)
class SearchResults:
    """The results of a search's stages."""

    result: SearchResult
    screening: Screening | None
    """How candidates were chosen for verification, if they were screened; the stored losses are the surrogate's."""
    report_result: ReportResult | None
    """The report of the winner, if the objective reports anything."""


def search_route(method: Search, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a search, with screening or without; return their results.

    With `agree` batches and plain calls must give the same losses, which a loss that is not deterministic never does.

    Raises:
        NoAnswer: if batches and plain calls disagree, or no loss is finite.
    """
    if capabilities.losses and agree:
        yield from check_agreement(Agreement(method.points, min(2, method.items)))
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
    return SearchResults(result, screening, report)
