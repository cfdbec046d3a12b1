"""The stages of a gradient: check the objective's differences, evaluate, report x, ask for the analytic gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optitrip.core.method import Route
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.gradient.method import Gradient, GradientResult
from optitrip.methods.gradient.structured import Deltas, DeltasAgreement
from optitrip.methods.shared.base import no_answer
from optitrip.methods.shared.consistency import Agreement, check_agreement
from optitrip.methods.shared.report import Report, ReportResult


@dataclass(frozen=True, eq=False)
class GradientResults:
    """The results of a gradient's stages."""

    result: GradientResult
    method: Gradient
    report_result: ReportResult | None = None
    """The report of x, if the objective reports anything."""
    analytic_result: ReportResult | None = None
    """The objective's own gradient, if it offers one."""


def gradient_route(method: Gradient, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a numeric gradient; return their results.

    With `agree` the fast and the plain calls must give the same losses, which a loss that is not deterministic never
    does.

    Raises:
        NoAnswer: if batches or deltas disagree with plain calls, or no coordinate has a difference.
    """
    without_step = method.without_step(range(method.items))
    if len(without_step) == method.items - 1:
        raise NoAnswer(f"no coordinate can take a step: {without_step[0].message}")
    if isinstance(method, Deltas) and agree:
        yield from check_agreement(DeltasAgreement(method.points, min(3, method.items), method=method))
    elif capabilities.losses and agree:
        yield from check_agreement(Agreement(method.points, min(2, method.items)))
    result: GradientResult = yield method
    if not np.isfinite(result.flat).any():
        reason = f"none of the {result.items - 1:,} coordinates has a difference"
        raise no_answer(reason, result.failures, method)
    report = (yield Report(method.points, 0)) if capabilities.report else None
    analytic = (yield Report(method.points, 0, method.center.varied)) if capabilities.gradient else None
    return GradientResults(result, method, report, analytic)
