"""The [method] table of a gradient, and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from optitrip.core.arrays import Array, Column
from optitrip.core.method import Route
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Capabilities
from optitrip.methods.gradient.answer import BESIDE_GRADIENT
from optitrip.methods.gradient.limits import limits_of
from optitrip.methods.gradient.method import Gradient
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.progress import GradientProgress
from optitrip.methods.gradient.route import GradientRequest, gradient_route
from optitrip.methods.gradient.schemes import SCHEMES
from optitrip.methods.gradient.selection import selected
from optitrip.methods.gradient.stencil import step_text
from optitrip.methods.gradient.steps import AUTO, check_step, steps_of
from optitrip.methods.gradient.table import gradient_columns, stored_result
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
    scheme: Literal["forward", "backward", "central", "four_point", "richardson"] | None = None
    """Name of the scheme; four_point by default, central for a structured loss, forward with a given step."""
    step: Any = AUTO
    """Step h: "auto" for steps from the measured noise of the loss, a number (negative to go down), { relative = ... }
    for steps relative to x, or steps by variable."""
    noise: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Standard deviation of the loss, if it is known; it is not measured then, and there is no second round."""
    errors: bool = True
    """True to estimate the error of every entry; this doubles the evaluations of the schemes with one or two points."""
    coordinates: Any = None
    """Number of coordinates, drawn at random without repetition; or which, e.g. "W[3, :]"; all by default."""
    f0: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Loss at x, if it is known: it is not evaluated then."""
    bounds: dict[str, Any] | None = None
    """Limits [low, high] by variable, in place of those of its distribution; no variable leaves its limits."""


ALGORITHM = 4
"""Version of the gradient, part of its identity; incremented when a change to it changes any answer."""


def shapes_of(space: Space) -> dict[str, tuple[int, ...]]:
    return {variable.name: variable.shape for variable in space.varied}


class GradientSpec(MethodSpec[GradientConfig]):
    word, unit, config = "gradient", "coordinates", GradientConfig
    example = """[method]                   # or the numeric gradient at one point
use = "gradient"
scheme = "central"         # forward, backward, central, four_point or richardson
at = { fill = 0.0 }        # or candidate = 0, best_of = "a finished sweep", file = "x.npz", values = { ... }
"""

    def check(self, config: GradientConfig, space: Space, stop: StopTable) -> None:
        self.check_point(config, space)
        names = [variable.name for variable in space.varied]
        for name in names:
            stem, _, suffix = name.rpartition(".")
            if stem in names and suffix in BESIDE_GRADIENT:
                what = f"gradient.npz calls the {suffix} of {stem!r} by this name"
                raise Invalid(("space", name), f"{what}; rename one of the two variables")
        checks = {
            "step": lambda: check_step(config.step, shapes_of(space)),
            "coordinates": lambda: self.chosen(config, space),
            "bounds": lambda: limits_of(space, config.bounds),
        }
        for key, check in checks.items():
            try:
                check()
            except ValueError as error:
                raise Invalid(("method", key), str(error)) from None

    def drawn(self, config: GradientConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: GradientConfig) -> StartPoint:
        return config.at

    def points_of(self, config: GradientConfig, item: int) -> tuple[str, ...]:
        scheme = SCHEMES[config.scheme or ("four_point" if config.step == AUTO else "forward")]
        steps = [step_text(offset) for offset in scheme.nodes(errors=config.errors)]
        # Item 0 is x itself.
        return tuple(f"x {step[0]} {step[1:]}" for step in steps) if item and len(steps) > 1 else ()

    def chosen(self, config: GradientConfig, space: Space) -> Array | None:
        """Return the coordinates that are named, ascending; None if all, or some at random, are wanted.

        Raises ValueError, with what was wanted, unless they are a number, an entry or a list of such.
        """
        wanted = config.coordinates
        if wanted is None or (isinstance(wanted, int) and not isinstance(wanted, bool) and 1 <= wanted <= 2**53):
            return None
        texts = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):  # pyright: ignore[reportUnknownVariableType]
            raise ValueError(f'was {wanted!r}, wanted a number of at least 1, or entries such as "W[3, :]"')
        return selected(texts, shapes_of(space))  # pyright: ignore[reportUnknownArgumentType]

    @property
    def compares(self) -> bool:
        return True

    def items(self, config: GradientConfig, space: Space) -> int:
        entries = sum(variable.size for variable in space.varied)
        if (chosen := self.chosen(config, space)) is not None:
            return len(chosen)
        return min(config.coordinates, entries) if isinstance(config.coordinates, int) else entries

    def identity(self, config: GradientConfig, start: Point | None) -> dict[str, Any]:
        # The sampler only determines the point, which the digest covers; options that are off are left out.
        fields = config.model_dump(exclude={"coordinates", "at", "sampler", "errors"}, exclude_none=True)
        fields |= {} if config.errors else {"errors": False}
        fields |= {} if isinstance(config.coordinates, int | None) else {"coordinates": config.coordinates}
        fields = {key: value for key, value in fields.items() if (key, value) != ("step", AUTO)}
        return fields | {"algorithm": ALGORITHM} | ({"at": start.digest} if start else {})

    def request(self, sweep: Sweep, capabilities: Capabilities) -> GradientRequest:
        """Return what the sweep asks for."""
        config: GradientConfig = sweep.method
        base, order = sweep.start_point, capabilities.order
        every = order if order is not None and len(order) == base.size else np.arange(base.size)
        chosen = self.chosen(config, sweep.space)
        if chosen is not None:
            coordinates = every[np.isin(every, chosen)]
        elif sweep.items < base.size:
            coordinates = permutation(sweep.seed, "coordinate", "", base.size)
        else:
            coordinates = every
        return GradientRequest(
            base,
            coordinates,
            1 + sweep.items,
            config.scheme,
            steps_of(config.step, base),
            config.noise,
            config.errors,
            limits_of(sweep.space, config.bounds),
            sweep.seed,
            config.f0,
        )

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Gradient:
        return self.request(sweep, capabilities).gradient(Noise(), capabilities)

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        return gradient_route(self.request(sweep, capabilities), capabilities, agree=sweep.objective.compared)

    def stored_table(self, sweep: Sweep, stored: StoredParts, best: int | None) -> dict[str, Column]:
        """Return the gradient along the coordinates before the first gap."""
        for capabilities in (Capabilities(), Capabilities(losses=True), Capabilities(around=True)):
            request = self.request(sweep, capabilities)
            result = stored_result(gradient_route(request, capabilities, agree=False), stored)
            if result is not None:
                return gradient_columns(result.center, result, best)
        return {}

    def progress(self, sweep: Sweep) -> GradientProgress:
        return GradientProgress(sweep.items)

    def describe(self, sweep: Sweep) -> str:
        config: GradientConfig = sweep.method
        (way,) = config.at.ways
        step = f"step {config.step:g}" if isinstance(config.step, int | float) else "automatic steps"
        step = "steps from the file" if isinstance(config.step, dict) else step
        scheme = (config.scheme or ("four_point" if config.step == AUTO else "forward")).replace("_", "-")
        return f"gradient: {sweep.items:,} coordinates, {scheme} differences, {step}, at its {way}"

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"norm {result['gradient']['norm']:.8g}"


SPEC = GradientSpec()
