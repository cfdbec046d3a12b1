"""The [method] table of a count, and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from optitrip.config.sweep import Sweep
from optitrip.core.method import Method, Route
from optitrip.core.observer import Curve, MetricPoint, Times
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.core.table import Table
from optitrip.loss.objective import Capabilities
from optitrip.methods.spec import MethodSpec
from optitrip.space.variables import Space
from toy_method.answer import CountAnswer, CountProgress
from toy_method.method import EARLIEST, Count, count_route


class CountConfig(Table):
    """The number of draws that have a loss below a number."""

    use: Literal["count"]
    draws: Annotated[int, Field(ge=1)]
    below: float


class CountSpec(MethodSpec[CountConfig]):
    """The descriptor of counts."""

    word, unit, config = "count", "draws", CountConfig
    example = '[method]\nuse = "count"\ndraws = 100\nbelow = 0.5\n'
    no_answer: ClassVar[Mapping[str, Any]] = {"count": None}

    def items(self, config: CountConfig, space: Space) -> int:
        return config.draws

    def identity(self, config: CountConfig, start: Point | None) -> dict[str, Any]:
        return config.model_dump(exclude={"draws"})

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Count:
        return Count(sweep.candidates, sweep.items, sweep.method.below)

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        return CountAnswer((yield from count_route(self.method(sweep, capabilities))), sweep.candidates)

    def progress(self, sweep: Sweep) -> CountProgress:
        return CountProgress(sweep.items)

    def curve(self, method: Method) -> Curve | None:
        return FirstHit() if isinstance(method, Count) else None

    def describe(self, sweep: Sweep) -> str:
        return f"count: {sweep.items:,} draws, those with a loss below {sweep.method.below:g}"

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"{result['count']:,} below"


class FirstHit:
    """The chart: one point, where the first hit is."""

    def __init__(self) -> None:
        self._found = False

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        first = [] if self._found else part.columns[EARLIEST].tolist()
        self._found = self._found or bool(first)
        return [MetricPoint("count/first", 1.0, index, times.at(index)) for index in first]

    def retried(self, part: Part) -> None: ...


SPEC = CountSpec()
