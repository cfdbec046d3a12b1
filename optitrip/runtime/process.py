"""This process as a whole: its memory, its group, and a time limit on a piece of work."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

GRACE_SECONDS = 1.0


def peak_bytes() -> int | None:
    """Return the peak resident memory of this process in bytes; None where it cannot be known (Windows).

    Pages that several processes share, as those of Ray's object store, count in full for each process that touched
    them, so the peaks of workers cannot be added. On Linux a process starts with the peak of its parent.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def lead_group() -> None:
    """Make this process the leader of a group of its own, so that its children can be killed with it."""
    with suppress(AttributeError, OSError):  # Windows has no groups; a leader of a session has one already
        os.setpgid(0, 0)


@contextmanager
def time_limit(seconds: float | None) -> Generator[None]:
    """Kill this process and its group if the body takes longer.

    A thread does it, since a signal would interrupt only Python code of the main thread. A loop in C that never
    releases the interpreter stops that thread too; then the watchdog of faulthandler, which needs no interpreter, ends
    the process a second later.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, kill_group)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=2)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def kill_group() -> None:
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
