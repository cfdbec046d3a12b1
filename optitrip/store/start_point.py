"""The point where a sweep starts, from what `at` says in its file; a sweep is whole once that is looked up."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.config.read import read_draft
from optitrip.config.sweep import Draft, Sweep
from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.errors import InputError
from optitrip.methods.registry import METHODS, find
from optitrip.space.variables import Space
from optitrip.store.lookup import is_sweep_file, state_directories
from optitrip.store.state_dir import RESULT

STATE_ROOT = Path(".optitrip")
"""The folder of state directories, in the directory where a command is run."""


def read(path: Path, overrides: Sequence[str] = (), root: Path = STATE_ROOT) -> Sweep:
    """Read a sweep file, and look up the point where the sweep starts.

    Args:
        path: the TOML file.
        overrides: of the form `method.candidates=500`.
        root: the folder of state directories, where `best_of` looks.

    Raises:
        InputError: for mistakes in the file, or a point that does not exist or does not fit the space.
    """
    return resolve(read_draft(path, overrides), root)


def resolve(draft: Draft, root: Path = STATE_ROOT) -> Sweep:
    """Return the whole sweep of a draft: with the point that `at` names, on which its identity depends.

    Raises:
        InputError: if there is no such point, or it does not fit the space.
    """
    values = {field.name: getattr(draft, field.name) for field in fields(Draft)}
    at = draft.spec.start(draft.method)
    if at is None:
        return Sweep(**values)
    ((way, given),) = [(name, getattr(at, name)) for name in at.ways]
    varied = [variable.name for variable in draft.space.varied]
    ways: dict[str, Callable[[], Mapping[str, Any]]] = {
        "candidate": lambda: {name: batch[0] for name, batch in draft.candidates.point(given).items()},
        "best_of": lambda: stored(best_point(given, draft.folder, root)),
        "file": lambda: stored(found_file(given, draft.folder)),
        "values": lambda: named(given, varied),
        "fill": lambda: {variable.name: np.full(variable.shape, given) for variable in draft.space.varied},
    }
    try:
        point = fitted(draft.space, ways[way]())
    except InputError as error:
        raise draft.mistake(("method", "at", way), str(error)) from None
    return Sweep(**values, start=Point(point, tuple(varied)))


def named(given: Any, varied: list[str]) -> Mapping[str, Any]:
    """Values by name; the name may be absent where there is no choice of one."""
    if isinstance(given, Mapping):
        return given  # pyright: ignore[reportUnknownVariableType]
    if len(varied) != 1:
        raise InputError(f"was {given!r}; wanted a table of the variables {', '.join(varied)}")
    return {varied[0]: given}


def fitted(space: Space, found: Mapping[str, Any]) -> dict[str, Array]:
    """Every variable of the space, read-only, in its shape and dtype; constants as the file has them."""
    constants = [variable.name for variable in space.variables if variable not in space.varied]
    if unknown := [name for name in found if name not in space.names]:
        raise InputError(f"has {', '.join(unknown)}, but the space has {', '.join(space.names)}")
    values: dict[str, Array] = {}
    for variable in space.variables:
        if variable.name in constants:
            value = variable.values(np.empty((1, variable.size)))[0]
        elif variable.name not in found:
            raise InputError(f"has no {variable.name}, which the space has")
        else:
            value = numbers(variable.name, found[variable.name], variable.dtype)
            if value.shape != variable.shape:
                raise InputError(f"{variable.name} has shape {list(value.shape)}, wanted {list(variable.shape)}")
            if not np.isfinite(value).all():
                place = np.argwhere(~np.isfinite(value))[0].tolist()
                raise InputError(f"{variable.name}{place or ''} is {value[tuple(place)]}, wanted finite numbers")
        values[variable.name] = np.asarray(value)
        values[variable.name].flags.writeable = False
    return values


def numbers(name: str, given: Any, dtype: str) -> Array:
    """A new array of this dtype, of what holds real numbers."""
    try:
        value = np.asarray(given)
    except ValueError:  # ragged
        value = np.empty(0, object)
    if value.dtype.kind not in "fiu":
        raise InputError(f"{name} was {reprlib.repr(given)}, wanted numbers")
    with np.errstate(over="ignore"):  # an infinite value is told with its place
        return np.array(value, dtype)


def found_file(given: str, folder: Path) -> Path:
    """A file that a sweep names: in the sweep file's folder, else in the working directory."""
    try:
        path = Path(given).expanduser()
        return folder / path if (folder / path).exists() else path
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, no such user, a zero byte
        raise InputError(f"was {given!r}, which cannot be a file: {error}") from None


def stored(file: Path) -> dict[str, Array]:
    """The arrays of an .npz by name."""
    try:
        with file.open("rb") as opened:
            loaded = np.load(opened, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise InputError(f"{file} holds an array without a name; wanted an .npz, e.g. np.savez(file, W=array)")
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise InputError(f"{file.absolute()}: no such file; wanted an .npz with an array for each variable") from None
    except InputError:
        raise
    except Exception as error:  # whatever NumPy, zipfile and zlib make of a damaged file
        raise InputError(f"{file.absolute()}: cannot be read as an .npz of numbers: {error}") from None


def best_point(given: str, folder: Path, root: Path) -> Path:
    """Return the file of the best point of a finished sweep, named by its file, name, identity or MLflow run."""
    file = found_file(given, folder)
    points = {word: name for word in METHODS if (name := find(word).point_file)}
    wanted = " or ".join(points)
    if is_sweep_file(file):
        other = read_draft(file)
        if other.spec.point_file is None:
            raise InputError(f"{file} is a {other.spec.word}, which has no best; wanted a {wanted}")
        folders = [root / resolve(other, root).label]
    else:
        folders = state_directories(given, root)
    for path in folders:
        for name in sorted(set(points.values())):
            if (path / RESULT).exists() and (path / name).exists():
                return path / name
    raise InputError(
        f"there is no finished {wanted} {given!r} in {root}; run it first (wanted its file, name, identity or MLflow "
        "run)"
    )
