"""A sweep file -> a frozen Sweep, or an error that names file, line and key. Nothing that a file names is imported."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from optitrip.errors import InputError, Invalid
from optitrip.space import Space
from optitrip.toml_lines import Lines, explain, override

ALGORITHM = 1
"""Raised whenever a change to optitrip changes the answer of some sweep; part of every identity."""

Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", description="module:name")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Table(BaseModel):
    """A table of a sweep file: every key is known, every type is as written (TOML has types of its own)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ObjectiveTable(Table):
    """Which loss: `loss` names a function or a class, `make` a factory; `arguments` go to it."""

    loss: Reference | None = None
    make: Reference | None = None
    arguments: dict[str, Any] = {}
    block: Annotated[int, Field(ge=1, le=2**20)] | None = None

    @property
    def reference(self) -> str:
        return self.loss or self.make or ""


class SearchTable(Table):
    """Draw candidates, compute the loss, keep the best."""

    use: Literal["search"]
    sampler: Literal["random"] = "random"
    candidates: Annotated[int, Field(ge=1, le=2**53)]
    best: Annotated[int, Field(ge=1, le=10_000)] = 10


class RunTable(Table):
    """Where the work is done; no part of the answer."""

    executor: Literal["auto", "serial", "ray"] = "auto"
    workers: Annotated[int, Field(ge=1)] | None = None
    resources: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}


class TrackingTable(Table):
    """Where the sweep is remembered."""

    use: Literal["mlflow", "none"] = "mlflow"
    experiment: Annotated[str, Field(min_length=1)] = "optitrip"


class File(Table):
    """A whole sweep file, before its space is understood."""

    name: Name | None = None
    seed: int = 0
    objective: ObjectiveTable
    space: dict[str, Any]
    method: SearchTable
    run: RunTable = RunTable()
    tracking: TrackingTable = TrackingTable()


@dataclass(frozen=True)
class Sweep:
    """One objective, one space, one route, one seed."""

    name: str
    seed: int
    objective: ObjectiveTable
    space: Space
    method: SearchTable
    run: RunTable
    tracking: TrackingTable
    folder: Path
    """Of the sweep file: modules are looked up here."""
    text: str
    """The sweep file as it was written, with the overrides as comments below it."""
    overrides: tuple[str, ...] = ()

    @cached_property
    def essence(self) -> dict[str, Any]:
        """What the file says of the answer: all but the number of candidates, which extends a sweep."""
        return {
            "algorithm": ALGORITHM,
            "method": self.method.model_dump(exclude={"candidates"}),
            "objective": self.objective.model_dump(exclude={"block"}, exclude_none=True),
            "seed": self.seed,
            "space": self.space.describe(),
        }

    @cached_property
    def identity(self) -> str:
        """Eight hexadecimal digits of the essence: equal sweeps have equal ones, whatever their files look like."""
        text = json.dumps(self.essence, sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    @property
    def label(self) -> str:
        return f"{self.name}-{self.identity}"


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
    try:
        file = File.model_validate(tables)
    except ValidationError as error:
        mistakes = [explain(detail, File, lines) for detail in error.errors()]
        raise InputError("\n".join(mistakes)) from None
    table = file.objective
    if (table.loss is None) == (table.make is None):
        found = "both" if table.loss else "neither"
        raise InputError(lines.at(("objective",), f"wanted exactly one of loss and make, found {found}"))
    try:
        space = Space.parse(file.space)
    except Invalid as error:
        raise InputError(lines.at(("space", *error.path), error.message)) from None
    name = file.name or path.stem
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        wanted = 'wanted a line name = "..." of letters, digits, . _ -'
        raise InputError(lines.at((), f"the file's stem {name!r} cannot be a sweep's name; {wanted}")) from None
    said = "".join(f"\n# --set {given}" for given in overrides)
    return Sweep(
        name=name,
        seed=file.seed,
        objective=table,
        space=space,
        method=file.method,
        run=file.run,
        tracking=file.tracking,
        folder=path.resolve().parent,
        text=text + said + ("\n" if said else ""),
        overrides=tuple(overrides),
    )
