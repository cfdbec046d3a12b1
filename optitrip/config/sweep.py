"""Defines the tables of a sweep file (except [method], which each method defines), the Draft made from them, and the
Sweep, which adds the start point and so has an identity.

Nothing that a file refers to is imported.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from optitrip.config.locations import KeyPath, Lines
from optitrip.config.overrides import resolved
from optitrip.config.program import PROGRAM, ProgramTable, name_of_loss
from optitrip.config.run import NonNegative, RunTable
from optitrip.core.point import Point
from optitrip.core.table import Deterministic, GradientReference, Name, Reference, Table, one_of
from optitrip.errors import InputError
from optitrip.methods.spec import MethodSpec
from optitrip.samplers import SAMPLERS
from optitrip.space.candidates import Candidates
from optitrip.space.given import Given
from optitrip.space.variables import Space

ALGORITHM = 2
"""Version of the algorithm, part of every identity; incremented when a change to optitrip changes any answer."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ObjectiveTable(Table):
    """The loss: `loss` names a function or class, `make` a factory; `arguments` are passed to it."""

    loss: Reference | None = None
    make: Reference | None = None
    gradient: GradientReference | None = None
    """Function that returns the analytic gradient, in place of a method of the loss; "autograd" for PyTorch's."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    block: Annotated[int, Field(ge=1, le=2**20)] | None = None
    maximize: bool = False
    """True if larger is better; losses keep the objective's sign wherever they are shown."""
    as_dict: bool = False
    """True to pass all variables as one dict, the only argument."""
    plain: bool = False
    """True to ignore batched and structured evaluation and call the loss once per item."""
    deterministic: Deterministic = True
    """False if the loss is random on purpose: repeated evaluations of an item are then not compared. A number if it is
    a little noisy: the relative difference that is allowed."""
    isolate: bool = False
    """True to evaluate in processes of their own, which a stop or a time limit can end."""
    repeats: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Number of evaluations of each point, of which the loss is the mean."""
    files: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list[str])
    """Patterns of files beside the sweep file that travel with its modules to a cluster, e.g. "data/*.npz"."""

    @property
    def compared(self) -> bool:
        """True if an item that is evaluated again must have the same loss, within `noise`."""
        return self.deterministic is not False

    @property
    def noise(self) -> float:
        """Relative difference between two evaluations of a point that is no sign of a mistake."""
        return 0.0 if isinstance(self.deterministic, bool) else self.deterministic

    @property
    def reference(self) -> str:
        return self.loss or self.make or ""

    @property
    def called(self) -> str:
        """Name of the loss in pictures: its reference, or its key in the output of a program."""
        return name_of_loss(self.arguments) if self.loss == PROGRAM else self.reference

    @property
    def key(self) -> KeyPath:
        """Path of the key that names it."""
        return ("objective", "loss" if self.loss else "make")


class StopTable(Table):
    """When to end before all items are evaluated."""

    max_seconds: Positive | None = None
    """Maximum seconds for the whole command; the results so far are stored, and the same command resumes."""
    target_loss: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Loss at which a search ends, with the first candidate at least this good."""
    no_improvement: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Number of consecutive candidates without a new best after which a search ends."""
    drain_seconds: NonNegative = 10.0
    """Seconds that running slices have to finish after a stop request."""


class FailuresTable(Table):
    """How failed items are handled, and how many are tolerated."""

    retries: Annotated[int, Field(ge=0, le=100)] = 0
    """Number of times a failed item is retried."""
    timeout_seconds: Positive | None = None
    """Maximum seconds per item, after which its worker is killed; not enforced in this process."""
    allow: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)],
        one_of("a whole number of items, or a fraction of them from 0.0 to 1.0"),
    ] = 0
    """Number of items (a whole number), or fraction of them, that may fail with exit status 0."""

    def allows(self, failed: int, items: int) -> bool:
        return failed <= (self.allow if isinstance(self.allow, int) else self.allow * items)


class TrackingTable(Table):
    """Where the sweep is recorded."""

    use: Literal["mlflow", "none"] = "mlflow"
    experiment: Annotated[str, Field(min_length=1, max_length=500)] = "optitrip"
    children: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Number of best candidates that get a child run of their own; [method] `best` must keep as many."""


class File(Table):
    """A sweep file before its space and its method are parsed."""

    name: Name | None = None
    seed: int = 0
    objective: ObjectiveTable | None = None
    program: ProgramTable | None = None
    """Table [program] in place of [objective]."""
    space: dict[str, Any]
    method: dict[str, Any] | None = None
    leg: list[dict[str, Any]] | None = None
    """Tables [[leg]] in place of [method]: those of several methods, one after the other."""
    run: RunTable = RunTable()
    stop: StopTable = StopTable()
    failures: FailuresTable = FailuresTable()
    tracking: TrackingTable = TrackingTable()


@dataclass(frozen=True)
class Draft:
    """A sweep as described by its file; the start point is named, but not looked up yet."""

    name: str
    seed: int
    objective: ObjectiveTable
    space: Space
    spec: MethodSpec[Any]
    """Descriptor of the method."""
    method: Any
    """Parsed [method] table, an instance of `spec.config`."""
    run: RunTable
    stop: StopTable
    failures: FailuresTable
    tracking: TrackingTable
    folder: Path
    """Folder of the sweep file, where modules and files are looked up."""
    text: str
    """Text of the sweep file, without the overrides."""
    overrides: tuple[str, ...] = ()
    """Options `--set` beside the file, without those that a later one replaces."""
    program: ProgramTable | None = None
    """Program of which the objective is made, if it is one."""
    data: str | None = None
    """Digest of the data of an objective given as a Python value, if it has one."""
    lines: Lines = field(compare=False, repr=False, kw_only=True)

    @property
    def unit(self) -> str:
        """Name of the items in the plural, e.g. "candidates"."""
        return self.spec.unit

    @property
    def items(self) -> int:
        """Number of items that the file asks for, in its unit."""
        return self.spec.items(self.method, self.space)

    @property
    def modules(self) -> set[str]:
        """Names of the modules in which the file names something, each with its packages."""
        named = [self.objective.reference, self.objective.gradient or "", *self.spec.references(self.method)]
        return {reference.partition(":")[0] for reference in named if ":" in reference}

    @property
    def candidates(self) -> Candidates:
        """Sequence of candidates; the only place that combines sampler, space and seed."""
        together = self.spec.together(self.method)
        where, redraw = self.spec.constraints(self.method), self.spec.redraw(self.method)
        return Candidates(
            self.space, self.seed, self.spec.sampler(self.method), together=together, where=where, redraw=redraw
        )

    def mistake(self, key: KeyPath, message: str) -> InputError:
        """Return an error with the line of a key, for checks that need the start point or the objective."""
        return InputError(self.lines.at(key, message))


@dataclass(frozen=True)
class Sweep(Draft):
    """A complete sweep: one objective, space, route, seed and start point."""

    start: Point | None = None
    """Point that `at` names; None for a method without a start point."""
    given: Given | None = None
    """Points that a person gave in place of candidates that are drawn."""

    def __post_init__(self) -> None:
        if self.start is None and self.spec.start(self.method) is not None:
            raise ValueError(f"a {self.spec.word} starts at a point: make its Sweep with `resolve`")

    @property
    def items(self) -> int:
        return self.given.count if self.given and self.given.alone else super().items

    @property
    def candidates(self) -> Candidates:
        return replace(super().candidates, given=self.given)

    @property
    def start_point(self) -> Point:
        """Point that `at` names; raises ValueError for a method without a start point."""
        if self.start is None:
            raise ValueError(f"a {self.spec.word} has no start point")
        return self.start

    @cached_property
    def identity_fields(self) -> dict[str, Any]:
        """Everything in the file that determines items and their results, except the block: the provenance holds it."""
        objective = self.objective.model_dump(
            exclude={"block", "deterministic", "files", "isolate", "repeats"}, exclude_none=True
        )
        if self.objective.repeats > 1:
            objective["repeats"] = self.objective.repeats
        if self.data is not None:
            objective["data"] = self.data
        return {
            "algorithm": ALGORITHM,
            "method": self.spec.identity(self.method, self.start) | self._designs,
            # Options that are off are left out, so that adding an option does not change older identities.
            "objective": {key: value for key, value in objective.items() if value is not False},
            "seed": self.seed,
            "space": self.space.describe(),
            **({"given": self.given.digest} if self.given else {}),
        }

    @property
    def _designs(self) -> dict[str, str]:
        """Settings beside the index on which the points of samplers depend, of all legs of a trip."""
        tables = [(spec.sampler(config), spec.together(config)) for _, spec, config in self.spec.tables(self.method)]
        designs = [SAMPLERS[sampler].identity(self.space.design(together)) for sampler, together in tables]
        return {"design": ", ".join(filter(None, designs))} if any(designs) else {}

    @cached_property
    def identity(self) -> str:
        """Eight hexadecimal digits, equal for equal sweeps however their files are written."""
        return identity_of(self.identity_fields)

    @cached_property
    def resolved(self) -> str:
        """Text of the sweep file with its overrides and its name, from which the same sweep can be read."""
        return resolved(self.text, self.overrides, self.name, self.folder)

    @property
    def label(self) -> str:
        """Name of the state directory."""
        return f"{self.name}-{self.identity}"


def identity_of(fields: Mapping[str, Any]) -> str:
    """Hash the fields of an identity, as they are or as read back from JSON."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
