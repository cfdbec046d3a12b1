"""The [method] table of an estimate of a gradient, its stages and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from optitrip.core.method import Route
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Capabilities
from optitrip.methods.estimate.directions import LARGEST_ORTHOGONAL, Directions
from optitrip.methods.estimate.lengths import check_steps, scale_by_size
from optitrip.methods.estimate.route import estimate_route, slopes_of
from optitrip.methods.estimate.slopes import Slopes
from optitrip.methods.gradient.limits import limits_of
from optitrip.methods.gradient.steps import AUTO, steps_of
from optitrip.methods.spec import MethodSpec
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep


ALGORITHM = 3
"""Version of the method, part of its identity; incremented when a change to it changes any answer."""


class EstimateConfig(Table):
    """An estimate of the gradient from slopes along random directions, for more parameters than coordinates pay for."""

    use: Literal["estimate"]
    at: StartPoint
    directions: Annotated[int, Field(ge=1, le=2**31)]
    kind: Literal["orthogonal", "rademacher", "gaussian", "coordinates"] | None = None
    """Orthogonal by default, or rademacher if all directions together have over 10^7 entries."""
    step: Any = AUTO
    """Length h by which an entry moves: a number, { relative = ... } for steps relative to x, or steps by variable;
    "auto" for e^(1/3) max(1, |x|), with the relative noise e of the loss and the root mean square of x, or for e^(1/3)
    max(0.01, |x|) of each entry where their sizes differ by more than a factor of 1000."""
    noise: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Standard deviation of the loss, if it is known; it is not measured then."""
    errors: bool = True
    """False to save the evaluations that only serve the error."""
    bounds: dict[str, Any] | None = None
    """Limits [low, high] by variable, in place of those of its distribution; no variable leaves its limits."""
    sampler: str = "random"
    """Name of the sampler that draws the candidate of `at = { candidate = ... }`."""


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
        shapes = {variable.name: variable.shape for variable in space.varied}
        checks = {
            "step": lambda: check_steps(config.step, shapes),
            "bounds": lambda: limits_of(space, config.bounds),
        }
        for key, check in checks.items():
            try:
                check()
            except ValueError as error:
                raise Invalid(("method", key), str(error)) from None

    def drawn(self, config: EstimateConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: EstimateConfig) -> StartPoint:
        return config.at

    def points_of(self, config: EstimateConfig, item: int) -> tuple[str, ...]:
        return ("x + h v", "x - h v") if item else ()

    def items(self, config: EstimateConfig, space: Space) -> int:
        return config.directions

    def identity(self, config: EstimateConfig, start: Point | None) -> dict[str, Any]:
        fields = config.model_dump(exclude={"at", "sampler", "directions", "errors"}, exclude_none=True)
        fields |= {} if config.errors else {"errors": False}
        if config.step == AUTO:
            del fields["step"]  # options that are off are left out
            fields |= {"scale": "sizes"} if start is not None and scale_by_size(start) is not None else {}
        elif isinstance(config.step, int):
            fields["step"] = float(config.step)
        if config.kind in (None, "orthogonal"):
            fields["directions"] = config.directions  # the directions of a group depend on their number
        return fields | {"algorithm": ALGORITHM} | ({"at": start.digest} if start else {})

    def directions(self, sweep: Sweep) -> Directions:
        config: EstimateConfig = sweep.method
        size, count = sweep.start_point.size, config.directions
        by_default = "orthogonal" if size * min(count, size) <= LARGEST_ORTHOGONAL else "rademacher"
        return Directions(config.kind or by_default, sweep.seed, count, size)

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Slopes:
        step = steps_of(sweep.method.step, sweep.start_point)
        limits = limits_of(sweep.space, sweep.method.bounds)
        return slopes_of(sweep.start_point, self.directions(sweep), step, limits=limits)

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        config: EstimateConfig = sweep.method
        return estimate_route(
            sweep.start_point,
            self.directions(sweep),
            steps_of(config.step, sweep.start_point),
            capabilities,
            limits_of(sweep.space, config.bounds),
            noise=config.noise,
            errors=config.errors,
            agree=sweep.objective.compared,
        )

    def describe(self, sweep: Sweep) -> str:
        drawn = self.directions(sweep)
        (way,) = sweep.method.at.ways
        return f"estimate: {drawn.count:,} directions ({drawn.kind}) of {drawn.size:,} entries, at its {way}"

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"norm {result['estimate']['norm']:.8g}"


SPEC = EstimateSpec()
