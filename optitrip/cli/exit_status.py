"""Exit statuses of the command: the one table from the end of a sweep to an integer."""

from __future__ import annotations

import signal

from optitrip.errors import InputError, NoAnswer, StateError, Stopped

FINISHED, NO_ANSWER, WRONG_INPUT, FAILURES, RESUMABLE = 0, 1, 2, 3, 75
SIGNALLED = 128
"""Offset of the number of the signal that stopped the command, as in shells."""


def of_error(error: BaseException) -> int:
    """Return the status of an exception; raise it again if optitrip does not raise it on purpose."""
    match error:
        case InputError() | StateError():
            return WRONG_INPUT
        case NoAnswer():
            return NO_ANSWER
        case Stopped():
            return RESUMABLE if error.signal is None else SIGNALLED + error.signal
        case KeyboardInterrupt():
            return SIGNALLED + signal.SIGINT
        case _:
            raise error
