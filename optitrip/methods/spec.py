"""The descriptor of a method: all that the rest of optitrip asks about one. No other code knows a concrete method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from optitrip.core.method import Method, Route
from optitrip.core.point import Point
from optitrip.core.progress import Curve, Progress
from optitrip.core.table import StartPoint, Table
from optitrip.loss.objective import Capabilities
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep

Config = TypeVar("Config", bound=Table)


@dataclass(frozen=True)
class SurrogateChoice:
    """The surrogate by which a sweep screens."""

    word: str
    """The word under which the objective offers it."""
    device: str | None
    """The device on which it is evaluated; None for the objective's own choice."""

    @property
    def text(self) -> str:
        return f"{self.word} on {self.device}" if self.device else self.word


class MethodSpec(ABC, Generic[Config]):
    """One method. Every method must answer the questions that have no answer here."""

    word: ClassVar[str]
    """Its word in sweep files, phases and the journal's listing; the `kind` of its main stage."""
    unit: ClassVar[str]
    """The plural noun for its items, e.g. candidates."""
    config: type[Config]
    """Its [method] table."""
    point_file: ClassVar[str | None] = None
    """The file of the point that it finds, at which other sweeps can start by `at = { best_of = ... }`."""
    ends_early: ClassVar[bool] = False
    """True if it knows the rules `target_loss` and `no_improvement` of [stop]."""
    no_answer: ClassVar[Mapping[str, Any]] = {}
    """The fields that --json prints in place of an answer."""

    @abstractmethod
    def items(self, config: Config, space: Space) -> int:
        """Return how many items the sweep asks for, in its unit."""

    @abstractmethod
    def identity(self, config: Config, start: Point | None) -> dict[str, Any]:
        """Return all of the configuration that decides the answer, except the number of items."""

    @abstractmethod
    def method(self, sweep: Sweep, capabilities: Capabilities) -> Method:
        """Make the main stage, e.g. to evaluate one of its items again."""

    @abstractmethod
    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        """Yield the stages; return the sweep's `Answer`. Raises NoAnswer if it cannot go on."""

    @abstractmethod
    def describe(self, sweep: Sweep) -> str:
        """Return the plan in a line, for `optitrip check`."""

    def check(self, config: Config, space: Space, stop: StopTable) -> None:
        """Check that the configuration fits the space and the rules of [stop]. Raises Invalid, with the path of the key
        in the sweep file, if it does not."""

    def drawn(self, config: Config) -> bool:
        """Return whether candidates are drawn, so that every variable needs a distribution."""
        return True

    def sampler(self, config: Config) -> str:
        """Return the word of the sampler that draws candidates: the key `sampler`, if the table has one."""
        return getattr(config, "sampler", "random")

    def start(self, config: Config) -> StartPoint | None:
        """Return the point that the sweep starts at, if it needs one."""

    def surrogate(self, config: Config) -> SurrogateChoice | None:
        """Return the surrogate that the sweep screens by, if any."""

    def sharable(self, config: Config) -> bool:
        """Return whether items can be split into shards at the start: no stage needs all of another."""
        return True

    def points_of(self, config: Config, item: int) -> tuple[str, ...]:
        """Return the names of an item's points, in the order of their sides; empty where it has one point."""
        return ()

    def progress(self, sweep: Sweep) -> Progress:
        """Make the counter behind the live line."""
        return Progress(sweep.items)

    def curve(self, method: Method) -> Curve | None:
        """Make the chart of a stage in MLflow, if it has one."""

    def summary(self, result: Mapping[str, Any]) -> str:
        """Return the result in a few words, from the result file; empty if the number of items says it all."""
        return ""
