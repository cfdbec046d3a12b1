"""A sweep file -> a frozen Sweep, or an error that names file, line and key. Nothing that a file names is imported."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from optitrip.errors import InputError, Invalid
from optitrip.point import Point
from optitrip.space import Space
from optitrip.tables import (
    FailuresTable,
    File,
    GradientTable,
    Name,
    ObjectiveTable,
    RunTable,
    SearchTable,
    StopTable,
    TrackingTable,
)
from optitrip.toml_lines import KeyPath, Lines, explain, override

ALGORITHM = 2
"""Raised whenever a change to optitrip changes the answer of some sweep; part of every identity."""


@dataclass(frozen=True)
class Sweep:
    """One objective, one space, one route, one seed."""

    name: str
    seed: int
    objective: ObjectiveTable
    space: Space
    method: SearchTable | GradientTable
    run: RunTable
    stop: StopTable
    failures: FailuresTable
    tracking: TrackingTable
    folder: Path
    """Of the sweep file: modules and files are looked up here."""
    text: str
    """The sweep file as it was written, with the overrides as comments below it."""
    overrides: tuple[str, ...] = ()
    base: Point | None = None
    """Of a gradient, the point that `at` names, once it was looked up."""
    data: str | None = None
    """Of an objective given as a Python value, its own digest."""
    lines: Lines | None = field(default=None, compare=False, repr=False)

    @cached_property
    def essence(self) -> dict[str, Any]:
        """What the file says of the answer: all but the number of items, which extends a sweep."""
        method = self.method.model_dump(exclude={"candidates", "coordinates", "at"}, exclude_none=True)
        if isinstance(self.method, GradientTable):
            if self.base is None:
                raise RuntimeError("the point of a gradient is part of its identity: look it up first")
            method["at"] = self.base.digest
        objective = self.objective.model_dump(exclude={"block", "deterministic"}, exclude_none=True)
        if self.data is not None:
            objective["data"] = self.data
        return {
            "algorithm": ALGORITHM,
            "method": method,
            # Switches that are off are left out, so that a new one changes no older identity.
            "objective": {key: value for key, value in objective.items() if value is not False},
            "seed": self.seed,
            "space": self.space.describe(),
        }

    @cached_property
    def identity(self) -> str:
        """Eight hexadecimal digits of the essence: equal sweeps have equal ones, whatever their files look like."""
        text = json.dumps(self.essence, sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    @property
    def unit(self) -> str:
        """What is counted."""
        return "candidates" if isinstance(self.method, SearchTable) else "coordinates"

    @property
    def items(self) -> int:
        """How many candidates or coordinates the file asks for."""
        if isinstance(self.method, SearchTable):
            return self.method.candidates
        entries = sum(variable.size for variable in self.space.varied)
        return entries if self.method.coordinates is None else min(self.method.coordinates, entries)

    @property
    def label(self) -> str:
        return f"{self.name}-{self.identity}"

    def mistake(self, key: KeyPath, message: str) -> InputError:
        """An error at a key of the file, for what can be checked only when its point or its objective is there."""
        return InputError(self.lines.at(key, message) if self.lines else message)


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one with dotted keys."""
    pairs: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            pairs.update(flat(value, f"{prefix}{key}."))  # pyright: ignore[reportUnknownArgumentType]
        else:
            pairs[f"{prefix}{key}"] = value
    return pairs


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed from one nested table to another, as lines like `seed: 0 -> 1`."""
    before, after = flat(old), flat(new)
    return [
        f"{key}: {before.get(key, '(none)')} -> {after.get(key, '(none)')}"
        for key in sorted(before.keys() | after.keys())
        if json.dumps(before.get(key), default=repr) != json.dumps(after.get(key), default=repr)
    ]


def read(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read and validate a sweep file.

    Args:
        path: of the TOML file.
        overrides: of the form `method.candidates=500`; the right-hand side is read as TOML, else as a plain string.

    Raises:
        InputError: one line for each mistake, with file, line, key, what was given and what was wanted.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; wanted a sweep file, e.g. sweeps/digits_random.toml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(Lines.syntax(path, str(error))) from None
    lines = Lines(path, text)
    for given in overrides:
        override(tables, given, lines)
    said = "".join(f"\n# --set {given}" for given in overrides)
    text += said + ("\n" if said else "")
    return parse(tables, lines, path.stem, path.resolve().parent, text, tuple(overrides))


def parse(
    tables: Mapping[str, Any], lines: Lines, stem: str, folder: Path, text: str, overrides: tuple[str, ...] = ()
) -> Sweep:
    """Validate the tables of a sweep file; `stem` is its name if the tables give none.

    Raises:
        InputError: one line for each mistake.
    """
    try:
        file = File.model_validate(tables)
    except ValidationError as error:
        mistakes = [explain(detail, File, lines) for detail in error.errors()]
        raise InputError("\n".join(mistakes)) from None
    table, method = file.objective, file.method
    if (table.loss is None) == (table.make is None):
        found = "both" if table.loss else "neither"
        raise InputError(lines.at(("objective",), f"wanted exactly one of loss and make, found {found}"))
    try:
        space = Space.parse(file.space, drawn=isinstance(method, SearchTable) or method.at.candidate is not None)
        if isinstance(method, GradientTable):
            space.check_differentiable()
    except Invalid as error:
        raise InputError(lines.at(("space", *error.path), error.message)) from None
    if isinstance(method, GradientTable) and len(method.at.given) != 1:
        wanted = "wanted exactly one of candidate, best_of, file, values and fill"
        raise InputError(lines.at(("method", "at"), f"{wanted}, found {' and '.join(method.at.given) or 'none'}"))
    if isinstance(method, SearchTable) and method.device and not method.screen:
        raise InputError(
            lines.at(("method", "device"), 'is that of a screen; wanted a line screen = "...", or no device')
        )
    for key in ("target_loss", "no_improvement"):
        if getattr(file.stop, key) is None:
            continue
        if not isinstance(method, SearchTable):
            raise InputError(lines.at(("stop", key), 'is for searches; wanted use = "search", or no such line'))
        if method.screen:
            raise InputError(
                lines.at(("stop", key), "would be met by screened losses; wanted no screen, or no such line")
            )
    name = file.name or stem
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        wanted = 'wanted a line name = "..." of letters, digits, . _ -'
        raise InputError(lines.at((), f"the file's stem {name!r} cannot be a sweep's name; {wanted}")) from None
    return Sweep(
        name=name,
        seed=file.seed,
        objective=table,
        space=space,
        method=method,
        run=file.run,
        stop=file.stop,
        failures=file.failures,
        tracking=file.tracking,
        folder=folder,
        text=text,
        overrides=overrides,
        lines=lines,
    )
