"""The route of one search: check the ladder, search, report the winner."""

from __future__ import annotations

from dataclasses import dataclass

from optitrip.errors import NoAnswer
from optitrip.methods.agreement import Agreement, AgreementResult
from optitrip.methods.draws import Draws
from optitrip.methods.report import Report, ReportResult
from optitrip.methods.search import Search, SearchResult
from optitrip.objective import Offers
from optitrip.routes import Route
from optitrip.spec import Sweep


@dataclass(frozen=True, eq=False)
class Found:
    """The answer of a search: its result, the winner's figures, and the draws that give any candidate's values."""

    search: SearchResult
    report: ReportResult | None
    draws: Draws


def single(sweep: Sweep, offers: Offers) -> Route:
    """Yield the stages of a sweep of one search; return a `Found`.

    Raises:
        NoAnswer: if batched and plain losses disagree, or no loss is finite.
    """
    draws = Draws(sweep.space, sweep.seed, sweep.method.sampler)
    return search(Search(draws, sweep.method.candidates, sweep.method.best), offers)


def search(method: Search, offers: Offers) -> Route:
    """The same for any search."""
    if offers.losses:
        agreement: AgreementResult = yield Agreement(method.draws, items=min(2, method.items))
        for wrong in agreement.disagreements:
            first = agreement.failures.first()
            why = f"\n{first[1].traceback or first[1].message}" if first else ""
            raise NoAnswer(
                f"candidate {wrong.index}: losses gives {wrong.batched!r} where the plain call gives {wrong.plain!r}; "
                f"they may differ by {wrong.allowed:.3g}. Correct one of them, or give the objective a relative "
                f"`tolerance`.{why}"
            )
    result: SearchResult = yield method
    if not len(result.best_index):
        found = ", ".join(f"{count:,} {kind}" for kind, count in result.failures.counts().items())
        raise NoAnswer(f"none of the {result.items:,} candidates has a finite loss: {found}", result.failures)
    report: ReportResult | None = None
    if offers.report:
        report = yield Report(method.draws, int(result.best_index[0]))
    return Found(result, report, method.draws)
