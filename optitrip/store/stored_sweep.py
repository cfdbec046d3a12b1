"""A sweep that was run, from what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from optitrip.config.read import read_draft
from optitrip.config.sweep import Sweep
from optitrip.errors import InputError, StateError
from optitrip.journal.facts import Origin
from optitrip.journal.journal import Journal
from optitrip.store.lookup import is_sweep_file, state_directories
from optitrip.store.start_point import read, resolve
from optitrip.store.state_dir import JOURNAL, SWEEP_FILE


def kept(given: str, root: Path, overrides: Sequence[str] = ()) -> tuple[Sweep, Path]:
    """The sweep that someone names, and its state directory, which is there.

    Args:
        given: its file, name, identity or MLflow run.
        root: the folder of state directories.
        overrides: of its file.

    Raises:
        InputError: if nothing is kept of such a sweep.
    """
    sweep, folder = described(given, root, overrides)
    if folder is None:
        raise InputError(f"nothing is kept of {sweep.label} in {root}; run `optitrip sweep {given}` first")
    return sweep, folder


def described(given: str, root: Path, overrides: Sequence[str] = ()) -> tuple[Sweep, Path | None]:
    """Find the sweep that someone names, and its state directory, if there is one: a file need not have been run.

    Args:
        given: its file, name, identity or MLflow run.
        root: the folder of state directories.
        overrides: of its file.

    Raises:
        InputError: if there is no such sweep.
    """
    if is_sweep_file(Path(given)):
        sweep = read(Path(given), overrides, root)
        folder = root / sweep.label
        return sweep, folder if (folder / JOURNAL).exists() else None
    for folder in state_directories(given, root):
        return restored(folder, root, overrides), folder
    raise InputError(f"there is no sweep {given!r} in {root} (wanted its file, name, identity or MLflow run)")


def restored(folder: Path, root: Path, overrides: Sequence[str] = ()) -> Sweep:
    """The sweep of a state directory, as it was last run.

    Raises:
        InputError: if its sweep file cannot be read.
        StateError: if its journal cannot be read, or does not fit the sweep file.
    """
    with closing(Journal(folder / JOURNAL, folder.name.rpartition("-")[2], reading=True)) as journal:
        origin = journal.fact(Origin)
    if origin is None:
        raise StateError(f"{folder}: its journal does not tell where its sweep file was; name the file instead")
    draft = read_draft(folder / SWEEP_FILE, [*origin.overrides, *overrides])
    sweep = resolve(replace(draft, name=origin.name, folder=origin.folder), root)
    if sweep.label != folder.name:
        raise StateError(f"{folder / SWEEP_FILE} describes {sweep.label}, which is another sweep")
    return sweep
