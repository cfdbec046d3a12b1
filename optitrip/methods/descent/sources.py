"""Where the slope of a step comes from: differences along all coordinates, along a few directions, or the loss's own.

A source yields the stages of one step, the first of which is a `Step`, and returns the slope at x.
"""

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import RAISED
from optitrip.core.method import Method, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.errors import NoAnswer
from optitrip.loss.evaluation import Evaluation
from optitrip.loss.objective import Capabilities, Objective
from optitrip.methods.checks import Agreement, Nearby, check_agreement
from optitrip.methods.descent.step import Step
from optitrip.methods.estimate.combination import Combination, Combined
from optitrip.methods.estimate.directions import Directions, Kind
from optitrip.methods.estimate.route import relative, slopes_of
from optitrip.methods.estimate.slopes import SlopesResult
from optitrip.methods.gradient.measuring import measured_noise
from optitrip.methods.gradient.method import Gradient
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.result import GradientResult
from optitrip.methods.gradient.route import GradientRequest, Known, known_before
from optitrip.methods.points import Along, only
from optitrip.methods.shared import PointMethod
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import record_of

OWN = "own"
"""Word of the source that is the loss's own gradient."""
BESIDE = "slope of "
"""Prefix of the columns of the loss's own gradient."""


@dataclass(frozen=True, eq=False)
class Slope:
    """The loss at x and its gradient there."""

    loss: float
    gradient: Array
    """Gradient, float64 of shape (coordinates,); NaN where it is missing."""
    failures: Mapping[str, int]
    """Numbers of failed items by kind."""
    evaluations: int
    """Number of losses that it takes."""


Taken = Generator[Method, Any, Slope]
Begun = Generator[Method, Any, Known]


class Source(Protocol):
    """Computes slopes."""

    def begin(self, x: Point, capabilities: Capabilities, *, agree: bool) -> Begun:
        """Yield the stages before the first step; return what they show. Raises NoAnswer if it cannot continue."""
        ...

    def first(self, x: Point, known: Known, capabilities: Capabilities) -> Step:
        """Return the main stage of the first step."""
        ...

    def take(self, x: Point, number: int, known: Known, capabilities: Capabilities) -> Taken:
        """Yield the stages of a step; return the slope at x."""
        ...


@dataclass(frozen=True)
class Differences(Source):
    """Differences along all coordinates.

    Args:
        scheme: name of the scheme.
        step: h; None for steps from the noise of the loss at the first point.
        limits: variables that must not leave an interval.
        seed: seed of the checks before the first step.
    """

    scheme: str
    step: float | None
    limits: Limits | None
    seed: int

    def request(self, x: Point, capabilities: Capabilities) -> GradientRequest:
        every = np.arange(x.size) if capabilities.order is None else capabilities.order
        return GradientRequest(
            x, every, 1 + x.size, self.scheme, self.step, errors=False, limits=self.limits, seed=self.seed
        )

    def begin(self, x: Point, capabilities: Capabilities, *, agree: bool) -> Begun:
        return (yield from known_before(self.request(x, capabilities), capabilities, agree=agree))

    def first(self, x: Point, known: Known, capabilities: Capabilities) -> Step:
        return self.stage(x, 0, known, capabilities)

    def stage(self, x: Point, number: int, known: Known, capabilities: Capabilities) -> Step:
        gradient: Gradient = self.request(x, capabilities).gradient(known.noise, capabilities, known.at_x)
        column = "loss" if capabilities.around else gradient.loss_column
        return Step(gradient, number, column, x)

    def take(self, x: Point, number: int, known: Known, capabilities: Capabilities) -> Taken:
        step = self.stage(x, number, known, capabilities)
        result: GradientResult = yield step
        # A structured difference counts as well: what a loop over the coordinates would evaluate.
        count = 1 + len(result.offsets) * x.size
        return Slope(result.loss, result.flat, result.failures.counts(), count)


@dataclass(frozen=True)
class Estimates(Source):
    """Differences along directions that are drawn anew in every step.

    Args:
        kind: how directions are drawn.
        count: number of directions.
        step: h; None for steps from the noise of the loss at the first point.
        limits: variables that must not leave an interval.
        seed: seed of the draws.
    """

    kind: Kind
    count: int
    step: float | None
    limits: Limits | None
    seed: int

    def begin(self, x: Point, capabilities: Capabilities, *, agree: bool) -> Begun:
        unchecked = ""
        if capabilities.losses and agree:
            unchecked = (yield from check_agreement(Agreement(Nearby(x, self.seed)))).unchecked
        measured = yield from measured_noise(x, self.seed, self.limits)
        return Known(measured.noise, measured.at_x, unchecked=unchecked)

    def first(self, x: Point, known: Known, capabilities: Capabilities) -> Step:
        return self.stage(x, 0, known)

    def stage(self, x: Point, number: int, known: Known) -> Step:
        directions = Directions(self.kind, self.seed, self.count, x.size, number)
        slopes = slopes_of(x, directions, self.step, relative(known.noise, known.at_x), self.limits)
        return Step(slopes, number, slopes.common_column, x)

    def take(self, x: Point, number: int, known: Known, capabilities: Capabilities) -> Taken:
        step = self.stage(x, number, known)
        result: SlopesResult = yield step
        ends: Any = step.inner
        directions, length, scale = ends.ends[0].directions, ends.ends[0].length, ends.ends[0].scale
        count, failures = step.evaluations(range(step.items)), Counter(result.failures.counts())
        if not np.isfinite(result.slopes).any():
            return Slope(result.loss, np.full(x.size, np.nan), failures, count)
        combination = Combination(x, directions, result.slopes, length, self.limits, joins=True, scale=scale)
        combined: Combined = yield combination
        return Slope(result.loss, combined.flat, failures, count)


@dataclass(frozen=True)
class OwnGradient(PointMethod[Along]):
    """The loss at x and its own gradient there; the result is a `Slope`."""

    points: Along
    items = 1
    kind = "own gradient"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def evaluate(self, context: Objective, items: range) -> Part:
        part = super().evaluate(context, items)
        center = self.points.center
        try:
            found = context.gradient(self.point(0), center.varied)
        except BaseException as error:
            problem = (RAISED, record_of(0, failure(error)))
            failures = Evaluation(items, problems=[problem]).failures
            return Part(items, part.columns, part.failures if part.failures.count else failures)
        return Part(items, {**part.columns, **{BESIDE + name: value for name, value in found.items()}}, part.failures)

    def result(self, whole: Part) -> Slope:
        columns, center = whole.columns, self.points.center
        missing = np.full(center.size, np.nan)
        known = all(BESIDE + name in columns for name in center.varied)
        flat = np.concatenate([columns[BESIDE + name].ravel() for name in center.varied]) if known else missing
        return Slope(float(columns["loss"][0]), flat, whole.failures.counts(), 1)


@dataclass(frozen=True)
class Own(Source):
    """The loss's own gradient."""

    def begin(self, x: Point, capabilities: Capabilities, *, agree: bool) -> Begun:
        if not capabilities.gradient:
            raise NoAnswer("the objective offers no gradient of its own; wanted a method `gradient`, or another source")
        return Known(Noise())
        yield  # makes this a generator

    def first(self, x: Point, known: Known, capabilities: Capabilities) -> Step:
        return Step(OwnGradient(only(x)), 0, "loss", x)

    def take(self, x: Point, number: int, known: Known, capabilities: Capabilities) -> Taken:
        slope: Slope = yield Step(OwnGradient(only(x)), number, "loss", x)
        return slope
