"""SIGINT, SIGTERM and SIGHUP as a request to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress

from optitrip.errors import Stopped


class StopRequest:
    """Whether someone asked to stop.

    A first signal only leaves a note, which the loop reads between slices: an exception raised from a handler would
    come out of the middle of anything, and Ray's C code turns it into a SystemError. A second signal raises.
    """

    def __init__(self, words: str) -> None:
        self._number, self._words = 0, words

    def note(self, number: int, _frame: object) -> None:
        """The signal handler."""
        if self._number:
            raise KeyboardInterrupt
        self._number = number
        with suppress(OSError):  # the terminal may be gone
            os.write(2, self._words.encode())

    def raise_if_stopped(self) -> None:
        """Go on if nobody asked to stop.

        Raises:
            Stopped: with the signal's number.
        """
        if self._number:
            raise Stopped(f"stopped by {signal.Signals(self._number).name}", self._number)


@contextmanager
def stop_signals(words: str = "") -> Generator[StopRequest]:
    """Within it, these signals are requests to stop; the first one is answered with `words` on stderr."""
    request = StopRequest(words)
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # of a terminal that was closed; Windows has none, nohup ignores it
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        numbers.append(hangup)
    before = [signal.signal(number, request.note) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
