"""What the routes of several methods share."""

from __future__ import annotations

from optitrip.core.failures import Failures
from optitrip.core.method import Items, Points, Route
from optitrip.errors import NoAnswer
from optitrip.methods.shared.consistency import Agreement, AgreementResult


def no_answer(reason: str, failures: Failures, items: Items) -> NoAnswer:
    """Return the error of a stage without a usable item, with the number of failures of each kind."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in failures.counts().items())
    return NoAnswer(f"{reason}: {counts}", failures, items)


def check_batches(points: Points, items: int) -> Route:
    """Go on only if batches and plain calls agree on the first items."""
    yield from check_agreement(Agreement(points, items), "losses gives")


def check_agreement(method: Agreement, fast: str) -> Route:
    """Go on only if the fast call and plain calls agree.

    Raises:
        NoAnswer: if they do not, with both losses; `fast` is the fast call and its verb, for the message.
    """
    result: AgreementResult = yield method
    for wrong in result.disagreements:
        first = result.failures.first()
        why = f"\n{first[1].traceback or first[1].message}" if first else ""
        raise NoAnswer(
            f"{method.title(wrong.index)}: {fast} {wrong.fast!r} where the plain call gives {wrong.plain!r}; "
            f"they may differ by {wrong.allowed:.3g}. Correct one of them, or give the objective a relative "
            f"`tolerance`.{why}"
        )
