"""Looks up a sweep by its file, name, identity or MLflow run, and the point where it starts."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.config.locations import Lines
from optitrip.config.overrides import effective, resolved
from optitrip.config.read import parse_text, read_draft
from optitrip.config.sweep import Draft, Sweep
from optitrip.core.point import Point
from optitrip.errors import InputError, StateError
from optitrip.journal.facts import Origin, RecordedRun, StoredResult, SweepText
from optitrip.methods.registry import METHODS, find
from optitrip.runtime.files import has_digest
from optitrip.store import STATE_ROOT
from optitrip.store.points import read_given
from optitrip.store.start_points import fit_to_space, load_arrays, locate_file, values_by_name
from optitrip.store.state_dir import (
    JOURNAL,
    RESULT,
    SWEEP_FILE,
    exists,
    finished_items,
    matching,
    open_journal,
    peek_fact,
    time_of,
)


def read(path: Path, overrides: Sequence[str] = (), root: Path = STATE_ROOT) -> Sweep:
    """Read a sweep file with overrides such as `method.candidates=500`, and look up the point where it starts."""
    return resolve(read_any_draft(path, overrides), root)


def read_any_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """Read a sweep file with overrides, without the point where it starts.

    The file in a state directory, unless it was edited, stands for the one that was run, with its overrides: modules
    and files are looked up in that one's folder.
    """
    draft = read_draft(path, overrides)
    if path.name == SWEEP_FILE and exists(path.parent / JOURNAL):
        origin, stored = peek_fact(path.parent, Origin), peek_fact(path.parent, SweepText)
        if origin and stored and draft.text == resolved(stored.text, origin.overrides, origin.name, origin.folder):
            options = effective([*origin.overrides, *overrides])
            draft = replace(draft, folder=origin.folder, text=stored.text, overrides=options)
    return draft


def find_stored_sweep(name: str, root: Path, overrides: Sequence[str] = ()) -> tuple[Sweep, Path]:
    """Return a sweep and its state directory, as `find_sweep` does; raise InputError if nothing is stored for it."""
    sweep, folder = find_sweep(name, root, overrides)
    if folder is None:
        if exists(result := root / sweep.label / RESULT):
            raise StateError(f"{result}: its journal is missing; `optitrip sweep {name}` evaluates all items again")
        raise InputError(f"nothing is stored for {sweep.label} in {root}; run `optitrip sweep {name}` first")
    return sweep, folder


def find_sweep(name: str, root: Path, overrides: Sequence[str] = ()) -> tuple[Sweep, Path | None]:
    """Return the sweep with this file, name, identity or MLflow run, and its state directory, if it has been run."""
    if Path(name).suffix == ".toml" and exists(Path(name)):
        sweep = read(Path(name), overrides, root)
        folder = root / sweep.label
        return sweep, folder if exists(folder / JOURNAL) else None
    for folder in find_state_directories(name, root):
        return restore_sweep(folder, root, overrides), folder
    raise InputError(f"there is no sweep {name!r:.80} in {root!s:.200} (wanted its file, name, identity or MLflow run)")


def restore_sweep(folder: Path, root: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Return the sweep of a state directory, as it was last run."""
    with open_journal(folder) as journal:
        origin, stored = journal.fact(Origin), journal.fact(SweepText)
    if origin is None or stored is None:
        raise StateError(f"{folder}: the journal has no record of the sweep file; name that file instead")
    options = [*origin.overrides, *overrides]
    draft = parse_text(stored.text, folder / SWEEP_FILE, options, folder=origin.folder)
    sweep = resolve(replace(draft, name=origin.name), root)
    sweep = replace(sweep, lines=Lines(folder / SWEEP_FILE, sweep.resolved))  # as the file there is written
    if sweep.label != folder.name:
        other = f"{folder / SWEEP_FILE} describes a different sweep, {sweep.label}"
        raise StateError(f"{other}; name the original file instead")
    return sweep


def find_state_directories(name: str, root: Path) -> list[Path]:
    """Return the directories with journals of a sweep with this name, identity or MLflow run.

    Finished sweeps come first; within each group, the most recently written.
    """
    found: list[Path] = []
    # Anything else could change the meaning of the glob patterns, or, as `..`, lead out of the folder.
    if re.fullmatch(r"\w[\w.-]*", name):
        others = [f"*-{name}", f"{name}-{'[0-9a-f]' * 8}"]
        folders = [root / name, *(folder for pattern in others for folder in matching(root, pattern))]
        found = [folder for folder in dict.fromkeys(folders) if exists(folder / JOURNAL)]
    if not found:
        runs = {path.parent: peek_fact(path.parent, RecordedRun) for path in matching(root, f"*/{JOURNAL}")}
        found = [folder for folder, run in runs.items() if run is not None and run.run_id == name]
    return sorted(found, key=lambda folder: (finished_items(folder) is not None, time_of(folder)), reverse=True)


def resolve(draft: Draft, root: Path = STATE_ROOT) -> Sweep:
    """Complete a draft with the point that `at` names, or with given points; raise InputError if they are missing or do
    not fit the space.

    The sweep's identity depends on them. `best_of` looks in `root`, the folder of state directories.
    """
    if (table := draft.spec.given(draft.method)) is not None:
        try:
            return Sweep(**vars(draft), given=read_given(table, draft.space, draft.folder))
        except InputError as error:
            raise draft.mistake(("method", table.key), str(error)) from None
    at = draft.spec.start(draft.method)
    if at is None:
        return Sweep(**vars(draft))
    (source,) = at.ways
    given = getattr(at, source)
    varied = [variable.name for variable in draft.space.varied]
    sources: dict[str, Callable[[], Mapping[str, Any]]] = {
        "candidate": lambda: {name: batch[0] for name, batch in draft.candidates.point(given).items()},
        "best_of": lambda: load_arrays(best_point_file(given, draft.folder, root)),
        "file": lambda: load_arrays(locate_file(given, draft.folder)),
        "values": lambda: values_by_name(given, varied),
        "fill": lambda: {variable.name: np.full(variable.shape, given) for variable in draft.space.varied},
    }
    try:
        point = fit_to_space(draft.space, sources[source]())
    except InputError as error:
        raise draft.mistake((*draft.spec.start_key(draft.method), source), str(error)) from None
    return Sweep(**vars(draft), start=Point(point, tuple(varied)))


def best_point_file(given: str, folder: Path, root: Path) -> Path:
    """Return the file with the best point of a finished sweep, given its file, name, identity or MLflow run."""
    file = locate_file(given, folder)
    point_files = {word: name for word in METHODS if (name := find(word).point_file)}
    *most, last = point_files
    wanted = f"{', '.join(most)} or {last}"
    if file.suffix == ".toml" and file.exists():
        other = read_draft(file)
        if other.spec.point_file is None:
            raise InputError(f"{file} is a {other.spec.word} and has no best point; wanted a {wanted}")
        folders = [root / resolve(other, root).label]
    else:
        folders = find_state_directories(given, root)
    for path in folders:
        stored = peek_fact(path, StoredResult)
        digests = stored.files if stored else {}
        for name in sorted(set(point_files.values()) & digests.keys()):
            if not has_digest(path / name, digests[name]):
                again = "`optitrip sweep` of that sweep makes it again"
                raise InputError(f"{path / name} is missing, or not as its journal says; {again}")
            return path / name
    raise InputError(
        f"there is no finished {wanted} {given!r} in {root} (wanted its file, name, identity or MLflow run); "
        "run it first"
    )
