"""The stages of a search: check that batches and plain calls agree, draw and evaluate, report the winner."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from optitrip.core.method import Method, Route
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.search.method import Search, SearchResult
from optitrip.methods.search.screening import Screening, screened
from optitrip.methods.shared.report import Report, ReportResult
from optitrip.methods.shared.steps import agreement, listed


@dataclass(frozen=True, eq=False)
class Found:
    """What the stages of a search came to."""

    result: SearchResult
    reported: ReportResult | None
    """What the objective reports of the winner, if it reports anything."""
    screening: Screening | None = None
    """How candidates were chosen for verification, if they were screened."""


def search_route(method: Search, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a search, with screening or without; return what was found.

    Args:
        method: the search.
        offers: what the objective offers.
        agree: whether batches and plain calls must agree; no two losses would if they are not deterministic.

    Raises:
        NoAnswer: if batches and plain calls disagree, or no loss is finite.
    """
    if capabilities.losses and agree:
        yield from agreement(method.draws, min(2, method.items))
    screening = None
    if method.screen:
        result, screening = yield from screened(method)
    else:
        result = yield method
        if not len(result.best_index):
            why = f"none of the {result.items:,} candidates has a finite loss: {listed(result.failures)}"
            raise NoAnswer(why, result.failures, method)
    return Found(result, (yield from reported(method, result, capabilities)), screening)


def reported(
    method: Search, result: SearchResult, capabilities: Capabilities
) -> Generator[Method, Any, ReportResult | None]:
    """Yield the report of the best candidate, if the objective reports anything; return it."""
    return (yield Report(method.draws, int(result.best_index[0]))) if capabilities.report else None
