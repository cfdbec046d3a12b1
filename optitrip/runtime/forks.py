"""Ends processes that the user's code forks, and that come back from it into ours.

A forked child that calls `sys.exit`, or raises, means itself. If it went on here, it would be a second worker with the
files and connections of the first.
"""

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress


class Calls(threading.local):
    """Processes in which the calls of user code in this thread began, the innermost last."""

    def __init__(self) -> None:
        self.processes: list[int] = []


CALLS = Calls()


@contextmanager
def forks_end() -> Generator[None]:
    """End a process forked in the body that leaves it."""
    CALLS.processes.append(os.getpid())
    try:
        yield
        end_if_forked()
    except BaseException as error:
        end_if_forked(error)
        raise
    finally:
        CALLS.processes.pop()


def end_if_forked(error: BaseException | None = None) -> None:
    """End this process as Python would after an exception, if the user's code has forked it."""
    if not CALLS.processes or CALLS.processes[-1] == os.getpid():
        return
    status = 1 if error else 0
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    elif error:
        from optitrip.runtime.tracebacks import record_of  # which imports what imports this

        with suppress(BaseException):  # its stderr may be closed
            sys.stderr.write(record_of(0, error).traceback)
    with suppress(BaseException):
        sys.stdout.flush()
    os._exit(status & 0xFF)
