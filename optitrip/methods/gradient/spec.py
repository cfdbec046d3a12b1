"""The [method] table of a gradient, its stages and its descriptor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from optitrip.core.arrays import Column
from optitrip.core.method import Route
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid, NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.loss.returns import DOUBLE
from optitrip.methods.checks import MOST_COMPARED, Agreement, Nearby, Probe, Repeat, check_agreement
from optitrip.methods.gradient.answer import BESIDE_GRADIENT, GradientAnswer
from optitrip.methods.gradient.method import SIDES, Gradient, GradientResult, gradient_of
from optitrip.methods.gradient.progress import GradientProgress
from optitrip.methods.gradient.structured import Deltas, DeltasAgreement
from optitrip.methods.gradient.table import gradient_columns
from optitrip.methods.shared import Report, ReportResult, no_answer
from optitrip.methods.spec import MethodSpec, StoredParts
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
    scheme: Literal["forward", "backward", "central"] | None = None
    """Forward by default, or central if the loss is coarser than float64 and there is no `step`."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    coordinates: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Number of coordinates, drawn at random without repetition; all by default."""


def gradient_route(
    main: Callable[[float], Gradient], capabilities: Capabilities, seed: int, *, agree: bool = True
) -> Route:
    """Yield the stages of a numeric gradient; return the answer.

    `main` makes the main stage for the eps of the loss, which is measured first. Raises NoAnswer if no coordinate has a
    difference, or if `agree` is set (not for random losses, which never do) and the fast and the plain calls give
    different losses.
    """
    method = main(DOUBLE)
    nearby, unchecked = Nearby(method.center, seed), ""
    if isinstance(method, Deltas):
        if agree:
            agreed = yield from check_agreement(deltas_agreement(method, seed))
            unchecked = agreed.unchecked
    elif capabilities.losses and agree:
        agreed = yield from check_agreement(Agreement(nearby))
        unchecked = agreed.unchecked
        method = main(agreed.eps)
    else:
        method = main((yield Probe(nearby)))
    without_step = method.without_step(range(method.items))
    if len(without_step) == method.items - 1:
        raise NoAnswer(f"no coordinate can take a step: {without_step[0].message}")
    result: GradientResult = yield method
    if not np.isfinite(result.flat).any():
        raise no_answer(f"none of the {result.items - 1:,} coordinates has a difference", result.failures, method)
    repeated = (yield Repeat(method.points)) if agree else None
    report = (yield Report(method.points, 0)) if capabilities.report else ReportResult()
    analytic = (yield Report(method.points, 0, method.center.varied)) if capabilities.gradient else ReportResult()
    return GradientAnswer(result, method, report, analytic, repeated, unchecked=unchecked)


def deltas_agreement(method: Deltas, seed: int) -> DeltasAgreement:
    """Make the check of deltas along a few coordinates drawn at random: the first pixels of images are often black."""
    drawn = permutation(seed, "agreement", "", method.center.size)[:MOST_COMPARED]
    stencils = tuple(replace(stencil, coordinates=drawn) for stencil in method.stencils)
    return DeltasAgreement(
        stencils[0], len(stencils) * len(drawn), method=replace(method, stencils=stencils, items=1 + len(drawn))
    )


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
        names = [variable.name for variable in space.varied]
        for name in names:
            stem, _, suffix = name.rpartition(".")
            if stem in names and suffix in BESIDE_GRADIENT:
                what = f"gradient.npz calls the {suffix} of {stem!r} by this name"
                raise Invalid(("space", name), f"{what}; rename one of the two variables")

    def drawn(self, config: GradientConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: GradientConfig) -> StartPoint:
        return config.at

    def points_of(self, config: GradientConfig, item: int) -> tuple[str, ...]:
        sides = SIDES[config.scheme or "central"]
        # Item 0 is x itself.
        return tuple(f"x {'+' if side > 0 else '-'} h" for side in sides) if item and len(sides) > 1 else ()

    def items(self, config: GradientConfig, space: Space) -> int:
        entries = sum(variable.size for variable in space.varied)
        return entries if config.coordinates is None else min(config.coordinates, entries)

    def identity(self, config: GradientConfig, start: Point | None) -> dict[str, Any]:
        # The sampler only determines the point, which the digest covers.
        fields = config.model_dump(exclude={"coordinates", "at", "sampler"}, exclude_none=True)
        return fields | ({"at": start.digest} if start else {})

    def method(self, sweep: Sweep, capabilities: Capabilities, eps: float = DOUBLE) -> Gradient:
        config: GradientConfig = sweep.method
        base = sweep.start_point
        coordinates = np.arange(base.size)
        if sweep.items < base.size:
            coordinates = permutation(sweep.seed, "coordinate", "", base.size)
        elif capabilities.order is not None and len(capabilities.order) == base.size:
            coordinates = capabilities.order
        scheme = config.scheme or ("central" if eps > DOUBLE and config.step is None else "forward")
        gradient = gradient_of(base, coordinates, scheme, config.step, 1 + sweep.items, eps)
        if capabilities.around:
            return Deltas(gradient.stencils, gradient.items, block=capabilities.deltas_block)
        return gradient

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        main = partial(self.method, sweep, capabilities)
        return gradient_route(main, capabilities, sweep.seed, agree=sweep.objective.deterministic)

    def stored_table(self, sweep: Sweep, stored: StoredParts, best: int | None) -> dict[str, Column]:
        """Return the gradient along the coordinates before the first gap."""
        plain = self.method(sweep, Capabilities())
        parts = stored(plain, self.word)
        if not parts or parts[0].items.start or len(parts[0].items) < 2:
            return {}
        if not {*plain.side_columns.values()} & parts[0].columns.keys():  # from structured differences, in float64
            method = self.method(sweep, Capabilities(around=True))
        else:
            nearby = Nearby(plain.center, sweep.seed)
            agreed = [Agreement(nearby).result(part).eps for part in stored(Agreement(nearby))[:1]]
            probed = [Probe(nearby).result(part) for part in stored(Probe(nearby))[:1]]
            method = self.method(sweep, Capabilities(), max([DOUBLE, *agreed, *probed]))
        return gradient_columns(method.center, method.result(parts[0]), best)

    def progress(self, sweep: Sweep) -> GradientProgress:
        return GradientProgress(sweep.items)

    def describe(self, sweep: Sweep) -> str:
        config: GradientConfig = sweep.method
        (way,) = config.at.ways
        step = f"step {config.step:g}" if config.step else "default steps"
        scheme = config.scheme or "forward (central if the loss is in float32)"
        return f"gradient: {sweep.items:,} coordinates, {scheme} differences, {step}, at its {way}"

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"norm {result['gradient']['norm']:.8g}"


SPEC = GradientSpec()
