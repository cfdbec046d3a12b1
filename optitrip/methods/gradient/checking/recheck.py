"""Looks again, with shorter steps, where an analytic gradient seems wrong.

The error of a numeric entry is an estimate, and too small now and then: where a step of a float32 loss crosses a kink,
or a loss oscillates between its points. A right entry must not be called wrong for that. Steps that are shorter show
it, since they contradict the longer ones; where they agree, the entry stays wrong. Two stages, since a gradient that is
wrong everywhere need not be evaluated again everywhere.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Method
from optitrip.methods.gradient.checking.comparison import Comparison
from optitrip.methods.gradient.method import Gradient, Refinement, taken_again
from optitrip.methods.gradient.structured import Deltas

SHORTER = (1 / 2, 1 / 4, 1 / 8, 1 / 64)
"""Factors of the steps."""
FEW, MANY = 8, 4096
"""Most coordinates in the first and in the second round. The second is only for a gradient of which the first excuses
an entry."""


@dataclass(frozen=True)
class Recheck(Refinement):
    """Differences along coordinates that look wrong."""

    kind = "recheck"


@ours()
def suspects(comparison: Comparison, most: int) -> Array:
    """Return rows that look wrong and were not looked at again, those farthest outside of their interval first."""
    low, high = comparison.intervals
    looked = np.zeros(len(low), bool)
    for again in comparison.again:
        looked[comparison.result.rows_of(again.coordinates)] = True
    outside = np.fmax(low - comparison.analytic, comparison.analytic - high) / np.fmax(high - low, 1e-300)
    outside = np.where(comparison.wrong & ~looked & np.isfinite(comparison.analytic), outside, -1.0)
    rows = np.argsort(-outside, kind="stable")[:most]
    return np.sort(rows[outside[rows] >= 0])


def rechecked(method: Gradient, comparison: Comparison) -> Generator[Method, Any, Comparison]:
    """Yield stages along coordinates that look wrong; return the comparison with what they show."""
    if isinstance(method, Deltas):
        return comparison  # computed without noise
    for most in (FEW, MANY):
        if not len(rows := suspects(comparison, most)):
            break
        for factor in SHORTER:
            stage = with_shorter_steps(method, comparison, rows, factor)
            comparison = replace(comparison, again=(*comparison.again, (yield stage)))
        if comparison.wrong[rows].all():
            break
    return comparison


def with_shorter_steps(method: Gradient, comparison: Comparison, rows: Array, factor: float) -> Recheck:
    """Make the stage along some rows."""
    result = comparison.result
    return taken_again(Recheck, method, result.coordinates[rows], factor * np.abs(result.step[rows]), result.loss)
