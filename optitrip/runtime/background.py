"""Something that is done in a thread while this one goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundCall(Generic[T]):
    """A call that begins at once in a thread of its own; `result` waits for it.

    The thread is a daemon. Those of `concurrent.futures` are waited for at exit, even by someone who pressed Ctrl-C for
    the third time.

    Args:
        call: what is done.
        over: if given, the thread stays after the call, unless that raised, until this is set.
    """

    def __init__(self, call: Callable[[], T], over: threading.Event | None = None) -> None:
        self._call, self._over = call, over
        self._made: Future[T] = Future()
        threading.Thread(target=self._run, name="ahead", daemon=True).start()

    def _run(self) -> None:
        try:
            made = self._call()
        except BaseException as error:  # raised where the result is asked for
            self._made.set_exception(error)
            return
        self._made.set_result(made)
        if self._over is not None:
            self._over.wait()

    @property
    def done(self) -> bool:
        """Whether the call returned or raised."""
        return self._made.done()

    def result(self) -> T:
        """Return what the call returned, once it did.

        Raises:
            BaseException: what the call raised.
        """
        return self._made.result()

    def abandon(self, let_go: Callable[[T], None]) -> None:
        """Let the result go once it is there, while everybody goes on; only the end of this process waits for that."""

        def wait() -> None:
            with suppress(BaseException):  # nobody asks for what it raised
                let_go(self.result())

        thread = threading.Thread(target=wait, name="abandoned")  # no daemon, so that the interpreter waits for it
        ABANDONED.append(thread)
        thread.start()


ABANDONED: list[threading.Thread] = []
"""Threads that wait for what was abandoned, some of them over."""


def abandoned() -> bool:
    """Return whether something that was abandoned is still to be let go."""
    return any(thread.is_alive() for thread in ABANDONED)


def await_abandoned(seconds: float | None = None) -> None:
    """Wait until all that was abandoned is gone, for up to so many seconds."""
    for thread in list(ABANDONED):
        thread.join(seconds)
        if not thread.is_alive():
            ABANDONED.remove(thread)
