"""Agreement: items evaluated by the fast call and by the plain call, which must give the same loss.

A fast call (a batch, a structured difference) that differs from the plain loss is a bug of the user that nobody would
ever see; so once a sweep two items are evaluated both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import Points, Route, digest_of
from optitrip.core.part import Part
from optitrip.errors import NoAnswer
from optitrip.loss.returns import Evaluation
from optitrip.methods.shared.base import PointMethod


@dataclass(frozen=True)
class Agreement(PointMethod[Points]):
    """The first `items` of some points, both ways. Its result describes the first disagreement; empty if all agree."""

    points: Points
    items: int = 2
    kind = "agreement"
    fast_call = "losses"
    common_column = "batched"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def evaluate(self, context: Any, items: range) -> Part:
        in_batch = context.evaluate(self.points.values, items)
        one_by_one = context.evaluate_plainly(self.points.values, items)
        allowed = [
            context.allowed_difference(loss, double=in_batch.double) if np.isfinite(loss) else 0.0
            for loss in one_by_one.losses.tolist()
        ]
        return compared(items, in_batch, one_by_one, np.array(allowed))

    def failed_part(self, items: range, problems: Problems) -> Part:
        nothing = Evaluation(items, problems=problems)
        return compared(items, nothing, nothing, np.zeros(len(items)))

    def result(self, whole: Part) -> str:
        fast, plain, allowed = (whole.columns[name] for name in ("batched", "plain", "allowed"))
        # Two losses that are NaN, or the same infinity, agree.
        wrong = np.flatnonzero(~np.isclose(fast, plain, rtol=0, atol=allowed, equal_nan=True))
        if not len(wrong):
            return ""
        row = int(wrong[0])
        first = whole.failures.first()
        why = f"\n{first[1].traceback or first[1].message}" if first else ""
        return (
            f"{self.title(whole.items[row])}: {self.fast_call} gives {float(fast[row])!r} where the plain call gives "
            f"{float(plain[row])!r}; they may differ by {allowed[row]:.3g}. Correct one of them, or give the objective "
            f"a relative `tolerance`.{why}"
        )


def compared(items: range, fast: Evaluation, plain: Evaluation, allowed: Array) -> Part:
    """Return both losses of each item; an item that fails both ways is left to the next stage to record."""
    one_way = {items[row] for row in np.flatnonzero(np.isfinite(fast.losses) != np.isfinite(plain.losses)).tolist()}
    found = [(kind, record) for way in (fast, plain) for kind, record in way.problems if record.index in one_way]
    failures = Failures.of({record.index: kind for kind, record in found}, found)
    return Part(items, {"batched": fast.losses, "plain": plain.losses, "allowed": allowed}, failures)


def check_agreement(method: Agreement) -> Route:
    """Go on only if the fast call and the plain call agree.

    Raises:
        NoAnswer: if they disagree, with both losses.
    """
    disagreement: str = yield method
    if disagreement:
        raise NoAnswer(disagreement)
