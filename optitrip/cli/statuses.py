"""The exit statuses of commands."""

import signal

from optitrip.errors import InputError, NoAnswer, StateError, Stopped

FINISHED, NO_ANSWER, REFUSED, FAILURES, RESUMABLE = 0, 1, 2, 3, 75
"""Exit statuses of all commands except `ui`, which returns MLflow's own."""
SIGNALLED = 128
"""Number added to a signal's to form the exit status, as in shells."""


def exit_status(error: BaseException) -> int:
    """Return the exit status for an exception; raise it again if optitrip does not raise it on purpose."""
    match error:
        case InputError() | StateError():
            return REFUSED
        case NoAnswer():
            return NO_ANSWER
        case Stopped():
            return RESUMABLE if error.signal is None else SIGNALLED + error.signal
        case KeyboardInterrupt():
            return SIGNALLED + signal.SIGINT
        case _:
            raise error
