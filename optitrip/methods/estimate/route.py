"""The stages of an estimate: noise, slopes, a check of the step along a few directions, and the sum."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import Method, Route
from optitrip.core.point import Limits, Point
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.loss.returns import DOUBLE
from optitrip.methods.checks import Agreement, Nearby, check_agreement
from optitrip.methods.estimate.answer import EstimateAnswer
from optitrip.methods.estimate.combination import Combination, Combined
from optitrip.methods.estimate.directions import Directions
from optitrip.methods.estimate.lengths import lengths_of
from optitrip.methods.estimate.moves import Movable
from optitrip.methods.estimate.slopes import Ends, Slopes, SlopesResult
from optitrip.methods.estimate.truncation import checked_step
from optitrip.methods.gradient.measuring import measured_noise
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.points import only
from optitrip.methods.shared import LossAtX, Report, ReportResult, no_answer


class Level(NamedTuple):
    """The noise of the loss."""

    noise: Noise
    relative: float
    """Standard deviation at x relative to the loss there."""


def estimate_route(
    center: Point,
    directions: Directions,
    step: float | Array | None,
    capabilities: Capabilities,
    limits: Limits | None = None,
    *,
    noise: float | None = None,
    errors: bool = True,
    agree: bool = True,
) -> Route:
    """Yield the stages of an estimate; return the answer.

    Args:
        center: x.
        directions: the directions.
        step: h, for all entries or each; None for automatic steps.
        capabilities: what the loss offers.
        limits: variables that must not leave an interval.
        noise: standard deviation of the loss, if it is known.
        errors: True to measure the noise and check the step for the error, also where the step is given.
        agree: True to check that batches and plain calls give the same losses.

    Raises:
        NoAnswer: if no direction has a slope, or batches and plain calls disagree.
    """
    unchecked, eps = "", DOUBLE
    if capabilities.losses and agree:
        agreed = yield from check_agreement(Agreement(Nearby(center, directions.seed)))
        unchecked, eps = agreed.unchecked, agreed.eps
    level = Level(Noise(level=noise or 0.0, eps=eps), eps)
    if noise is None and (errors or step is None):
        measured = yield from measured_noise(center, directions.seed, limits)
        level = Level(measured.noise, relative(measured.noise, measured.at_x))
    elif noise is not None and step is None:
        level = Level(level.noise, relative(level.noise, (yield LossAtX(only(center)))))
    method = slopes_of(center, directions, step, level.relative, limits)
    method, result, truncation = yield from slopes_along(method, level.noise, adapt=step is None, errors=errors)
    ends = method.ends[0]
    combined: Combined = yield Combination(center, directions, result.slopes, ends.length, limits, scale=ends.scale)
    report = (yield Report(ends, 0)) if capabilities.report else ReportResult()
    return EstimateAnswer(
        method, result, combined, report, measured=level.noise, truncation=truncation, unchecked=unchecked
    )


def relative(noise: Noise, at_x: float) -> float:
    """Return the standard deviation relative to the loss at x; where there is no such loss, that of rounding."""
    return noise.relative(at_x) if np.isfinite(at_x) else noise.eps


def slopes_along(
    method: Slopes, noise: Noise, *, adapt: bool, errors: bool
) -> Generator[Method, Any, tuple[Slopes, SlopesResult, float]]:
    """Yield the stages of slopes; return the last one, its result, and the truncation error of its slopes.

    With `adapt`, slopes of which the check shows that the step is far too long are taken again with a shorter one.
    """
    result: SlopesResult = yield method
    if not np.isfinite(result.slopes).any():
        raise no_answer(f"none of the {len(result.slopes):,} directions has a slope", result.failures, method)
    if not errors:
        return method, result, 0.0
    better, truncation = yield from checked_step(method, result, noise, adapt=adapt)
    if better is None:
        return method, result, truncation
    again: SlopesResult = yield better
    return (better, again, truncation) if np.isfinite(again.slopes).any() else (method, result, truncation)


def slopes_of(
    center: Point,
    directions: Directions,
    step: float | Array | None,
    eps: float = DOUBLE,
    limits: Limits | None = None,
) -> Slopes:
    """Make the stage of slopes, by default with steps for losses of this relative noise; raise NoAnswer for a step that
    leaves x as it is."""
    coarsest = max([eps, *(float(np.finfo(center.values[name].dtype).eps) for name in center.varied)])
    lengths = lengths_of(center, step, coarsest)
    lengths = lengths._replace(length=lengths.length * directions.length)
    vector = np.full(center.size, center.size**0.5) if directions.kind == "coordinates" else directions.vector(0)
    movable = Movable(center, range(center.size), limits)
    after = movable.moved(lengths.moves(vector))
    if (after == movable.x).all() or not np.isfinite(after).all():
        length = lengths.length / directions.length
        raise NoAnswer(f"no direction can be taken: a step of {length:g} leads from x to itself, or out of all numbers")
    first = Ends(center, directions, lengths.length, 1, limits, lengths.scale)
    return Slopes((first, replace(first, side=-1)), 1 + directions.count)
