"""The [method] table of a gradient, its stages and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from optitrip.core.method import Route
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid, NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.gradient.answer import GradientAnswer, GradientProgress
from optitrip.methods.gradient.method import SIDES, Gradient, GradientResult, gradient_of
from optitrip.methods.gradient.structured import Deltas, DeltasAgreement
from optitrip.methods.shared import Agreement, Report, ReportResult, check_agreement, no_answer
from optitrip.methods.spec import MethodSpec
from optitrip.samplers.random import permutation
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep


class GradientConfig(Table):
    """The numeric gradient at one point: the finite difference of the loss along each coordinate."""

    use: Literal["gradient"]
    at: StartPoint
    sampler: str = "random"
    """Name of the sampler that draws the candidate of `at = { candidate = ... }`."""
    scheme: Literal["forward", "backward", "central"] = "forward"
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    coordinates: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Number of coordinates, drawn at random without repetition; all by default."""


def gradient_route(method: Gradient, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a numeric gradient; return the answer. Raises NoAnswer if no coordinate has a difference, or
    if `agree` is set (not for random losses, which never do) and the fast and the plain calls give different losses."""
    without_step = method.without_step(range(method.items))
    if len(without_step) == method.items - 1:
        raise NoAnswer(f"no coordinate can take a step: {without_step[0].message}")
    if isinstance(method, Deltas) and agree:
        yield from check_agreement(DeltasAgreement(method.points, min(3, method.items), method=method))
    elif capabilities.losses and agree:
        yield from check_agreement(Agreement(method.points, min(2, method.items)))
    result: GradientResult = yield method
    if not np.isfinite(result.flat).any():
        raise no_answer(f"none of the {result.items - 1:,} coordinates has a difference", result.failures, method)
    report = (yield Report(method.points, 0)) if capabilities.report else ReportResult()
    analytic = (yield Report(method.points, 0, method.center.varied)) if capabilities.gradient else ReportResult()
    return GradientAnswer(result, method, report, analytic)


class GradientSpec(MethodSpec[GradientConfig]):
    word, unit, config = "gradient", "coordinates", GradientConfig
    example = """[method]                   # or the numeric gradient at one point
use = "gradient"
scheme = "central"         # forward, backward or central
at = { fill = 0.0 }        # or candidate = 0, best_of = "a finished sweep", file = "x.npz", values = { ... }
"""

    def check(self, config: GradientConfig, space: Space, stop: StopTable) -> None:
        if "sampler" in config.model_fields_set and config.at.candidate is None:
            problem = "only applies to at = { candidate = ... }, and `at` specifies the point differently"
            raise Invalid(("method", "sampler"), f"{problem}; remove this line, or give a candidate")
        space.check_differentiable()

    def drawn(self, config: GradientConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: GradientConfig) -> StartPoint:
        return config.at

    def points_of(self, config: GradientConfig, item: int) -> tuple[str, ...]:
        sides = SIDES[config.scheme]
        # Item 0 is x itself.
        return tuple(f"x {'+' if side > 0 else '-'} h" for side in sides) if item and len(sides) > 1 else ()

    def items(self, config: GradientConfig, space: Space) -> int:
        entries = sum(variable.size for variable in space.varied)
        return entries if config.coordinates is None else min(config.coordinates, entries)

    def identity(self, config: GradientConfig, start: Point | None) -> dict[str, Any]:
        # The sampler only determines the point, which the digest covers.
        fields = config.model_dump(exclude={"coordinates", "at", "sampler"}, exclude_none=True)
        return fields | ({"at": start.digest} if start else {})

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Gradient:
        config: GradientConfig = sweep.method
        base = sweep.start_point
        coordinates = np.arange(base.size)
        if sweep.items < base.size:
            coordinates = permutation(sweep.seed, "coordinate", "", base.size)
        elif capabilities.order is not None and len(capabilities.order) == base.size:
            coordinates = capabilities.order
        gradient = gradient_of(base, coordinates, config.scheme, config.step, 1 + sweep.items)
        if capabilities.around:
            return Deltas(gradient.stencils, gradient.items, block=capabilities.deltas_block)
        return gradient

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        return gradient_route(self.method(sweep, capabilities), capabilities, agree=sweep.objective.deterministic)

    def progress(self, sweep: Sweep) -> GradientProgress:
        return GradientProgress(sweep.items)

    def describe(self, sweep: Sweep) -> str:
        config: GradientConfig = sweep.method
        (way,) = config.at.ways
        step = f"step {config.step:g}" if config.step else "default steps"
        return f"gradient: {sweep.items:,} coordinates, {config.scheme} differences, {step}, at its {way}"

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"norm {result['gradient']['norm']:.8g}"


SPEC = GradientSpec()
