"""The [method] table of directional derivatives, and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from optitrip.core.arrays import Array, Column
from optitrip.core.method import Route
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Capabilities
from optitrip.methods.directional.answer import DirectionalAnswer
from optitrip.methods.directional.lines import LinesRequest, UnitLines
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.limits import limits_of
from optitrip.methods.gradient.method import Gradient
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.progress import GradientProgress
from optitrip.methods.gradient.route import gradient_route
from optitrip.methods.gradient.steps import AUTO
from optitrip.methods.gradient.table import stored_result
from optitrip.methods.spec import MethodSpec, StoredParts
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep

WANTED = "wanted a number of at least 1, or directions such as { x = 1, y = [0, -1] }"
ALGORITHM = 2
"""Version of the method, part of its identity; incremented when a change to it changes any answer."""


class DirectionalConfig(Table):
    """Derivatives of the loss at one point along a few unit vectors."""

    use: Literal["directional"]
    at: StartPoint
    along: Any
    """Number of random orthogonal directions; or a direction by variable, e.g. { x = 1, y = -1 }, or a list of such,
    each scaled to length 1; variables that are left out do not move."""
    scheme: Literal["forward", "backward", "central", "four_point", "richardson"] | None = None
    """Name of the scheme; four_point by default."""
    step: Annotated[float, Field(allow_inf_nan=False)] | Literal["auto"] = "auto"
    """Distance h, negative to go back; "auto" for steps from the measured noise of the loss."""
    noise: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Standard deviation of the loss, if it is known; it is not measured then."""
    bounds: dict[str, Any] | None = None
    """Limits [low, high] by variable, in place of those of its distribution; no variable leaves its limits."""
    sampler: str = "random"
    """Name of the sampler that draws the candidate of `at = { candidate = ... }`."""


class DirectionalSpec(MethodSpec[DirectionalConfig]):
    word, unit, config = "directional", "lines", DirectionalConfig
    example = """[method]                   # or derivatives of the loss along a few directions
use = "directional"
along = 10                 # orthogonal directions, drawn at random; or e.g. { x = 1, y = -1 }
at = { fill = 0.0 }
"""

    def check(self, config: DirectionalConfig, space: Space, stop: StopTable) -> None:
        self.check_point(config, space)
        if config.step == 0:
            raise Invalid(("method", "step"), 'was 0, wanted "auto", or another number than 0')
        for key, check in {
            "along": lambda: self.given_directions(config, space),
            "bounds": lambda: limits_of(space, config.bounds),
        }.items():
            try:
                check()
            except ValueError as error:
                raise Invalid(("method", key), str(error)) from None

    def given_directions(self, config: DirectionalConfig, space: Space) -> Array | None:
        """Return the directions that are given, float64 of shape (directions, coordinates); None if they are drawn.

        Raises ValueError, with what was wanted, for anything else.
        """
        wanted = config.along
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 1 <= wanted <= 2**31:
            return None
        tables: Any = [wanted] if isinstance(wanted, Mapping) else wanted
        if not isinstance(tables, list | tuple) or not tables or not all(isinstance(one, Mapping) for one in tables):  # pyright: ignore[reportUnknownVariableType]
            raise ValueError(f"was {wanted!r}, {WANTED}")
        return np.array([vector(one, space) for one in tables])  # pyright: ignore[reportUnknownVariableType]

    def drawn(self, config: DirectionalConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: DirectionalConfig) -> StartPoint:
        return config.at

    def items(self, config: DirectionalConfig, space: Space) -> int:
        given = self.given_directions(config, space)
        return config.along if given is None else len(given)

    def identity(self, config: DirectionalConfig, start: Point | None) -> dict[str, Any]:
        # Directions that are drawn depend on their number.
        fields = config.model_dump(exclude={"at", "sampler"}, exclude_none=True)
        return fields | {"algorithm": ALGORITHM} | ({"at": start.digest} if start else {})

    def shardable(self, config: DirectionalConfig) -> bool:
        return False  # the noise of the loss is measured first

    def request(self, sweep: Sweep) -> LinesRequest:
        """Return what the sweep asks for."""
        config: DirectionalConfig = sweep.method
        limits = limits_of(sweep.space, config.bounds)
        given = self.given_directions(config, sweep.space)
        lines = UnitLines(sweep.start_point, sweep.items, given, sweep.seed, limits)
        return LinesRequest(
            lines.center,
            np.arange(sweep.items),
            1 + sweep.items,
            config.scheme,
            None if config.step == AUTO else config.step,
            config.noise,
            limits=lines.distance_limits,
            seed=sweep.seed,
            lines=lines,
        )

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Gradient:
        return self.request(sweep).gradient(Noise(), plain(capabilities))

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        request = self.request(sweep)
        agree = sweep.objective.compared
        found: GradientAnswer = yield from gradient_route(request, plain(capabilities), agree=agree)
        return DirectionalAnswer(found, request.lines)

    def stored_table(self, sweep: Sweep, stored: StoredParts, best: int | None) -> dict[str, Column]:
        """Return slope, error, step and flags of the directions before the first gap."""
        for capabilities in (Capabilities(), Capabilities(losses=True)):
            result = stored_result(gradient_route(self.request(sweep), capabilities, agree=False), stored)
            if result is not None:
                rows = np.arange(len(result.coordinates))
                if best is not None:
                    rows = np.argsort(-np.abs(result.found.value), kind="stable")[:best]
                columns = {"slope": result.found.value, "error": result.found.error, "step": result.step}
                table: dict[str, Column] = {"direction": result.coordinates[rows]}
                return table | {name: column[rows] for name, column in columns.items()} | {"flag": result.flag[rows]}
        return {}

    def progress(self, sweep: Sweep) -> GradientProgress:
        return GradientProgress(sweep.items)

    def describe(self, sweep: Sweep) -> str:
        (way,) = sweep.method.at.ways
        kind = "given" if self.given_directions(sweep.method, sweep.space) is not None else "random orthogonal"
        return f"directional derivatives: {sweep.items:,} {kind} directions, at its {way}"

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"steepest {result['directional']['largest']:.8g}"


def plain(capabilities: Capabilities) -> Capabilities:
    """Return capabilities without those that are for single coordinates."""
    return replace(capabilities, around=False, gradient=False)


def vector(table: Mapping[str, Any], space: Space) -> Array:
    """Return a direction as one array, float64; raise ValueError, with what was wanted, for anything else."""
    shapes = {variable.name: variable.shape for variable in space.varied}
    for name, value in table.items():
        if name not in shapes:
            raise ValueError(f"names {name!r}, which does not vary; wanted one of {', '.join(shapes)}")
        try:
            entries = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            entries = np.array(np.nan)
        if entries.shape not in ((), tuple(shapes[name])) or not np.isfinite(entries).all():
            raise ValueError(f"was {value!r} for {name}; wanted a number, or an array of its shape {shapes[name]}")
    parts = [np.broadcast_to(np.asarray(table.get(name, 0.0), np.float64), shape) for name, shape in shapes.items()]
    flat = np.concatenate([part.ravel() for part in parts])
    if not flat.any():
        raise ValueError("has a direction of length 0; wanted an entry other than 0")
    return flat


SPEC = DirectionalSpec()
