"""A process that ends itself, and what it started, when a piece of work takes too long."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

GRACE_SECONDS = 1.0


def lead_group() -> None:
    """Make this process the leader of a group of its own, so that what it starts can be killed with it."""
    with suppress(AttributeError, OSError):  # Windows has no groups; a leader of a session has one already
        os.setpgid(0, 0)


@contextmanager
def time_limit(seconds: float | None) -> Generator[None]:
    """Kill this process and its group if what happens within takes longer.

    A thread does it, since a signal would interrupt only Python code of the main thread. A loop in C that never lets go
    of the interpreter stops the thread too: then the watchdog of faulthandler, which needs no interpreter, ends the
    process a second later.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=2)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def end() -> None:
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
