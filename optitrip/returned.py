"""What an objective gave back, made into losses and failures."""

from __future__ import annotations

import math
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.part import INFINITE, NAN, Array, Failures, Record

MESSAGE_KEPT, TRACEBACK_KEPT = 2_000, 8_000
OURS = {__file__, str(Path(__file__).with_name("objective.py"))}

Problems = list[tuple[str, Record]]
"""Failures met on the way, each with its kind."""


class NotANumber(TypeError):
    """The objective returned something that is no loss."""


def number(given: Any) -> float:
    """A loss as a float: any real scalar, 0-d arrays of NumPy and torch included.

    Raises:
        NotANumber: for booleans, strings, complex numbers, arrays with axes, None and the like.
    """
    scalar = given[()] if isinstance(given, np.ndarray) and given.ndim == 0 else given
    unwanted = isinstance(scalar, bool | np.bool_ | str | bytes | complex | np.complexfloating)
    real = hasattr(scalar, "__float__") or hasattr(scalar, "__index__")
    if unwanted or not real or getattr(scalar, "ndim", 0) != 0:
        raise NotANumber(f"a loss must be one real number, was {shortly(given)}")
    try:
        return float(scalar)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotANumber(f"a loss must be one real number, was {shortly(given)}: {error}") from None


def batch(returned: Any, block: int) -> Array:
    """The losses of a block as float64, shape (block,).

    Raises:
        NotANumber: for another shape, or entries that are no real numbers.
    """
    try:
        given = np.asarray(returned)
    except Exception as error:  # ragged lists, or the user's own __array__
        raise NotANumber(f"losses must return an array, returned {shortly(returned)}: {error}") from None
    if given.shape != (block,) or given.dtype.kind not in "fiu":
        raise NotANumber(
            f"losses must return {block} real numbers for {block} candidates, shape ({block},); "
            f"returned {given.dtype} of shape {given.shape}"
        )
    return given.astype(np.float64)


def found_failures(losses: Array, items: range, problems: Problems) -> Failures:
    """The failures of a range: those met on the way, and every loss that is not finite."""
    kinds = {record.index: kind for kind, record in problems}
    for row in np.flatnonzero(~np.isfinite(losses)).tolist():
        index = items[row]
        if index not in kinds:
            kind = NAN if math.isnan(losses[row]) else INFINITE
            kinds[index] = kind
            problems.append((kind, Record(index, "float", f"the loss was {losses[row]}", "")))
    return Failures.of(kinds, problems)


def recorded(index: int, error: BaseException) -> Record:
    """An exception as it was raised, without our frames: they differ with the way an item was reached."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename in OURS:
        trace = trace.tb_next
    try:
        message = str(error)
    except Exception as broken:  # an exception whose own __str__ raises
        message = f"(its message could not be read: {type(broken).__name__})"
    lines = "".join(traceback.format_exception(type(error), error, trace))
    return Record(index, type(error).__qualname__, message[:MESSAGE_KEPT], lines[-TRACEBACK_KEPT:])


def shortly(given: Any) -> str:
    """A value for a message: its type, and its shape or its text."""
    shape = getattr(given, "shape", None)
    kind = type(given).__name__
    return f"{kind} of shape {tuple(shape)}" if shape is not None else f"{kind} {str(given)[:80]!r}"
