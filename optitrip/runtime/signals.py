"""SIGINT, SIGTERM and SIGHUP as a request to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress

from optitrip.errors import Stopped


class StopRequest:
    """Records a first signal, which the driver's loop reads between slices; a second signal raises.

    An exception raised from a handler would surface anywhere, and Ray's C code turns it into a SystemError.
    """

    def __init__(self, reply: str) -> None:
        self._number, self._reply = 0, reply

    def handle(self, number: int, _frame: object) -> None:
        if self._number:
            raise KeyboardInterrupt
        self._number = number
        with suppress(OSError):  # the terminal may be closed
            os.write(2, self._reply.encode())

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` with the signal's number if a signal has arrived."""
        if self._number:
            raise Stopped(f"stopped by {signal.Signals(self._number).name}", self._number)


@contextmanager
def stop_signals(reply: str = "") -> Generator[StopRequest]:
    """Turn these signals into requests to stop; the first one is answered with `reply` on stderr."""
    request = StopRequest(reply)
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # a terminal was closed; Windows has none, nohup ignores it
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        numbers.append(hangup)
    before = [signal.signal(number, request.handle) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
