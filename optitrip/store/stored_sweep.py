"""Finds stored sweeps, and restores them from their state directories."""

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
from optitrip.store.start_point import read, resolve
from optitrip.store.state_dir import JOURNAL, SWEEP_FILE, find_state_directories, is_sweep_file


def find_stored_sweep(name: str, root: Path, overrides: Sequence[str] = ()) -> tuple[Sweep, Path]:
    """Return a sweep and its state directory, as `find_sweep` does; raise InputError if nothing is stored of it."""
    sweep, folder = find_sweep(name, root, overrides)
    if folder is None:
        raise InputError(f"nothing is stored of {sweep.label} in {root}; run `optitrip sweep {name}` first")
    return sweep, folder


def find_sweep(name: str, root: Path, overrides: Sequence[str] = ()) -> tuple[Sweep, Path | None]:
    """Return the sweep with this file, name, identity or MLflow run, and its state directory if it has been run.

    Raises InputError if there is no such sweep, or its file cannot be read.
    """
    if is_sweep_file(Path(name)):
        sweep = read(Path(name), overrides, root)
        folder = root / sweep.label
        return sweep, folder if (folder / JOURNAL).exists() else None
    for folder in find_state_directories(name, root):
        return restore_sweep(folder, root, overrides), folder
    raise InputError(f"there is no sweep {name!r} in {root} (wanted its file, name, identity or MLflow run)")


def restore_sweep(folder: Path, root: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Return the sweep of a state directory, as it was last run.

    Raises InputError if its sweep file cannot be read, StateError if its journal cannot, or does not fit that file.
    """
    with closing(Journal(folder / JOURNAL, folder.name.rpartition("-")[2], reading=True)) as journal:
        origin = journal.fact(Origin)
    if origin is None:
        raise StateError(f"{folder}: the journal has no record of where the sweep file was; name that file instead")
    draft = read_draft(folder / SWEEP_FILE, [*origin.overrides, *overrides])
    sweep = resolve(replace(draft, name=origin.name, folder=origin.folder), root)
    if sweep.label != folder.name:
        raise StateError(
            f"{folder / SWEEP_FILE} describes {sweep.label}, another sweep; name the original file instead"
        )
    return sweep
