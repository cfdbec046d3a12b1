"""Reads and validates sweep files."""

import codecs
import tomllib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from optitrip.config.locations import Lines, explain, syntax_error
from optitrip.config.overrides import effective, override
from optitrip.config.sweep import Draft, File, StopTable
from optitrip.core.differences import nearest
from optitrip.core.table import Name
from optitrip.errors import InputError, Invalid
from optitrip.methods.registry import METHODS, find
from optitrip.methods.spec import MethodSpec
from optitrip.samplers import SAMPLERS
from optitrip.space.variables import Space

UTF_16 = "is UTF-16 text, as Windows' PowerShell writes it; save it as UTF-8"


def read_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """Read and validate a sweep file with overrides such as `method.candidates=500`.

    Raises InputError with one line per mistake: file, line, key, the value found and the value wanted.
    """
    try:
        # Some editors on Windows begin a file with a byte order mark; two tools in a row with two.
        text = path.read_text(encoding="utf-8-sig").lstrip("\ufeff")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; wanted a sweep file, e.g. sweeps/digits_random.toml") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        wide = error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        raise InputError(f"{path}: {UTF_16 if wide else f'cannot be read as UTF-8 text: {error}'}") from None
    if "\0" in text:
        raise InputError(f"{path}: {UTF_16}")
    return parse_text(text, path, overrides)


def parse_text(text: str, path: Path, overrides: Sequence[str] = ()) -> Draft:
    """Validate the text of a sweep file, as `read_draft` does; messages name `path`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(syntax_error(path, str(error))) from None
    lines = Lines(path, text)
    for option in overrides:
        lines.overridden[override(tables, option)] = option
    return parse_draft(tables, lines, path.stem, path.resolve().parent, effective(overrides))


def parse_draft(
    tables: Mapping[str, Any], lines: Lines, stem: str, folder: Path, overrides: tuple[str, ...] = ()
) -> Draft:
    """Validate the tables of a sweep file; `stem` is the sweep's name if the tables give none."""
    file, spec, config = validate(tables, lines)
    if (file.objective.loss is None) == (file.objective.make is None):
        found = "both" if file.objective.loss else "neither"
        raise InputError(lines.at(("objective",), f"wanted exactly one of loss and make, found {found}"))
    try:
        space = Space.parse(file.space, drawn=spec.drawn(config))
    except Invalid as error:
        raise InputError(lines.at(("space", *error.path), error.message)) from None
    try:
        check_method(spec, config, space, file.stop)
        check_children(spec, config, file.tracking.children)
    except Invalid as error:
        raise InputError(lines.at(error.path, error.message)) from None
    name = file.name or stem
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        wanted = 'wanted a line name = "..." of letters, digits, . _ -'
        raise InputError(lines.at((), f"the file's stem {name!r} cannot be a sweep's name; {wanted}")) from None
    parsed: dict[str, Any] = {**vars(file), "name": name, "space": space, "method": config}
    return Draft(**parsed, spec=spec, folder=folder, text=lines.text, overrides=overrides, lines=lines)


def validate(tables: Mapping[str, Any], lines: Lines) -> tuple[File, MethodSpec[Any], Any]:
    """Return the file as a pydantic model, the descriptor of its method, and the [method] table as a model.

    Raises InputError with one line per mistake, in the order of the tables.
    """
    mistakes: dict[str, list[str]] = {name: [] for name in File.model_fields}
    unknown: list[str] = []

    def parse(model: type[BaseModel], table: Any, *prefix: str) -> Any:
        try:
            return model.model_validate(table)
        except ValidationError as error:
            for detail in error.errors():
                name = str((*prefix, *detail["loc"])[0])
                mistakes.get(name, unknown).append(explain(detail, model, lines, prefix))

    file, spec, config = parse(File, tables), None, None
    method = tables.get("method")
    if isinstance(method, Mapping):
        word: Any = method.get("use")  # pyright: ignore[reportUnknownMemberType]
        if isinstance(word, str) and word in METHODS:
            spec = find(word)
            config = parse(spec.config, dict(method), "method")  # pyright: ignore[reportUnknownArgumentType]
        else:
            found = "is missing;" if word is None else f"was {word!r},"
            words = " or ".join(map(repr, METHODS))
            mistakes["method"].append(lines.at(("method", "use"), f"{found} wanted {words}"))
    if file is None or spec is None or config is None:
        raise InputError("\n".join([*chain.from_iterable(mistakes.values()), *unknown]))
    return file, spec, config


def check_children(spec: MethodSpec[Any], config: Any, children: int) -> None:
    """Raise Invalid if more child runs are wanted than the answer has best items."""
    most = spec.best_kept(config)
    if children and not most:
        raise Invalid(
            ("tracking", "children"), f"is for the best of many, and a {spec.word} has none; remove this line"
        )
    if children > most:
        more = f"set best in [method] to {children}, which makes it another sweep"
        wanted = f"wanted at most {most}, as many as [method] best keeps"
        raise Invalid(("tracking", "children"), f"was {children}, {wanted}; or {more}")


def check_method(spec: MethodSpec[Any], config: Any, space: Space, stop: StopTable) -> None:
    """Raise Invalid, with the path of the key, if the [method] table is inconsistent with itself or other tables."""
    start = spec.start(config)
    if start is not None and len(start.ways) != 1:
        wanted = "wanted exactly one of candidate, best_of, file, values and fill"
        raise Invalid(("method", "at"), f"{wanted}, found {' and '.join(start.ways) or 'none'}")
    for key in ("target_loss", "no_improvement"):
        if getattr(stop, key) is not None and not spec.ends_early:
            wanted = " or ".join(f"a {word}" for word in METHODS if find(word).ends_early)
            raise Invalid(("stop", key), f"is for {wanted}, and this is a {spec.word}; remove this line")
    word = spec.sampler(config)
    if word not in SAMPLERS:
        raise Invalid(("method", "sampler"), f"was {word!r}; {nearest(word, list(SAMPLERS))}")
    spec.check(config, space, stop)
    if spec.drawn(config):
        try:
            SAMPLERS[word].check(space.sizes, spec.items(config, space))
        except ValueError as error:
            raise Invalid(("method", "sampler"), str(error)) from None
