"""Tells an interruption, such as Ctrl-C, from an exception of the user's code.

User code may raise anything: a Rust panic is no `Exception`, and a loss may raise KeyboardInterrupt itself. All of that
is recorded as a failure, except what the handler of a signal raises in the middle of it: that ends the call.
"""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from optitrip.runtime.forks import end_if_forked

RAISED: list[BaseException] = []
"""Exceptions that handlers of signals, which Python calls in the main thread, raised during `signals_interrupt`."""
ACTIVE: list[None] = []
"""One entry while `signals_interrupt` is in effect."""


def interrupt(error: BaseException) -> NoReturn:
    """Raise an exception from the handler of a signal as an interruption."""
    RAISED.append(error)
    raise error


def raise_if_interrupted() -> None:
    """Raise the interruption of this thread, if there was one, though user code has caught or replaced it."""
    if RAISED and threading.current_thread() is threading.main_thread():
        raise RAISED[-1]


def failure(error: BaseException) -> BaseException:
    """Return an exception that user code raised; raise it again if it is an interruption, or hides one; end a process
    that user code forked."""
    end_if_forked(error)
    raise_if_interrupted()
    return error


@contextmanager
def no_failures() -> Generator[None]:
    """Suppress whatever user code raises in the body, except interruptions."""
    try:
        yield
    except BaseException as error:
        failure(error)


@contextmanager
def signals_interrupt() -> Generator[None]:
    """Take what the present handlers of signals raise for interruptions, until the body ends.

    An `Exception` is not one: handlers raise it for whoever has set an alarm, which may be the loss itself.
    """
    if ACTIVE or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: handler for number in signal.valid_signals() if callable(handler := signal.getsignal(number))}
    ACTIVE.append(None)
    try:
        for number, handler in before.items():
            signal.signal(number, interrupting(handler))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        ACTIVE.clear()
        RAISED.clear()


def interrupting(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
    """Return the handler of a signal with its exceptions made interruptions."""

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except Exception:
            raise
        except BaseException as error:
            interrupt(error)

    return handle
