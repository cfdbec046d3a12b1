"""Reads pickles of plain values and NumPy arrays of bytes, and makes no call that a pickle asks for."""

from __future__ import annotations

import io
import pickle
import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array

RECORDED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
"""The globals that pickles of arrays name; the first until NumPy 1, the second since NumPy 2."""


class Refused(ValueError):
    """A pickle asks for more than plain values and arrays."""


@dataclass
class Recorded:
    """A call that a pickle asks for and that is never made: its name, its arguments, and the state set afterwards.

    NumPy's own functions would be no safe answer to a crafted pickle: `ndarray.__setstate__` of dtype "O" takes any
    bytes for addresses of objects.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None

    def __call__(self, *args: Any) -> Recorded:
        return Recorded(self.name, args)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Recorder(pickle.Unpickler):
    """Answers the names of `RECORDED` with a `Recorded`, and refuses all others."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in RECORDED:
            raise Refused(f"wants {module_name}.{global_name}, and reading data must run nothing")
        return Recorded(global_name)


def loads(raw: bytes) -> Any:
    """The values of a pickle, text of Python 2 as bytes; arrays stay `Recorded`, for `byte_array` to read.

    Raises:
        ValueError: if it is no whole pickle, or asks for anything but arrays.
    """
    try:
        return Recorder(io.BytesIO(raw), encoding="bytes").load()
    except Refused:
        raise
    except Exception as error:  # what damaged pickles raise has no list: "not necessarily limited to", says Python's
        raise ValueError(f"is no whole pickle ({type(error).__name__}: {error}): truncated?") from None


def byte_array(value: object, shape: tuple[int, ...]) -> Array:
    """A recorded array, as uint8 of the given shape.

    Raises:
        ValueError: if it is something else, or of another shape or dtype.
    """
    match value:
        case Recorded(
            "_reconstruct",
            state=(1, tuple(given), Recorded("dtype", args=("u1" | b"u1", *_)), bool(fortran), bytes(raw)),
        ) if given == shape and len(raw) == np.prod(shape):
            return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
        case Recorded("_reconstruct", state=(_, given, Recorded("dtype", args=(code, *_)), *_)):
            was = f"an array of shape {reprlib.repr(given)} and dtype {reprlib.repr(code)}"
        case _:
            was = f"of type {type(value).__name__}"
    raise ValueError(f"was {was}, wanted an array of shape {shape} and dtype 'u1'")
