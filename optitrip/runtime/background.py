"""Calls that run in a thread while the caller continues."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class BackgroundCall(Future[T]):
    """A call that starts at once in a thread of its own; `result` waits for it, and raises again what it raised.

    The thread is a daemon. Threads of `concurrent.futures` are awaited at exit, even after a third Ctrl-C. If `over` is
    given, the thread outlives a call that returned until this event is set.
    """

    def __init__(self, call: Callable[[], T], over: threading.Event | None = None) -> None:
        super().__init__()

        def run() -> None:
            try:
                self.set_result(call())
            except BaseException as error:
                self.set_exception(error)
            else:
                if over is not None:
                    over.wait()

        threading.Thread(target=run, name="background call", daemon=True).start()

    def abandon(self, release: Callable[[T], None]) -> None:
        """Release the result once it exists, without waiting here; only the end of this process waits for that."""

        def wait() -> None:
            with suppress(BaseException):  # nobody asks for the exception
                release(self.result())

        thread = threading.Thread(target=wait, name="abandoned")  # no daemon, so that the interpreter waits for it
        ABANDONED.append(thread)
        thread.start()


ABANDONED: list[threading.Thread] = []
"""Threads that wait for abandoned results; some may have ended."""


def abandoned() -> bool:
    """Return whether some abandoned result is not released yet."""
    return any(thread.is_alive() for thread in ABANDONED)


def await_abandoned(seconds: float | None = None) -> None:
    """Wait until all abandoned results are released, for up to `seconds` for each."""
    for thread in list(ABANDONED):
        thread.join(seconds)
        if not thread.is_alive():
            ABANDONED.remove(thread)
