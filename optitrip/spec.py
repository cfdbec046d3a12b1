"""A sweep file -> a frozen Draft, or an error that names file, line and key; a Sweep is one with its start point.

Nothing that a file names is imported.
"""

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

from optitrip.core.table import Name
from optitrip.draws import Draws
from optitrip.errors import InputError, Invalid, nearest
from optitrip.methods.registry import METHODS, find
from optitrip.methods.spec import MethodSpec
from optitrip.point import Point
from optitrip.samplers import SAMPLERS
from optitrip.space import Space
from optitrip.tables import FailuresTable, File, ObjectiveTable, RunTable, StopTable, TrackingTable
from optitrip.toml_lines import KeyPath, Lines, explain, override

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
    def candidates(self) -> Draws:
        """The sequence of candidates: the only place where sampler, space and seed come together."""
        return Draws(self.space, self.seed, self.spec.sampler(self.method))

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
    def essence(self) -> dict[str, Any]:
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
        text = json.dumps(self.essence, sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    @property
    def label(self) -> str:
        """The name of its state directory."""
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


def read_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """Read and validate a sweep file.

    Args:
        path: the TOML file.
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
    return parse_draft(tables, lines, path.stem, path.resolve().parent, text, tuple(overrides))


def parse_draft(
    tables: Mapping[str, Any], lines: Lines, stem: str, folder: Path, text: str, overrides: tuple[str, ...] = ()
) -> Draft:
    """Validate the tables of a sweep file; `stem` is its name if the tables give none.

    Raises:
        InputError: one line for each mistake.
    """
    file, spec, config = validated(tables, lines)
    table = file.objective
    if (table.loss is None) == (table.make is None):
        found = "both" if table.loss else "neither"
        raise InputError(lines.at(("objective",), f"wanted exactly one of loss and make, found {found}"))
    try:
        space = parse_space(file.space, spec, config)
        check_method(spec, config, space, file.stop)
    except Invalid as error:
        raise InputError(lines.at(error.path, error.message)) from None
    name = file.name or stem
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        wanted = 'wanted a line name = "..." of letters, digits, . _ -'
        raise InputError(lines.at((), f"the file's stem {name!r} cannot be a sweep's name; {wanted}")) from None
    return Draft(
        name=name,
        seed=file.seed,
        objective=table,
        space=space,
        spec=spec,
        method=config,
        run=file.run,
        stop=file.stop,
        failures=file.failures,
        tracking=file.tracking,
        folder=folder,
        text=text,
        overrides=overrides,
        lines=lines,
    )


def validated(tables: Mapping[str, Any], lines: Lines) -> tuple[File, MethodSpec[Any], Any]:
    """Return the tables as pydantic read them, with the descriptor of the method and its own table.

    Raises:
        InputError: one line for each mistake, in the order of the tables.
    """
    mistakes: list[tuple[str, str]] = []
    file = spec = config = None
    try:
        file = File.model_validate(tables)
    except ValidationError as error:
        mistakes += [(str(detail["loc"][0]), explain(detail, File, lines)) for detail in error.errors()]
    table = tables.get("method")
    if isinstance(table, Mapping):
        method: dict[str, Any] = dict(table)  # pyright: ignore[reportUnknownArgumentType]
        word, words = method.get("use"), " or ".join(map(repr, METHODS))
        if word is None:
            mistakes.append(("method", lines.at(("method", "use"), f"is missing; wanted {words}")))
        elif not isinstance(word, str) or word not in METHODS:
            mistakes.append(("method", lines.at(("method", "use"), f"was {word!r}, wanted {words}")))
        else:
            spec = find(word)
            try:
                config = spec.config.model_validate(method)
            except ValidationError as error:
                found = (explain(detail, spec.config, lines, ("method",)) for detail in error.errors())
                mistakes += [("method", mistake) for mistake in found]
    if file is None or spec is None or config is None:
        order = list(File.model_fields)
        mistakes.sort(key=lambda one: order.index(one[0]) if one[0] in order else len(order))
        raise InputError("\n".join(mistake for _, mistake in mistakes))
    return file, spec, config


def parse_space(given: Mapping[str, Any], spec: MethodSpec[Any], config: Any) -> Space:
    """Return the space of a sweep file.

    Raises:
        Invalid: with the path of the key in the sweep file.
    """
    try:
        return Space.parse(given, drawn=spec.drawn(config))
    except Invalid as error:
        raise Invalid(("space", *error.path), error.message) from None


def check_method(spec: MethodSpec[Any], config: Any, space: Space, stop: StopTable) -> None:
    """Go on if a method fits the other tables of its file.

    Raises:
        Invalid: with the path of the key in the sweep file.
    """
    start = spec.start(config)
    if start is not None and len(start.given) != 1:
        wanted = "wanted exactly one of candidate, best_of, file, values and fill"
        raise Invalid(("method", "at"), f"{wanted}, found {' and '.join(start.given) or 'none'}")
    for key in ("target_loss", "no_improvement"):
        if getattr(stop, key) is not None and not spec.ends_early:
            wanted = " or ".join(f"a {word}" for word in METHODS if find(word).ends_early)
            raise Invalid(("stop", key), f"is for {wanted}, and this is a {spec.word}; wanted no such line")
    word = spec.sampler(config)
    if word not in SAMPLERS:
        raise Invalid(("method", "sampler"), f"was {word!r}; {nearest(word, list(SAMPLERS))}")
    spec.check(config, space, stop)
    if spec.drawn(config):
        try:
            SAMPLERS[word].check(space.sizes, spec.items(config, space))
        except ValueError as error:
            raise Invalid(("method", "sampler"), str(error)) from None
