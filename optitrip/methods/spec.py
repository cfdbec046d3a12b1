"""The descriptor of a method: all that the rest of optitrip asks about one. Nobody else knows a concrete method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from optitrip.core.method import Method, Route
from optitrip.core.progress import Curve, Progress
from optitrip.core.table import StartPoint, Table

if TYPE_CHECKING:
    from optitrip.config.sweep import Sweep
    from optitrip.config.tables import StopTable
    from optitrip.core.point import Point
    from optitrip.loss.objective import Capabilities
    from optitrip.output.answer import Answer
    from optitrip.space.variables import Space

Config = TypeVar("Config", bound=Table)


@dataclass(frozen=True)
class SurrogateChoice:
    """Which of the objective's surrogates a sweep screens by."""

    word: str
    """The word under which the objective offers it."""
    device: str | None
    """The device on which it is evaluated; None for the objective's own choice."""

    @property
    def text(self) -> str:
        """Both in words."""
        return f"{self.word} on {self.device}" if self.device else self.word


class MethodSpec(ABC, Generic[Config]):
    """One method. The questions without an answer here every method must answer."""

    word: ClassVar[str]
    """Its word in sweep files, phases and the journal's listing; the `kind` of its main stage."""
    unit: ClassVar[str]
    """What a sweep counts, in the plural, e.g. candidates."""
    config: type[Config]
    """Its [method] table."""
    point_file: ClassVar[str | None] = None
    """The file of the point that it finds, at which others can start by `at = { best_of = ... }`."""
    ends_early: ClassVar[bool] = False
    """Whether it knows the rules `target_loss` and `no_improvement` of [stop]."""
    no_answer: ClassVar[Mapping[str, Any]] = {}
    """What --json prints in place of an answer."""

    @abstractmethod
    def items(self, config: Config, space: Space) -> int:
        """Return how many items the sweep asks for, in its unit."""

    @abstractmethod
    def identity(self, config: Config, start: Point | None) -> dict[str, Any]:
        """Return what the configuration says of the answer; the number of items is none of it."""

    @abstractmethod
    def method(self, sweep: Sweep, capabilities: Capabilities) -> Method:
        """Make the main stage, e.g. to evaluate one of its items again."""

    @abstractmethod
    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        """Yield the stages; return what they found.

        Raises:
            NoAnswer: if it cannot go on.
        """

    @abstractmethod
    def answer(self, sweep: Sweep, found: Any) -> Answer:
        """Make the answer of what the route found: JSON, table, files, pictures."""

    @abstractmethod
    def describe(self, sweep: Sweep) -> str:
        """Return the plan in a line, for `optitrip check`."""

    def check(self, config: Config, space: Space, stop: StopTable) -> None:
        """Go on if the configuration fits the space and the rules of [stop].

        Raises:
            Invalid: with the path of the key in the sweep file.
        """

    def drawn(self, config: Config) -> bool:
        """Return whether candidates are drawn, so that every variable needs a distribution."""
        del config
        return True

    def sampler(self, config: Config) -> str:
        """Return the word of the sampler that candidates are drawn by."""
        del config
        return "random"

    def start(self, config: Config) -> StartPoint | None:
        """Return the point that the sweep starts at, if it needs one."""
        del config

    def surrogate(self, config: Config) -> SurrogateChoice | None:
        """Return the surrogate that the sweep screens by, if it does."""
        del config

    def sharable(self, config: Config) -> bool:
        """Return whether items can be shared out before anything is known: no stage needs the whole of another."""
        del config
        return True

    def points_of(self, config: Config, item: int) -> tuple[str, ...]:
        """Return the names of an item's points, in the order of their sides; empty where it has one point."""
        del config, item
        return ()

    def progress(self, sweep: Sweep) -> Progress:
        """Make what counts and shows how far the sweep is."""
        return Progress(sweep.items)

    def curve(self, method: Method) -> Curve | None:
        """Make the chart of a stage in MLflow, if there is to be one."""
        del method

    def summary(self, result: Mapping[str, Any]) -> str:
        """Return the result in a few words, from the result file; empty to say no more than the number of items."""
        del result
        return ""
