"""Calls that run in a thread while the caller continues."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import NoReturn, TypeVar

from optitrip.runtime.posix import in_forked_processes

T = TypeVar("T")


class BackgroundCall(Future[T]):
    """A call that starts immediately in its own thread; `result` waits for it and re-raises its exception.

    The thread is a daemon; at exit Python waits for threads of `concurrent.futures`, even after a third Ctrl-C.
    If `hold` is given, the thread stays alive after the call has returned, until this event is set.
    """

    def __init__(self, call: Callable[[], T], hold: threading.Event | None = None) -> None:
        super().__init__()

        def run() -> None:
            try:
                self.set_result(call())
            except BaseException as error:
                self.set_exception(error)
            else:
                if hold is not None:
                    hold.wait()

        threading.Thread(target=run, name="background call", daemon=True).start()

    def abandon(self, release: Callable[[T], None]) -> None:
        """Release the result once it exists, without waiting; only the exit of this process waits for the release."""

        def wait() -> None:
            with suppress(BaseException):  # nobody asks for the exception
                release(self.result())

        thread = threading.Thread(target=wait, name="abandoned")  # not a daemon, so that the interpreter waits for it
        ABANDONED.append(thread)
        thread.start()


ABANDONED: list[threading.Thread] = []
"""Threads that wait for abandoned results; some may have ended."""


def abandoned() -> bool:
    return any(thread.is_alive() for thread in ABANDONED)


def await_abandoned(seconds: float | None = None) -> None:
    """Wait until all abandoned results are released, up to `seconds` each."""
    for thread in list(ABANDONED):
        thread.join(seconds)
        if not thread.is_alive():
            ABANDONED.remove(thread)


LEFT = threading.Event()
"""Set once a library was left as it is, since its own end takes too long: a normal exit may crash this process."""
FORCED: list[Callable[[], None]] = []
in_forked_processes(lambda: FORCED.clear())  # what the parent has started is not for them to end


def at_forced_exit(end: Callable[[], None]) -> None:
    """Have a function called before this process ends without waiting for abandoned results."""
    FORCED.append(end)


def force_exit(status: int) -> NoReturn:
    """End this process without waiting for anything, after what it has started elsewhere."""
    for end in FORCED:
        with suppress(Exception):
            end()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the reader may be gone, or the stream
            stream.flush()
    os._exit(status)
