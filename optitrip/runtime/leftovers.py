"""Ends what a loss leaves running when it returns: processes that it has forked, and a timer."""

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

from optitrip.runtime.tracebacks import record_of

THREAD = threading.local()
"""`evaluating` is the id of the process in which this thread has begun to evaluate a slice."""


def end_forked(error: BaseException | None = None) -> None:
    """End this process, as a script would, if the loss has forked it and comes back with this exception, or none: it
    would go on as a second driver, and fork others."""
    if getattr(THREAD, "evaluating", None) in (None, os.getpid()):
        return
    code: object = error.code if isinstance(error, SystemExit) else error
    with suppress(BaseException):
        if error is not None and not isinstance(error, SystemExit):
            sys.stderr.write(record_of(0, error).traceback)
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


@contextmanager
def forks_ended() -> Generator[None]:
    """End every process that the loss forks in the body, at the latest when the body ends there."""
    before = getattr(THREAD, "evaluating", None)
    THREAD.evaluating = os.getpid()
    try:
        yield
    finally:
        end_forked()
        THREAD.evaluating = before


@contextmanager
def time_outs_ended() -> Generator[None]:
    """Stop a timer that the body, the loss, has set for itself and left running: it would interrupt something else."""
    timer = getattr(signal, "ITIMER_REAL", None)  # not on Windows
    before = timer is not None and signal.getitimer(timer)[0]
    try:
        yield
    finally:
        if timer is not None and not before:
            signal.setitimer(timer, 0)
