"""A sweep file -> a frozen Draft, or an error that names file, line and key; a Sweep is one with its start point.

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
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

ALGORITHM = 2
"""Raised whenever a change to optitrip changes the answer of some sweep; part of every identity."""


@dataclass(frozen=True)
class Draft:
    """A sweep as its file says it; the point where it starts is named, but not looked up."""

    name: str
    seed: int
    objective: ObjectiveTable
    space: Space
    spec: MethodSpec[Any]
    """The descriptor of its method."""
    method: Any
    """The [method] table, of the type `spec.config`."""
    run: RunTable
    stop: StopTable
    failures: FailuresTable
    tracking: TrackingTable
    folder: Path
    """The folder of the sweep file, in which modules and files are looked up."""
    text: str
    """The sweep file as it was written, with the overrides as comments below it."""
    overrides: tuple[str, ...] = ()
    data: str | None = None
    """The digest of an objective given as a Python value, if it has one."""
    lines: Lines | None = field(default=None, compare=False, repr=False)

    @property
    def unit(self) -> str:
        """What is counted, in the plural."""
        return self.spec.unit

    @property
    def items(self) -> int:
        """The number of items that the file asks for, in its unit."""
        return self.spec.items(self.method, self.space)

    @property
    def candidates(self) -> Candidates:
        """The sequence of candidates: the only place where sampler, space and seed come together."""
        return Candidates(self.space, self.seed, self.spec.sampler(self.method))

    def mistake(self, key: KeyPath, message: str) -> InputError:
        """Make the error of a key of the file, for what can be checked only when point or objective are there."""
        return InputError(self.lines.at(key, message) if self.lines else message)


@dataclass(frozen=True)
class Sweep(Draft):
    """One objective, one space, one route, one seed: whole, with the point where it starts."""

    start: Point | None = None
    """The point that `at` names, for a method that starts at one."""

    def __post_init__(self) -> None:
        if self.start is None and self.spec.start(self.method) is not None:
            raise ValueError(f"a {self.spec.word} starts at a point: make its Sweep with `resolve`")

    @property
    def start_point(self) -> Point:
        """The point that `at` names; only for methods that start at one."""
        if self.start is None:
            raise ValueError(f"a {self.spec.word} starts at no point")
        return self.start

    @cached_property
    def identity_fields(self) -> dict[str, Any]:
        """What the file says of the answer: all but the number of items, which extends a sweep."""
        objective = self.objective.model_dump(exclude={"block", "deterministic"}, exclude_none=True)
        if self.data is not None:
            objective["data"] = self.data
        return {
            "algorithm": ALGORITHM,
            "method": self.spec.identity(self.method, self.start),
            # Switches that are off are left out, so that a new one changes no older identity.
            "objective": {key: value for key, value in objective.items() if value is not False},
            "seed": self.seed,
            "space": self.space.describe(),
        }

    @cached_property
    def identity(self) -> str:
        """Eight hexadecimal digits of the essence: equal sweeps have equal ones, whatever their files look like."""
        text = json.dumps(self.identity_fields, sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    @property
    def label(self) -> str:
        """The name of its state directory."""
        return f"{self.name}-{self.identity}"
