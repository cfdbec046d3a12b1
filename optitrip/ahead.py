"""Something that is done in a thread while this one goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
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

    def result(self) -> T:
        """What the call returned, once it did.

        Raises:
            BaseException: what the call raised.
        """
        return self._made.result()
