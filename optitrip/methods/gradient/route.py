"""The stages of a numeric gradient: noise, differences, better steps where they help, what the objective knows."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import Method, Route
from optitrip.core.point import Limits, Point
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.checks import MOST_COMPARED, Agreement, Nearby, Probe, Repeat, check_agreement
from optitrip.methods.gradient.across import consistent_across
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.checking.route import checked
from optitrip.methods.gradient.consistency import consistent
from optitrip.methods.gradient.measuring import noise_where_steps_lead
from optitrip.methods.gradient.method import Gradient, Refinement, gradient_of, taken_again
from optitrip.methods.gradient.noise import SMALLEST, Noise, ShortLine
from optitrip.methods.gradient.refine import better_steps, is_too_long
from optitrip.methods.gradient.result import GradientResult
from optitrip.methods.gradient.schemes import SCHEMES
from optitrip.methods.gradient.structured import Deltas, DeltasAgreement, deltas_of
from optitrip.methods.shared import LossAtX, Report, ReportResult, no_answer
from optitrip.samplers.random import permutation

REFINEMENTS = 3
"""Most rounds after the first."""


@dataclass(frozen=True)
class GradientRequest:
    """A gradient to compute.

    Args:
        center: x.
        coordinates: flat coordinates, int64, in the order of evaluation.
        items: number of the first of them that are wanted, plus one for x itself.
        scheme: name of the scheme; None for the best that suits the loss.
        step: h, for all coordinates or each; None for automatic steps.
        noise: standard deviation of the loss, if it is known.
        errors: True to estimate the error of every coordinate.
        limits: variables that must not leave an interval.
        seed: seed of the random directions of checks.
        f0: loss at x, if it is known.
    """

    center: Point
    coordinates: Array
    items: int
    scheme: str | None = None
    step: float | Array | None = None
    noise: float | None = None
    errors: bool = True
    limits: Limits | None = None
    seed: int = 0
    f0: float | None = None

    @property
    def point(self) -> Point:
        """Parameters of the loss."""
        return self.center

    @property
    def point_limits(self) -> Limits | None:
        """Limits of the parameters."""
        return self.limits

    def sizes(self) -> Array:
        """Return the scales of all coordinates, to which automatic steps are relative: max(0.01, |x|), float64."""
        return np.maximum(SMALLEST, np.abs(self.center.entries(np.arange(self.center.size))))

    def gradient(self, noise: Noise, capabilities: Capabilities, at_x: float = np.nan) -> Gradient:
        """Make the main stage, for losses with this noise; `at_x` is f(x) if it is known."""
        if capabilities.around:
            return self.deltas(noise, capabilities)
        scheme = self.scheme or ("four_point" if self.step is None else "forward")
        step = self.step
        if step is None and np.isfinite(at_x):
            # A first guess: a second round finds better ones where it matters.
            step = noise.relative(at_x) ** (1 / (SCHEMES[scheme].order + 1)) * self.sizes()
        return self.make(scheme, step, noise)

    def deltas(self, noise: Noise, capabilities: Capabilities) -> Deltas:
        """Make the main stage of an objective that knows its structured differences."""
        plain = self.make(self.scheme or ("central" if self.step is None else "forward"), self.step, noise)
        return deltas_of(plain, capabilities.deltas_block)

    def make(self, scheme: str, step: float | Array | None, noise: Noise) -> Gradient:
        return gradient_of(
            self.center,
            self.coordinates,
            scheme,
            step,
            self.items,
            noise.eps,
            errors=self.errors,
            noise=noise,
            limits=self.limits,
            f0=self.f0,
        )


class Known(NamedTuple):
    """The noise of the loss and f(x), as far as they are known before the differences."""

    noise: Noise
    at_x: float = np.nan
    """Loss at x; NaN if it was not evaluated."""
    line: ShortLine | None = None
    """Line on which the noise showed, if it was measured."""
    unchecked: str = ""
    """Description of a comparison of fast and plain calls that showed nothing; empty if it was conclusive."""


def known_before(request: GradientRequest, capabilities: Capabilities, *, agree: bool) -> Generator[Method, Any, Known]:
    """Yield the stages before the differences; return what they show. Raises NoAnswer if `agree` is set and the fast
    and the plain calls give different losses."""
    noise, unchecked = Noise(level=request.noise or 0.0), ""
    if capabilities.around:
        if agree:
            agreement = deltas_agreement(request.deltas(noise, capabilities), request.seed)
            unchecked = (yield from check_agreement(agreement)).unchecked
        return Known(noise, unchecked=unchecked)
    nearby = Nearby(request.point, request.seed)
    if capabilities.losses and agree:
        agreed = yield from check_agreement(Agreement(nearby))
        unchecked, noise = agreed.unchecked, replace(noise, eps=agreed.eps)
    if request.noise is None and (request.errors or request.step is None):
        measured = yield from noise_where_steps_lead(request.point, request.seed, request.point_limits)
        return Known(measured.noise, measured.at_x, measured.line, unchecked)
    if request.noise is None:
        eps = noise.eps if capabilities.losses else (yield Probe(nearby))
        return Known(replace(noise, eps=eps), unchecked=unchecked)
    at_x = np.nan
    if request.step is None:
        points = request.make("forward", None, noise).points
        at_x = request.f0 if request.f0 is not None else (yield LossAtX(points))
    return Known(noise, at_x, unchecked=unchecked)


def gradient_route(request: GradientRequest, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a numeric gradient; return the answer.

    Raises NoAnswer if no coordinate has a difference, or if `agree` is set (not for random losses, which never do) and
    the fast and the plain calls give different losses.
    """
    noise, first, line, unchecked = yield from known_before(request, capabilities, agree=agree)
    method = request.gradient(noise, capabilities, first)
    without_step = method.without_step(range(method.items))
    if len(without_step) == method.items - 1:
        raise NoAnswer(f"no coordinate can take a step: {without_step[0].message}")
    result: GradientResult = yield method
    if request.step is None and request.noise is None and request.errors and not capabilities.around:
        result = yield from refined(method, result)
        if request.point is request.center:
            if line is not None and len(result.coordinates) == request.center.size:
                result = yield from consistent(method, result, line)
            result = yield from consistent_across(method, result, request.seed, request.limits)
    if not np.isfinite(result.found.value).any():
        raise no_answer(f"none of the {result.items - 1:,} coordinates has a difference", result.failures, method)
    repeated = first if np.isfinite(first) else None
    if agree and repeated is None and request.f0 is None:
        repeated = yield Repeat(method.points)
    report = (yield Report(method.points, 0)) if capabilities.report else ReportResult()
    analytic = (yield Report(method.points, 0, method.center.varied)) if capabilities.gradient else ReportResult()
    answer = GradientAnswer(
        result, method, report, analytic, repeated if agree else None, measured=noise, unchecked=unchecked
    )
    return (yield from checked(answer, request.seed, request.limits))


def refined(method: Gradient, result: GradientResult) -> Generator[Method, Any, GradientResult]:
    """Yield a second round, and further ones along the coordinates whose steps were too long to show anything; return
    the result of all."""
    wanted, at_first = np.ones(len(result.coordinates), bool), is_too_long(result)
    for _ in range(REFINEMENTS):
        another = better_gradient(method, result, result.coordinates[wanted])
        if another is None:
            break
        result = another.merged(result, (yield another))
        wanted, at_first = at_first | is_too_long(result), np.zeros_like(wanted)
    return result


def better_gradient(method: Gradient, result: GradientResult, among: Array) -> Refinement | None:
    """Make a further round along the coordinates among some that gain from another step; None if none does."""
    order, noise = method.scheme.order, method.noise.relative(result.loss)
    better = better_steps(result, order, noise ** (1 / (order + 1)), method.moves.sizes(result.coordinates))
    rows = np.flatnonzero(np.isfinite(better) & np.isin(result.coordinates, among))
    if not len(rows):
        return None
    return taken_again(Refinement, method, result.coordinates[rows], better[rows], result.loss)


def deltas_agreement(method: Deltas, seed: int) -> DeltasAgreement:
    """Make the check of deltas along a few coordinates drawn at random: the first pixels of images are often black."""
    drawn = permutation(seed, "agreement", "", method.center.size)[:MOST_COMPARED]
    stencils = tuple(replace(stencil, coordinates=drawn) for stencil in method.stencils)
    few = replace(method, stencils=stencils, items=1 + len(drawn))
    return DeltasAgreement(stencils[0], len(stencils) * len(drawn), method=few)
