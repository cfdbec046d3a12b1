"""Reads and validates sweep files."""

import codecs
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from optitrip.config.locations import Lines, explain, syntax_error
from optitrip.config.overrides import effective, override
from optitrip.config.program import check_files, check_program
from optitrip.config.sweep import Draft, File, ObjectiveTable, StopTable
from optitrip.core.differences import nearest
from optitrip.core.table import Name
from optitrip.errors import InputError, Invalid
from optitrip.loss.rung import STATE
from optitrip.methods.registry import LEGS, METHODS, find
from optitrip.methods.spec import MethodSpec, MethodTable
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


def parse_text(text: str, path: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> Draft:
    """Validate the text of a sweep file, as `read_draft` does; messages name `path`. That of a stored sweep has the
    `folder` where its file was, which need not be there any more."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(syntax_error(path, str(error))) from None
    lines = Lines(path, text)
    for option in overrides:
        lines.overridden[override(tables, option)] = option
    place = path.resolve().parent if folder is None else folder
    return parse_draft(tables, lines, path.stem, place, effective(overrides), stored=folder is not None)


def parse_draft(
    tables: Mapping[str, Any],
    lines: Lines,
    stem: str,
    folder: Path,
    overrides: tuple[str, ...] = (),
    *,
    stored: bool = False,
) -> Draft:
    """Validate the tables of a sweep file; `stem` is the sweep's name if the tables give none. The files of a program
    that is `stored` are not looked for."""
    file, spec, config = validate(tables, lines)
    if file.program is not None:
        changes: dict[str, Any] = {"objective": ObjectiveTable.model_validate(file.program.objective(folder))}
        if (retries := file.program.retries) is not None:
            if "retries" in file.failures.model_fields_set:
                raise InputError(lines.at(("program", "retries"), "is given in [failures], too; wanted one of them"))
            changes["failures"] = file.failures.model_copy(update={"retries": retries})
        file = file.model_copy(update=changes)
    assert file.objective is not None
    if (file.objective.loss is None) == (file.objective.make is None):
        found = "both" if file.objective.loss else "neither"
        raise InputError(lines.at(("objective",), f"wanted exactly one of loss and make, found {found}"))
    try:
        space = Space.parse(file.space, drawn=spec.drawn(config))
    except Invalid as error:
        raise InputError(lines.at(("space", *error.path), error.message)) from None
    if space.conditional and spec.start(config) is not None:
        key = ("space", space.conditional[0].name, "when")
        raise InputError(lines.at(key, f"is for searches, and a {spec.word} moves all variables; remove this key"))
    try:
        for table in spec.tables(config):
            check_method(table, space, file.stop)
        spec.check(config, space, file.stop)
        check_children(spec, config, file.tracking.children)
        if file.program is not None:
            passed = passed_beside(spec, config)
            check_program(file.program, space, passed)
            if not stored:
                check_files(file.program, space, passed, file.program.place(folder))
    except Invalid as error:
        raise InputError(lines.at(error.path, error.message)) from None
    name = file.name or stem
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        wanted = 'wanted a line name = "..." of letters, digits, . _ -'
        raise InputError(lines.at((), f"the file's stem {name!r} cannot be a sweep's name; {wanted}")) from None
    parsed: dict[str, Any] = {key: value for key, value in vars(file).items() if key != "leg"}
    parsed |= {"name": name, "space": space, "method": config}
    return Draft(**parsed, spec=spec, folder=folder, text=lines.text, overrides=overrides, lines=lines)


def passed_beside(spec: MethodSpec[Any], config: Any) -> Sequence[str]:
    """Return the names of parameters that a loss gets beside those of the space."""
    resource = spec.resource(config)
    return (resource.argument, STATE) if resource else ()


def validate(tables: Mapping[str, Any], lines: Lines) -> tuple[File, MethodSpec[Any], Any]:
    """Return the file as a pydantic model, the descriptor of its method, and the [method] table as a model.

    Raises InputError with one line per mistake, in the order of the tables.
    """
    mistakes: dict[str, list[str]] = {name: [] for name in File.model_fields}
    unknown: list[str] = []

    def parse(model: type[BaseModel], table: Any, *prefix: str | int) -> Any:
        try:
            return model.model_validate(table)
        except ValidationError as error:
            for detail in error.errors():
                name = str((*prefix, *detail["loc"])[0])
                mistakes.get(name, unknown).append(explain(detail, model, lines, prefix))

    def method_of(table: Mapping[str, Any], *path: str | int) -> tuple[MethodSpec[Any], Any] | None:
        word, own = table.get("use"), mistakes[str(path[0])]
        if not isinstance(word, str) or word not in METHODS or word == LEGS:
            found = "is missing;" if word is None else f"was {word!r},"
            own.append(lines.at((*path, "use"), f"{found} wanted {words()}"))
            return None
        config = parse(find(word).config, dict(table), *path)
        return None if config is None else (find(word), config)

    file, chosen = parse(File, tables), None
    if ("objective" in tables) == ("program" in tables):
        missing = "is missing; wanted a table, or [program] in its place"
        found = "is given beside [program]; wanted one of them" if "program" in tables else missing
        mistakes["objective"].append(lines.at(("objective",), found))
    method, legs = tables.get("method"), tables.get("leg")
    if (method is None) == (legs is None):
        found = "is missing; wanted this table" if method is None else "is given beside [[leg]]; wanted one of them"
        mistakes["method"].append(lines.at(("method",), f"{found}, or [[leg]] tables for several methods"))
    elif isinstance(method, Mapping):
        chosen = method_of(method, "method")  # pyright: ignore[reportUnknownArgumentType]
    elif file is not None:
        chosen = legs_of(file.leg or [], method_of, mistakes["leg"], lines)
    if file is None or chosen is None or any(mistakes.values()) or unknown:
        raise InputError("\n".join([*chain.from_iterable(mistakes.values()), *unknown]))
    return file, *chosen


def words() -> str:
    """Return the words of all methods that have a table of their own."""
    return " or ".join(repr(word) for word in METHODS if word != LEGS)


def legs_of(
    tables: Sequence[Mapping[str, Any]],
    method_of: Callable[..., tuple[MethodSpec[Any], Any] | None],
    mistakes: list[str],
    lines: Lines,
) -> tuple[MethodSpec[Any], Any] | None:
    """Return the descriptor and the table of a method that is made of several; note what is wrong."""
    spec, legs = find(LEGS), list[Any]()
    names, before = [str(table.get("name", f"leg{number}")) for number, table in enumerate(tables, 1)], None
    if not tables:
        mistakes.append(lines.at(("leg",), "is empty; wanted one table or more"))
    for number, (name, table) in enumerate(zip(names, tables, strict=True)):
        own = {key: value for key, value in table.items() if key != "name"}
        try:
            TypeAdapter(Name).validate_python(table.get("name", name))
        except ValidationError:
            mistakes.append(lines.at(("leg", number, "name"), f"was {table['name']!r}, wanted letters, digits, . _ -"))
        if name in names[:number]:
            mistakes.append(lines.at(("leg", number, "name"), f"was {name!r}, as of another leg; wanted another name"))
        if before is not None and "at" in getattr(found_config(own), "model_fields", {}):
            own.setdefault("at", {"leg": before})
        found = method_of(own, "leg", number)
        legs += [] if found is None else [(name, *found)]
        before = name
    return None if mistakes or len(legs) < len(tables) else (spec, spec.config(legs=tuple(legs)))


def found_config(table: Mapping[str, Any]) -> Any:
    """Return the model of the table of a method, None for an unknown one."""
    word = table.get("use")
    return find(word).config if isinstance(word, str) and word in METHODS else None


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


def check_method(table: MethodTable, space: Space, stop: StopTable) -> None:
    """Raise Invalid, with the path of the key, if the table of a method does not fit itself or other tables."""
    path, spec, config = table
    start = spec.start(config)
    if start is not None and len(start.ways) != 1:
        wanted = "wanted exactly one of candidate, best_of, file, values and fill"
        raise Invalid((*path, "at"), f"{wanted}, found {' and '.join(start.ways) or 'none'}")
    if start is not None and start.leg is not None and path == ("method",):
        raise Invalid((*path, "at", "leg"), "is for [[leg]] tables; wanted another way to name the point")
    for key in ("target_loss", "no_improvement"):
        if getattr(stop, key) is not None and not spec.ends_early:
            able = " or ".join(f"a {word}" for word in METHODS if find(word).ends_early)
            raise Invalid(("stop", key), f"is for {able}, and this is a {spec.word}; remove this line")
    word = spec.sampler(config)
    if word not in SAMPLERS:
        raise Invalid((*path, "sampler"), f"was {word!r}; {nearest(word, list(SAMPLERS))}")
    if path != ("method",):
        try:
            spec.check(config, space, stop)
        except Invalid as error:
            own = (*path, *error.path[1:]) if error.path[:1] == ("method",) else error.path
            raise Invalid(own, error.message) from None
    if spec.drawn(config):
        try:
            SAMPLERS[word].check(space.design(spec.together(config)))
        except ValueError as error:
            raise Invalid((*path, "sampler"), str(error)) from None
        most = SAMPLERS[word].most(space.design())
        if most is not None and start is not None and (start.candidate or 0) >= most:
            problem = f"was {start.candidate}, but the {word} has {most:,} candidates in all"
            raise Invalid((*path, "at", "candidate"), f"{problem}; wanted at most {most - 1:,}")
