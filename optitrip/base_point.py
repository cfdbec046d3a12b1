"""The point where a gradient is taken, from what `at` says in its sweep file."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.draws import Draws
from optitrip.driver import files
from optitrip.errors import InputError
from optitrip.finding import is_sweep_file, state_directories
from optitrip.output.formats import BEST
from optitrip.part import Array
from optitrip.point import Point
from optitrip.spec import Sweep, read
from optitrip.tables import GradientTable


def located(sweep: Sweep, root: Path) -> Sweep:
    """The sweep with its base point, if it is a gradient; its identity depends on it.

    Args:
        sweep: as read.
        root: the folder of state directories, where `best_of` looks.

    Raises:
        InputError: if there is no such point, or it does not fit the space.
    """
    if not isinstance(sweep.method, GradientTable) or sweep.base is not None:
        return sweep
    ((way, given),) = [(name, getattr(sweep.method.at, name)) for name in sweep.method.at.given]
    varied = [variable.name for variable in sweep.space.varied]
    ways: dict[str, Callable[[], Mapping[str, Any]]] = {
        "candidate": lambda: candidate(sweep, given),
        "best_of": lambda: stored(state_of(given, sweep.folder, root) / BEST),
        "file": lambda: stored(found_file(given, sweep.folder)),
        "values": lambda: named(given, varied),
        "fill": lambda: {variable.name: np.full(variable.shape, given) for variable in sweep.space.varied},
    }
    try:
        values = fitted(sweep, ways[way]())
    except InputError as error:
        raise sweep.mistake(("method", "at", way), str(error)) from None
    return replace(sweep, base=Point(values, tuple(varied)))


def candidate(sweep: Sweep, index: int) -> dict[str, Array]:
    return {name: batch[0] for name, batch in Draws(sweep.space, sweep.seed).point(index).items()}


def named(given: Any, varied: list[str]) -> Mapping[str, Any]:
    """Values by name; the name may be absent where there is no choice of one."""
    if isinstance(given, Mapping):
        return given  # pyright: ignore[reportUnknownVariableType]
    if len(varied) != 1:
        raise InputError(f"was {given!r}; wanted a table of the variables {', '.join(varied)}")
    return {varied[0]: given}


def fitted(sweep: Sweep, found: Mapping[str, Any]) -> dict[str, Array]:
    """Every variable of the space, read-only, in its shape and dtype; constants as the file has them."""
    constants = [variable.name for variable in sweep.space.variables if variable not in sweep.space.varied]
    if unknown := [name for name in found if name not in sweep.space.names]:
        raise InputError(f"has {', '.join(unknown)}, but the space has {', '.join(sweep.space.names)}")
    values: dict[str, Array] = {}
    for variable in sweep.space.variables:
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


def state_of(given: str, folder: Path, root: Path) -> Path:
    """The state directory of a finished search: named by its file, its name, its identity or its MLflow run."""
    file = found_file(given, folder)
    if is_sweep_file(file):
        other = read(file)
        if isinstance(other.method, GradientTable):
            raise InputError(f"{file} is a gradient, which has no best; wanted a search")
        folders = [root / other.label]
    else:
        folders = state_directories(given, root)
    for path in folders:
        if (path / files.RESULT).exists() and (path / BEST).exists():
            return path
    raise InputError(
        f"there is no finished search {given!r} in {root}; run it first (wanted its file, name, identity or MLflow run)"
    )
