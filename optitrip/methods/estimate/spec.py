"""The [method] table of an estimate of a gradient, its stages and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from optitrip.core.method import Route
from optitrip.core.point import Limits, Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid, NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.loss.returns import DOUBLE
from optitrip.methods.checks import Agreement, Nearby, check_agreement
from optitrip.methods.estimate.answer import EstimateAnswer
from optitrip.methods.estimate.combination import Combination, Combined
from optitrip.methods.estimate.directions import LARGEST_ORTHOGONAL, Directions
from optitrip.methods.estimate.moves import moved
from optitrip.methods.estimate.slopes import Ends, Slopes, SlopesResult
from optitrip.methods.gradient.limits import limits_of
from optitrip.methods.gradient.measuring import measured_noise
from optitrip.methods.shared import Report, ReportResult, no_answer
from optitrip.methods.spec import MethodSpec
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep


ALGORITHM = 2
"""Version of the method, part of its identity; incremented when a change to it changes any answer."""


class EstimateConfig(Table):
    """An estimate of the gradient from slopes along random directions, for more parameters than coordinates pay for."""

    use: Literal["estimate"]
    at: StartPoint
    directions: Annotated[int, Field(ge=1, le=2**31)]
    kind: Literal["orthogonal", "rademacher", "gaussian", "coordinates"] | None = None
    """Orthogonal by default, or rademacher if all directions together have over 10^7 entries."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Length h by which an entry moves; e^(1/3) max(1, |x|) by default, with the relative noise e of the loss and the
    root mean square of x."""
    sampler: str = "random"
    """Name of the sampler that draws the candidate of `at = { candidate = ... }`."""


def estimate_route(
    center: Point,
    directions: Directions,
    step: float | None,
    capabilities: Capabilities,
    limits: Limits | None = None,
    *,
    agree: bool = True,
) -> Route:
    """Yield the stages of an estimate; return the answer. Raises NoAnswer if no direction has a slope, or if `agree` is
    set and batches and plain calls give different losses."""
    unchecked = ""
    if capabilities.losses and agree:
        unchecked = (yield from check_agreement(Agreement(Nearby(center, directions.seed)))).unchecked
    measured = yield from measured_noise(center, directions.seed, limits)
    method = slopes_of(center, directions, step, measured.noise.relative(measured.at_x), limits)
    result: SlopesResult = yield method
    if not np.isfinite(result.slopes).any():
        raise no_answer(f"none of the {len(result.slopes):,} directions has a slope", result.failures, method)
    combined: Combined = yield Combination(center, directions, result.slopes, method.ends[0].length, limits)
    report = (yield Report(method.ends[0], 0)) if capabilities.report else ReportResult()
    return EstimateAnswer(method, result, combined, report, measured=measured.noise, unchecked=unchecked)


def slopes_of(
    center: Point,
    directions: Directions,
    step: float | None,
    eps: float = DOUBLE,
    limits: Limits | None = None,
) -> Slopes:
    """Make the stage of slopes, by default with steps for losses of this relative noise; raise NoAnswer for a step that
    leaves x as it is."""
    x = center.entries(np.arange(center.size))
    coarsest = max([eps, *(float(np.finfo(center.values[name].dtype).eps) for name in center.varied)])
    length = step or coarsest ** (1 / 3) * max(1.0, float(np.sqrt(np.mean(np.square(x)))))
    length *= directions.length
    ahead, behind = (Ends(center, directions, length, side, limits) for side in (1, -1))
    every = range(center.size)
    moves = length / directions.length if directions.kind == "coordinates" else length * directions.vector(0)
    after = moved(center, every, np.broadcast_to(moves, center.size), limits)
    if (after == x).all() or not np.isfinite(after).all():
        raise NoAnswer(f"no direction can be taken: a step of {length:g} leads from x to itself, or out of all numbers")
    return Slopes((ahead, behind), 1 + directions.count)


class EstimateSpec(MethodSpec[EstimateConfig]):
    word, unit, config = "estimate", "directions", EstimateConfig

    example = """[method]                   # or an estimate of the gradient, for very many parameters
use = "estimate"
directions = 100           # two evaluations each
at = { fill = 0.0 }
"""

    def check(self, config: EstimateConfig, space: Space, stop: StopTable) -> None:
        self.check_point(config, space)
        if "slopes" in space.names:
            raise Invalid(("space", "slopes"), "estimate.npz calls the slopes by this name; rename the variable")

    def drawn(self, config: EstimateConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: EstimateConfig) -> StartPoint:
        return config.at

    def points_of(self, config: EstimateConfig, item: int) -> tuple[str, ...]:
        return ("x + h v", "x - h v") if item else ()

    def items(self, config: EstimateConfig, space: Space) -> int:
        return config.directions

    def identity(self, config: EstimateConfig, start: Point | None) -> dict[str, Any]:
        fields = config.model_dump(exclude={"at", "sampler", "directions"}, exclude_none=True)
        if config.kind in (None, "orthogonal"):
            fields["directions"] = config.directions  # the directions of a group depend on their number
        return fields | {"algorithm": ALGORITHM} | ({"at": start.digest} if start else {})

    def directions(self, sweep: Sweep) -> Directions:
        config: EstimateConfig = sweep.method
        size, count = sweep.start_point.size, config.directions
        by_default = "orthogonal" if size * min(count, size) <= LARGEST_ORTHOGONAL else "rademacher"
        return Directions(config.kind or by_default, sweep.seed, count, size)

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Slopes:
        return slopes_of(
            sweep.start_point, self.directions(sweep), sweep.method.step, limits=limits_of(sweep.space, None)
        )

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        agree, limits = sweep.objective.compared, limits_of(sweep.space, None)
        directions, step = self.directions(sweep), sweep.method.step
        return estimate_route(sweep.start_point, directions, step, capabilities, limits, agree=agree)

    def describe(self, sweep: Sweep) -> str:
        drawn = self.directions(sweep)
        (way,) = sweep.method.at.ways
        return f"estimate: {drawn.count:,} directions ({drawn.kind}) of {drawn.size:,} entries, at its {way}"

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"norm {result['estimate']['norm']:.8g}"


SPEC = EstimateSpec()
