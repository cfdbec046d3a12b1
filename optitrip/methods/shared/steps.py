"""What routes share: the check that the steps of the ladder agree, failures in a line, the report of the best."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from optitrip.core.method import Method, Points, Route
from optitrip.errors import NoAnswer
from optitrip.methods.search.method import Search, SearchResult
from optitrip.methods.shared.agreement import Agreement, AgreementResult
from optitrip.methods.shared.report import Report, ReportResult
from optitrip.objective import Offers
from optitrip.part import Failures


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


def reported(method: Search, result: SearchResult, offers: Offers) -> Generator[Method, Any, ReportResult | None]:
    """What the objective says of the best candidate beside its loss, if it says anything."""
    return (yield Report(method.points, int(result.best_index[0]))) if offers.report else None
