"""Calls that run in a thread while the caller continues."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundCall(Generic[T]):
    """A call that starts at once in a thread of its own; `result` waits for it.

    The thread is a daemon. Threads of `concurrent.futures` are awaited at exit, even after a third Ctrl-C. If `over` is
    given, the thread outlives a call that returned until this event is set.
    """

    def __init__(self, call: Callable[[], T], over: threading.Event | None = None) -> None:
        self._call, self._over = call, over
        self._future: Future[T] = Future()
        threading.Thread(target=self._run, name="background call", daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as error:  # raised again by `result`
            self._future.set_exception(error)
            return
        if self._over is not None:
            self._over.wait()

    @property
    def done(self) -> bool:
        """True once the call has returned or raised."""
        return self._future.done()

    def result(self) -> T:
        """Wait for the call, and return its result or raise its exception."""
        return self._future.result()

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
