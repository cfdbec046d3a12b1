"""Tracebacks of the user's code, without the frames of optitrip."""

import importlib
import os
import traceback
from pathlib import Path

from optitrip.core.failures import Record

MESSAGE_KEPT, TRACEBACK_KEPT = 2_000, 8_000
PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
LOSSES = f"{PACKAGE}objectives{os.sep}"


def record_of(index: int, error: BaseException) -> Record:
    """Return an exception as the record of an item, without our frames, which depend on how the item was evaluated."""
    trace = error.__traceback__
    while trace and is_internal_frame(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    try:
        message = str(error)
    except Exception as broken:  # the exception's own __str__ raises
        message = f"(its message could not be read: {type(broken).__name__})"
    lines = "".join(traceback.format_exception(type(error), error, trace))
    return Record(index, type(error).__qualname__, message[:MESSAGE_KEPT], lines[-TRACEBACK_KEPT:])


def with_trace(what: str, error: BaseException) -> str:
    """Return a message followed by the user's own traceback, without the frames that led to it."""
    trace = error.__traceback__
    while trace and trace.tb_next and is_internal_frame(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    lines = "".join(traceback.format_exception(type(error), error, trace))
    return f"{what}:\n{lines.rstrip()}"


def is_internal_frame(file: str) -> bool:
    """Return whether a file is part of optitrip, except its built-in losses, or of Python's import machinery."""
    ours = file.startswith(PACKAGE) and not file.startswith(LOSSES)
    return ours or file == importlib.__file__ or file.startswith("<frozen importlib")
