"""The stages of a gradient: check the objective's differences, evaluate, report x, ask for the analytic gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optitrip.core.method import Route
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.gradient.method import Gradient, GradientResult
from optitrip.methods.gradient.structured import Deltas, DeltasAgreement
from optitrip.methods.shared.report import Report, ReportResult
from optitrip.methods.shared.steps import agreement, checked, listed


@dataclass(frozen=True, eq=False)
class Found:
    """What the stages of a gradient came to."""

    result: GradientResult
    method: Gradient
    reported: ReportResult | None
    """What the objective reports of x, if it reports anything."""
    derived: ReportResult | None
    """The objective's own gradient, if it offers one."""


def gradient_route(method: Gradient, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a numeric gradient; return what was found.

    Args:
        method: the gradient.
        offers: what the objective offers.
        agree: whether batches and plain calls must agree; no two losses would if they are not deterministic.

    Raises:
        NoAnswer: if batches or deltas disagree with plain calls, or no coordinate has a difference.
    """
    stuck = method.stuck(range(method.items))
    if len(stuck) == method.items - 1:
        raise NoAnswer(f"no coordinate can take a step: {stuck[0].message}")
    if isinstance(method, Deltas) and agree:
        yield from checked(DeltasAgreement(method.points, min(3, method.items), method=method), "deltas gives")
    elif capabilities.losses and agree:
        yield from agreement(method.points, min(2, method.items))
    result: GradientResult = yield method
    if not np.isfinite(result.flat).any():
        why = f"none of the {result.items - 1:,} coordinates has a difference: {listed(result.failures)}"
        raise NoAnswer(why, result.failures, method)
    report = derived = None
    if capabilities.report:
        report = yield Report(method.points, 0)
    if capabilities.gradient:
        derived = yield Report(method.points, 0, method.center.varied)
    return Found(result, method, report, derived)
