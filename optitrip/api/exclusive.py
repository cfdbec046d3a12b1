"""One call at a time for a session, in the process that opened it."""

import logging
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from optitrip.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Any)
WAITED_SECONDS = 10.0


class Exclusive:
    """Makes calls wait for one another, and refuses those that would wait forever."""

    def __init__(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._thread: int | None = None
        """Thread of the call that runs."""
        self._stepper: int | None = None
        """Thread that steps through a descent, which runs in another."""

    @property
    def forked(self) -> bool:
        """True in a process forked from the one that opened the session."""
        return os.getpid() != self._process

    @contextmanager
    def call(self) -> Generator[None]:
        """Wait until no other thread is in a call; raise InputError in a forked process, or in a call already."""
        if self.forked:
            raise InputError(
                f"this session was opened by process {self._process}, whose workers this one, forked from it, cannot "
                "use; open a session here, or start processes by the method 'spawn'"
            )
        if self._thread == threading.get_ident():
            raise InputError("this session is in a call, from whose loss it cannot be used; open another session there")
        if self._stepper == threading.get_ident():
            raise InputError("this session steps through a descent; end the loop first, or open another session")
        if not self._lock.acquire(timeout=WAITED_SECONDS):
            logging.getLogger("optitrip").warning("waiting for a call of the same session in another thread to end")
            self._lock.acquire()
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None
            self._lock.release()

    @contextmanager
    def stepping(self) -> Generator[None]:
        """Refuse calls of this thread, which would wait for a descent that it steps through."""
        with self.call():
            pass
        self._stepper = threading.get_ident()
        try:
            yield
        finally:
            self._stepper = None


def one_at_a_time(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make a method of a session wait for the calls of other threads."""

    @wraps(method)
    def exclusive(session: S, *args: P.args, **kwargs: P.kwargs) -> R:
        with session._exclusive.call():
            return method(session, *args, **kwargs)

    return exclusive
