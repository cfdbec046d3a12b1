"""The interface through which optitrip uses a method: only the registry and the public Python names refer to one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from optitrip.core.arrays import Column
from optitrip.core.method import Method, Route
from optitrip.core.observer import Curve, Printable, Progress
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import InputError, Invalid
from optitrip.loss.objective import Capabilities, Objective
from optitrip.loss.rung import Amount, Resource
from optitrip.methods.importance import Sample
from optitrip.space.expression import Expression
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep

Config = TypeVar("Config", bound=Table)


@dataclass(frozen=True)
class SurrogateChoice:
    """The surrogate that a sweep screens with."""

    word: str
    """Name under which the objective offers it."""
    device: str | None
    """Device that evaluates it; None for the objective's default."""

    @property
    def text(self) -> str:
        return f"{self.word} on {self.device}" if self.device else self.word


class GivenTable(NamedTuple):
    """Points that a table of a sweep file gives in place of candidates that are drawn."""

    key: str
    """Name of its key in [method]."""
    points: Any
    """Name of a file, or a list of points, each a dict of values by name."""
    alone: bool
    """True if there are no other candidates."""


class States(NamedTuple):
    """The folders of candidates that are needed from a stage on."""

    names: frozenset[str]
    """Names of the folders, each of a candidate."""
    before: Amount
    """Least amount of the resource whose results are needed."""


class MethodTable(NamedTuple):
    """A table of a sweep file that configures a method."""

    path: tuple[str | int, ...]
    """Path of its key."""
    spec: MethodSpec[Any]
    config: Any


class StoredParts(Protocol):
    """Reads the parts of a stage that are stored, in ascending order and adjacent ones merged; gaps may remain."""

    def __call__(self, method: Method, kind: str = "") -> Sequence[Part]:
        """Return the parts of the stage with the method's digest, or else of the one of a kind, if there is one."""
        ...


class MethodSpec(ABC, Generic[Config]):
    """One method. A subclass implements the abstract methods, and overrides a default where it does not fit."""

    word: ClassVar[str]
    """Name in sweep files, phases and the journal's listing; the `kind` of its main stage."""
    unit: ClassVar[str]
    """Plural noun for its items, e.g. candidates."""
    config: type[Config]
    """Model of its [method] table."""
    example: ClassVar[str] = ""
    """Its [method] table in a file that `optitrip init` writes, in TOML."""
    point_file: ClassVar[str | None] = None
    """File of the point that it finds, at which other sweeps can start with `at = { best_of = ... }`."""
    ends_early: ClassVar[bool] = False
    """True if it supports `target_loss` and `no_improvement` in [stop]."""
    instead_of_table: ClassVar[str] = ""
    """Result files to read in place of `optitrip table`, in a few words, if there is no such table."""
    no_answer: ClassVar[Mapping[str, Any]] = {}
    """Fields that --json prints when there is no answer."""

    @abstractmethod
    def items(self, config: Config, space: Space) -> int:
        """Return how many items the sweep asks for."""

    @abstractmethod
    def identity(self, config: Config, start: Point | None) -> dict[str, Any]:
        """Return every setting that decides the answer, except the number of items."""

    @abstractmethod
    def method(self, sweep: Sweep, capabilities: Capabilities) -> Method:
        """Make the main stage, e.g. to re-evaluate one of its items."""

    @abstractmethod
    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        """Yield the stages; return the sweep's `Answer`. Raises NoAnswer if it cannot continue."""

    @abstractmethod
    def describe(self, sweep: Sweep) -> str:
        """Return a one-line plan, for `optitrip check`."""

    def check(self, config: Config, space: Space, stop: StopTable) -> None:
        """Raise Invalid, with the path of the key, if the configuration does not fit the space or [stop]."""

    def check_point(self, config: Config, space: Space) -> None:
        """Raise Invalid if the table names a sampler that draws nothing, or the space cannot be differentiated."""
        start = self.start(config)
        if "sampler" in config.model_fields_set and start is not None and start.candidate is None:
            problem = "only applies to at = { candidate = ... }, and `at` specifies the point differently"
            raise Invalid(("method", "sampler"), f"{problem}; remove this line, or give a candidate")
        space.check_differentiable()

    def tables(self, config: Config) -> Sequence[MethodTable]:
        """Return the tables of a sweep file that the method is made of: its own, or those of other methods."""
        return [MethodTable(("method",), self, config)]

    def start_key(self, config: Config) -> tuple[str | int, ...]:
        """Return the path of the key `at` that names the start point."""
        return ("method", "at")

    def references(self, config: Config) -> Sequence[str]:
        """Return what the table names as "module:name", beside the objective."""
        return ()

    def children(self, config: Config) -> int:
        """Return how many child runs its answer always has in MLflow."""
        return 0

    def best_kept(self, config: Config) -> int:
        """Return how many best items an answer has, which may become child runs in MLflow; 0 if items are not
        compared."""
        return 0

    def drawn(self, config: Config) -> bool:
        """Return whether candidates are drawn, so that every variable needs a distribution."""
        return True

    def sampler(self, config: Config) -> str:
        """Return the name of the sampler that draws candidates: the key `sampler`, if the table has one."""
        return getattr(config, "sampler", "random")

    def together(self, config: Config) -> int | None:
        """Return how many points a sampler draws together; None where each is drawn for itself."""
        return None

    def given(self, config: Config) -> GivenTable | None:
        """Return the points that the table gives in place of candidates that are drawn, if any."""

    def constraints(self, config: Config) -> tuple[Expression, ...]:
        """Return the constraints on candidates."""
        return ()

    def redraw(self, config: Config) -> bool:
        """Return whether infeasible candidates are drawn again."""
        return False

    def start(self, config: Config) -> StartPoint | None:
        """Return the point that the sweep starts at, if it needs one."""

    def common_seed(self, config: Config) -> bool:
        """Return whether a random loss gets the same seeds at all points: wherever losses nearby are compared."""
        return self.start(config) is not None

    def surrogate(self, config: Config) -> SurrogateChoice | None:
        """Return the surrogate that the sweep screens with, if any."""

    def resource(self, config: Config) -> Resource | None:
        """Return the argument that the loss gets more and more of, with the largest amount, if there is one."""

    def states(self, method: Method) -> States | None:
        """Return the folders of candidates that are needed from a stage on; None for all."""

    def replayed(self, method: Method, item: int, objective: Objective) -> Objective:
        """Return the objective as it evaluates an item of a main stage."""
        del method, item
        return objective

    @property
    def compares(self) -> bool:
        """True if the answer compares the objective's own gradient with what was found."""
        return False

    def shardable(self, config: Config) -> bool:
        """Return whether shards can each run a range of items: no stage needs the whole result of another."""
        return True

    def points_of(self, config: Config, item: int) -> tuple[str, ...]:
        """Return the names of an item's points, in the order of their sides; empty if it has only one."""
        return ()

    def progress(self, sweep: Sweep) -> Progress:
        """Make the counter behind the live line."""
        return Progress(sweep.items)

    def curve(self, method: Method) -> Curve | None:
        """Make the MLflow chart of a stage, if it has one."""

    def stored_table(self, sweep: Sweep, stored: StoredParts, best: int | None) -> dict[str, Column]:
        """Return a table of the items that are stored, or of the best; no columns if there are none. What only the loss
        knows is not known."""
        return {}

    def sample(self, sweep: Sweep, stored: StoredParts) -> Sample | None:
        """Return the stored candidates by which variables can be ranked; None if there are none yet. Raises InputError
        if the method draws none for all variables."""
        raise InputError(f"a {self.word} draws no candidates that would tell which variables matter; a search does")

    def leaders(self, sweep: Sweep, parts: Iterable[Part]) -> Sequence[Printable]:
        """Return the best items among stored parts of the main stage, best first; none if items are not compared."""
        return ()

    def headline(self, result: Mapping[str, Any]) -> float | None:
        """Return the number by which results are compared, from the fields for `--json`, if there is one."""

    def summary(self, result: Mapping[str, Any]) -> str:
        """Summarise the result from the result file; empty if the number of items is enough."""
        return ""
