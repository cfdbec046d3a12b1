"""The line search: the largest of several rates whose step lowers the loss enough.

All rates can be evaluated at once; one worker takes the larger first and stops at the first that will do, which is
backtracking. The answer is the same.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from optitrip.core.failures import Failures
from optitrip.core.method import StopRule, digest_of
from optitrip.core.part import Part
from optitrip.methods.points import Along
from optitrip.methods.shared import PointMethod

SUFFICIENT = 1e-4
"""Share of the decrease along the slope that will do (L. Armijo, "Minimization of functions having Lipschitz continuous
first partial derivatives", 1966)."""


class Searched(NamedTuple):
    """The outcome of a line search."""

    rate: float | None
    """Largest rate whose step will do; None if there is none."""
    losses: int
    """Number of losses that were evaluated."""
    failures: Failures


class FirstGoodRate(StopRule):
    """Ends the search at the first rate that will do and behind which nothing is missing."""

    def __init__(self, method: "LineSearch") -> None:
        super().__init__(method.items)
        self._method = method

    def see(self, part: Part) -> None:
        for row in np.flatnonzero(self._method.good(part))[:1].tolist():
            self.items = min(self.items, part.items[row] + 1)


@dataclass(frozen=True)
class LineSearch(PointMethod[Along]):
    """The losses after steps of several rates, the largest first; the result is `Searched`.

    Args:
        points: the points, one per rate.
        loss: loss at x.
        slope: derivative of the loss by the rate, at the rate 0; negative if the step leads down.
        tolerance: noise of the loss, by which it may rise: else the search fails at the bottom of a valley.
        sign: +1 to minimise, -1 to maximise.
    """

    points: Along
    loss: float
    slope: float
    tolerance: float
    sign: int = 1
    kind = "line search"
    joins = True

    @property
    def items(self) -> int:
        return len(self.points.rates)

    def digest(self) -> bytes:
        fields = {"points": self.points.describe(), "loss": self.loss, "slope": self.slope}
        return digest_of(self.kind, {**fields, "tolerance": self.tolerance, "sign": self.sign})

    def stop_rule(self) -> StopRule:
        return FirstGoodRate(self)

    def good(self, part: Part) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """Return which steps of a part lower the loss enough."""
        rates = np.array(self.points.rates[part.items.start : part.items.stop])
        allowed = SUFFICIENT * rates * min(self.slope, 0.0) + 2 * self.tolerance
        return self.sign * (part.columns["loss"] - self.loss) <= allowed

    def result(self, whole: Part) -> Searched:
        rows = np.flatnonzero(self.good(whole))
        rate = self.points.rates[rows[0]] if len(rows) else None
        return Searched(rate, len(whole.items), whole.failures)
