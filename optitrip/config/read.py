"""Reads a sweep file into a Draft."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from optitrip.config.locations import Lines, explain, override
from optitrip.config.sweep import Draft
from optitrip.config.tables import File, StopTable
from optitrip.core.suggest import nearest
from optitrip.core.table import Name
from optitrip.errors import InputError, Invalid
from optitrip.methods.registry import METHODS, find
from optitrip.methods.spec import MethodSpec
from optitrip.samplers import SAMPLERS
from optitrip.space.variables import Space


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
    if start is not None and len(start.ways) != 1:
        wanted = "wanted exactly one of candidate, best_of, file, values and fill"
        raise Invalid(("method", "at"), f"{wanted}, found {' and '.join(start.ways) or 'none'}")
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
