"""Reads a start point, and fits it to a space."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.errors import InputError
from optitrip.space.variables import Space


def values_by_name(given: Any, varied: list[str]) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given  # pyright: ignore[reportUnknownVariableType]
    if len(varied) != 1:
        raise InputError(f"was {given!r}; wanted a table of the variables {', '.join(varied)}")
    return {varied[0]: given}


def fit_to_space(space: Space, given: Mapping[str, Any]) -> dict[str, Array]:
    """Return every variable of the space as a read-only array of its shape and dtype; constants come from the file."""
    if unknown := [name for name in given if name not in space.names]:
        raise InputError(f"has {', '.join(unknown)}, but the space has {', '.join(space.names)}")
    values: dict[str, Array] = {}
    for variable in space.variables:
        if variable not in space.varied:
            batch = variable.values(np.empty((1, variable.size)))
            value = batch.reshape(batch.shape[1:])  # not batch[0], which may be an object that NumPy would look into
        elif variable.name not in given:
            raise InputError(f"has no {variable.name}, which the space has")
        else:
            value = number_array(variable.name, given[variable.name], variable.dtype)
            if value.shape != variable.shape:
                raise InputError(f"{variable.name} has shape {list(value.shape)}, wanted {list(variable.shape)}")
            if not np.isfinite(value).all():
                place = np.argwhere(~np.isfinite(value))[0].tolist()
                raise InputError(f"{variable.name}{place or ''} is {value[tuple(place)]}, wanted finite numbers")
        value.flags.writeable = False
        values[variable.name] = value
    return values


def number_array(name: str, given: Any, dtype: str) -> Array:
    try:
        value = np.asarray(given)
    except ValueError:  # ragged
        value = np.empty(0, object)
    if value.dtype.kind not in "fiu":
        raise InputError(f"{name} was {reprlib.repr(given)}, wanted numbers")
    with ours():  # an infinite value is reported with its place
        cast = np.array(value, dtype)
    lost = (cast == 0) & (value != 0)
    if value.dtype.kind != "f":  # an integer says exactly what is wanted; a fraction is always rounded
        pairs = zip(cast.ravel().tolist(), value.ravel().tolist(), strict=True)
        lost |= np.array([a != b for a, b in pairs], bool).reshape(value.shape)  # by Python, which compares exactly
    if lost.any():
        place = np.argwhere(lost)[0].tolist()
        given, becomes = value[tuple(place)].item(), cast[tuple(place)].item()
        raise InputError(
            f"{name}{place or ''} is {given!r}, which {dtype} rounds to {becomes!r}; wanted a number of that precision"
            + ', or dtype = "float64"' * (dtype != "float64")
        )
    return cast


def locate_file(given: str, folder: Path) -> Path:
    """Return the path of a file that a sweep names, in the sweep file's folder or else in the working directory."""
    try:
        path = Path(given).expanduser()
        return folder / path if (folder / path).exists() else path
    except (OSError, RuntimeError, ValueError) as error:  # the name is too long, has an unknown user, or a null byte
        raise InputError(f"was {given!r}, which cannot be a file: {error}") from None


def load_arrays(file: Path) -> dict[str, Array]:
    try:
        with file.open("rb") as opened:
            loaded = np.load(opened, allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                # By the names of its members: `loaded["a.npy"]` would be the array "a".
                members = {member.removesuffix(".npy"): member for member in loaded.zip.namelist()}
                return {name: loaded[member] for name, member in members.items()}
    except FileNotFoundError:
        raise InputError(f"{file.absolute()}: no such file; wanted an .npz with an array for each variable") from None
    except Exception as error:  # NumPy, zipfile and zlib raise many types for a damaged file
        raise InputError(f"{file.absolute()}: cannot be read as an .npz of numbers: {error}") from None
    raise InputError(f"{file} holds an array without a name; wanted an .npz, e.g. np.savez(file, W=array)")
