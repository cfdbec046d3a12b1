"""This process as a whole: signals to stop it, and a time limit on a piece of work."""

import faulthandler
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from optitrip.errors import Stopped
from optitrip.runtime import posix
from optitrip.runtime.interrupts import interrupt, signals_interrupt


@contextmanager
def time_limit(seconds: float | None) -> Generator[None]:
    """Kill this process and its group if the body takes longer.

    A thread waits for the limit, since a signal would interrupt only Python code in the main thread. A loop in C that
    never releases the GIL blocks that thread too; faulthandler's watchdog, which needs no GIL, then ends the process a
    second later.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, posix.end_own_group)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + 1.0, exit=True, file=2)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def timers_stopped() -> Generator[None]:
    """Stop a timer that the body, the loss, has set for itself and left running: it would interrupt something else."""
    before = posix.has_timer()
    try:
        yield
    finally:
        if not before:
            posix.stop_timer()


class StopRequest:
    """Records the first signal, which the driver's loop checks between slices; a second signal raises.

    An exception raised in a handler could surface anywhere, and Ray's C code turns it into a SystemError.
    """

    def __init__(self, reply: str) -> None:
        self._number, self._reply, self._interrupts = 0, reply, False
        self._handlers: dict[signal.Signals, Any] = {}
        self._reported = False
        self._raised: Stopped | None = None
        """Request to stop that the next signal raises."""

    def handle(self, number: int, _frame: object) -> None:
        if self._raised is not None:
            interrupt(self._raised)
        again, self._number = self._number, self._number or number
        if again or self._interrupts:
            interrupt(KeyboardInterrupt())
        with suppress(OSError):  # the terminal may be closed
            os.write(2, self._reply.encode())

    @property
    def number(self) -> int:
        """Number of the first signal; 0 if there was none."""
        return self._number

    def interrupts(self) -> None:
        """Have the next signal interrupt whatever is being done."""
        self._interrupts = True

    @property
    def requested(self) -> Stopped | None:
        """Request to stop, if there was a signal."""
        return Stopped(f"stopped by {signal.Signals(self._number).name}", self._number) if self._number else None

    def raise_in_main_thread(self, request: Stopped) -> None:
        """Raise a request in the main thread; called in another one."""
        self._raised = request
        posix.interrupt_main_thread()

    def put_back(self) -> list[str]:
        """Install our handlers again where the loss has installed others; return their signals the first time."""
        replaced = [number for number, own in self._handlers.items() if signal.getsignal(number) != own]
        for number in replaced:
            signal.signal(number, self._handlers[number])
        names = [] if self._reported else [number.name for number in replaced]
        self._reported = self._reported or bool(names)
        return names

    @contextmanager
    def installed(self) -> Generator[None]:
        # Under nohup, the closed terminal is to be ignored.
        numbers = [one for one in posix.STOPS if one != posix.HANGUP or signal.getsignal(one) != signal.SIG_IGN]
        before: dict[signal.Signals, Any] = {number: signal.signal(number, self.handle) for number in numbers}
        if posix.PIPE is not None:  # by default, it ends a process without a word
            before[posix.PIPE] = signal.getsignal(posix.PIPE)
        self._handlers = {**before, **dict.fromkeys(numbers, self.handle)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def stop_signals(reply: str = "") -> Generator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP into requests to stop; the first one prints `reply` on stderr."""
    request = StopRequest(reply)
    with signals_interrupt(), request.installed():
        yield request
