"""What routes share: the check that batches and plain calls agree, and failures in a line."""

from __future__ import annotations

from optitrip.core.failures import Failures
from optitrip.core.method import Points, Route
from optitrip.errors import NoAnswer
from optitrip.methods.shared.consistency import Agreement, AgreementResult


def listed(failures: Failures) -> str:
    """Return the number of failures of each kind, in words."""
    return ", ".join(f"{count:,} {kind}" for kind, count in failures.counts().items())


def agreement(points: Points, items: int) -> Route:
    """Go on only if batches and plain calls agree on the first items."""
    yield from checked(Agreement(points, items), "losses gives")


def checked(method: Agreement, gives: str) -> Route:
    result: AgreementResult = yield method
    for wrong in result.disagreements:
        first = result.failures.first()
        why = f"\n{first[1].traceback or first[1].message}" if first else ""
        raise NoAnswer(
            f"{method.title(wrong.index)}: {gives} {wrong.batched!r} where the plain call gives {wrong.plain!r}; "
            f"they may differ by {wrong.allowed:.3g}. Correct one of them, or give the objective a relative "
            f"`tolerance`.{why}"
        )
