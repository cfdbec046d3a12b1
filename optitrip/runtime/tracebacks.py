"""Tracebacks of the user's code, without the frames of optitrip."""

import importlib
import os
import traceback
from pathlib import Path
from types import TracebackType

from optitrip.core.failures import Record
from optitrip.runtime.interrupts import failure

MESSAGE_KEPT, TRACEBACK_KEPT, LEFT_OUT = 2_000, 8_000, "\n...\n"
PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
LOSSES = f"{PACKAGE}objectives{os.sep}"


def record_of(index: int, error: BaseException) -> Record:
    """Return an exception as the record of an item, without our frames, which depend on how the item was evaluated."""
    trace = trace_of(error)
    while trace and is_internal_frame(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    try:
        message = str(error)
    except BaseException as broken:  # the exception's own __str__ raises
        message = f"(its message could not be read: {type_name(failure(broken))})"
    lines = text_of(error, trace)
    if len(lines) > TRACEBACK_KEPT:  # the middle is left out: before it is where, after it what
        lines = lines[: TRACEBACK_KEPT // 4] + LEFT_OUT + lines[TRACEBACK_KEPT // 4 + len(LEFT_OUT) - TRACEBACK_KEPT :]
    return Record(index, type_name(error), message[:MESSAGE_KEPT], lines)


def with_trace(what: str, error: BaseException) -> str:
    """Return a message followed by the user's own traceback, without the frames that led to it."""
    trace = trace_of(error)
    while trace and trace.tb_next and is_internal_frame(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return f"{what}:\n{text_of(error, trace).rstrip()}"


def trace_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception, whose class may have an attribute of that name of its own."""
    return vars(BaseException)["__traceback__"].__get__(error)


def type_name(error: BaseException) -> str:
    """Return the name of an exception's class, which may have a metaclass that answers otherwise, or raises."""
    return vars(type)["__qualname__"].__get__(type(error))


def text_of(error: BaseException, trace: TracebackType | None) -> str:
    """Return an exception as Python shows it; just its type if that is impossible, e.g. for a broken `__cause__`."""
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as broken:
        return f"{type_name(error)} (its traceback could not be read: {type_name(failure(broken))})\n"


def is_internal_frame(file: str) -> bool:
    """Return whether a file is part of optitrip, except its built-in losses, or of Python's import machinery."""
    ours = file.startswith(PACKAGE) and not file.startswith(LOSSES)
    return ours or file == importlib.__file__ or file.startswith("<frozen importlib")
