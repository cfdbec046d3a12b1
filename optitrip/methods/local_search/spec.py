"""The [method] table of a local search, and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from optitrip.core.method import Method, Route, digest_of
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Capabilities
from optitrip.methods.gradient.limits import limits_of
from optitrip.methods.local_search.answer import POINT, STAIRS
from optitrip.methods.local_search.generation import Around, Generation
from optitrip.methods.local_search.progress import LocalSearchCurve, LocalSearchProgress
from optitrip.methods.local_search.route import LocalSearch, local_search_route
from optitrip.methods.spec import MethodSpec
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep

ALGORITHM = 1
"""Version of the method, part of its identity; incremented when a change to it changes any answer."""


class LocalSearchConfig(Table):
    """Try small random moves around the best point so far, and keep what is better."""

    use: Literal["local_search"]
    at: StartPoint
    tries: Annotated[int, Field(ge=1, le=2**53)]
    """Number of moves to try."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Standard deviation of the moves, which are normal."""
    generation: Annotated[int, Field(ge=1, le=2**20)] = 8
    """Number of moves from the same point, which are evaluated in parallel; the best of them is the next point."""
    halve_after: Annotated[int, Field(ge=0)] = 10
    """Number of generations without a better loss after which the step is halved; 0 for never."""
    bounds: dict[str, Any] | None = None
    """Limits [low, high] by variable, in place of those of its distribution; no variable leaves its limits."""
    sampler: str = "random"
    """Name of the sampler that draws the candidate of `at = { candidate = ... }`."""


class LocalSearchSpec(MethodSpec[LocalSearchConfig]):
    word, unit, config = "local_search", "tries", LocalSearchConfig
    point_file = POINT
    instead_of_table = STAIRS
    ends_early = True
    example = """[method]                   # or small random moves around the best point so far
use = "local_search"
at = { fill = 0.0 }
step = 0.1                 # standard deviation of the moves
tries = 1_000
"""

    def check(self, config: LocalSearchConfig, space: Space, stop: StopTable) -> None:
        self.check_point(config, space)
        try:
            limits_of(space, config.bounds)
        except ValueError as error:
            raise Invalid(("method", "bounds"), str(error)) from None

    def drawn(self, config: LocalSearchConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: LocalSearchConfig) -> StartPoint:
        return config.at

    def items(self, config: LocalSearchConfig, space: Space) -> int:
        return config.tries

    def identity(self, config: LocalSearchConfig, start: Point | None) -> dict[str, Any]:
        fields = config.model_dump(exclude={"at", "sampler", "tries"}, exclude_none=True)
        return fields | {"algorithm": ALGORITHM} | ({"at": start.digest} if start else {})

    def shardable(self, config: LocalSearchConfig) -> bool:
        return False  # each generation needs the one before

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Method:
        config: LocalSearchConfig = sweep.method
        limits = limits_of(sweep.space, config.bounds)
        around = Around(sweep.start_point, 0, config.step, sweep.seed, limits)
        sign = -1 if sweep.objective.maximize else 1
        return Generation(around, config.generation, config.generation, sign)

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        config: LocalSearchConfig = sweep.method
        fields = {**self.identity(config, sweep.start), "seed": sweep.seed, "maximize": sweep.objective.maximize}
        search = LocalSearch(
            sweep.start_point,
            config.tries,
            config.generation,
            config.step,
            config.halve_after,
            sweep.seed,
            digest_of(self.word, fields).hex(),
            limits_of(sweep.space, config.bounds),
            -1 if sweep.objective.maximize else 1,
            sweep.stop.target_loss,
            sweep.stop.no_improvement,
        )
        return local_search_route(search, capabilities, agree=sweep.objective.compared)

    def progress(self, sweep: Sweep) -> LocalSearchProgress:
        return LocalSearchProgress(sweep.items, -1 if sweep.objective.maximize else 1)

    def curve(self, method: Method) -> LocalSearchCurve | None:
        return LocalSearchCurve(method) if isinstance(method, Generation) else None

    def describe(self, sweep: Sweep) -> str:
        config: LocalSearchConfig = sweep.method
        (way,) = config.at.ways
        each = f"{config.generation:,} from each point"
        return f"local search: {config.tries:,} tries, {each}, step {config.step:g}, from its {way}"

    def headline(self, result: Mapping[str, Any]) -> float | None:
        return result[self.word]["loss"]

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"loss {result[self.word]['loss']:.8g} at try {result[self.word]['at_try']:,}"


SPEC = LocalSearchSpec()
