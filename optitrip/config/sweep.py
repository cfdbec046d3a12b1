"""A sweep: a Draft holds what its file says; a Sweep also holds the point where it starts, and has an identity.

Nothing that a file names is imported.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from optitrip.config.locations import KeyPath, Lines
from optitrip.config.tables import FailuresTable, ObjectiveTable, RunTable, StopTable, TrackingTable
from optitrip.core.point import Point
from optitrip.errors import InputError
from optitrip.methods.spec import MethodSpec
from optitrip.space.variables import Candidates, Space

ALGORITHM = 2
"""Version of the algorithm, part of every identity; it goes up when a change to optitrip changes some answer."""


@dataclass(frozen=True)
class Draft:
    """A sweep as described by its file; the point where it starts is named, but not looked up yet."""

    name: str
    seed: int
    objective: ObjectiveTable
    space: Space
    spec: MethodSpec[Any]
    """Descriptor of the method."""
    method: Any
    """The [method] table; a `spec.config`."""
    run: RunTable
    stop: StopTable
    failures: FailuresTable
    tracking: TrackingTable
    folder: Path
    """Folder of the sweep file, where modules and files are looked up."""
    text: str
    """Text of the sweep file, followed by the overrides as comments."""
    overrides: tuple[str, ...] = ()
    data: str | None = None
    """Digest of an objective that was given as a Python value, if it has one."""
    lines: Lines | None = field(default=None, compare=False, repr=False)

    @property
    def unit(self) -> str:
        """Name of the items in the plural, e.g. "candidates"."""
        return self.spec.unit

    @property
    def items(self) -> int:
        """Number of items that the file asks for, in its unit."""
        return self.spec.items(self.method, self.space)

    @property
    def candidates(self) -> Candidates:
        """Sequence of candidates; sampler, space and seed are combined here only."""
        return Candidates(self.space, self.seed, self.spec.sampler(self.method))

    def mistake(self, key: KeyPath, message: str) -> InputError:
        """Return an error with the line of a key, for checks that need the start point or the objective."""
        return InputError(self.lines.at(key, message) if self.lines else message)


@dataclass(frozen=True)
class Sweep(Draft):
    """A complete sweep: one objective, one space, one route, one seed, one start point."""

    start: Point | None = None
    """Point that `at` names; None for a method that needs none."""

    def __post_init__(self) -> None:
        if self.start is None and self.spec.start(self.method) is not None:
            raise ValueError(f"a {self.spec.word} starts at a point: make its Sweep with `resolve`")

    @property
    def start_point(self) -> Point:
        """Point that `at` names; only for methods that start at one."""
        if self.start is None:
            raise ValueError(f"a {self.spec.word} starts at no point")
        return self.start

    @cached_property
    def identity_fields(self) -> dict[str, Any]:
        """Everything that determines the answer, except the number of items, which extends a sweep."""
        objective = self.objective.model_dump(exclude={"block", "deterministic"}, exclude_none=True)
        if self.data is not None:
            objective["data"] = self.data
        return {
            "algorithm": ALGORITHM,
            "method": self.spec.identity(self.method, self.start),
            # Options that are off are left out, so that a new option changes no older identity.
            "objective": {key: value for key, value in objective.items() if value is not False},
            "seed": self.seed,
            "space": self.space.describe(),
        }

    @cached_property
    def identity(self) -> str:
        """Eight hexadecimal digits; equal for equal sweeps, whatever their files look like."""
        text = json.dumps(self.identity_fields, sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    @property
    def label(self) -> str:
        """Name of the state directory."""
        return f"{self.name}-{self.identity}"
