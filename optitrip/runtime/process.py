"""This process as a whole: its memory, its group, signals to stop it, and a time limit on a piece of work."""

import _thread
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from optitrip.errors import Stopped
from optitrip.runtime.interrupts import interrupt, signals_interrupt

try:
    import resource
except ImportError:  # Windows
    resource = None


def peak_bytes() -> int | None:
    """Return the peak resident memory of this process in bytes, or None where it is not available (Windows).

    Shared pages, such as those of Ray's object store, count in full for each process that touched them, so the peaks of
    workers cannot be added up. On Linux a process inherits the peak of its parent.
    """
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def lead_group() -> None:
    """Put this process into a new process group as its leader, so that its children can be killed with it."""
    with suppress(AttributeError, OSError):  # Windows has no process groups; a session leader already leads one
        os.setpgid(0, 0)


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
    timer = threading.Timer(seconds, kill_group)
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
    timer = getattr(signal, "ITIMER_REAL", None)  # not on Windows
    before = timer is not None and signal.getitimer(timer)[0]
    try:
        yield
    finally:
        if timer is not None and not before:
            signal.setitimer(timer, 0)


def kill_group() -> None:
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


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
        main = threading.main_thread().ident
        if main is not None and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)  # which also ends a wait in a system call
        else:
            _thread.interrupt_main()

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
        numbers = [signal.SIGINT, signal.SIGTERM]
        hangup = getattr(signal, "SIGHUP", None)  # the terminal was closed; Windows lacks it, nohup ignores it
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
            numbers.append(hangup)
        before: dict[signal.Signals, Any] = {number: signal.signal(number, self.handle) for number in numbers}
        if (pipe := getattr(signal, "SIGPIPE", None)) is not None:  # by default, it ends a process without a word
            before[pipe] = signal.getsignal(pipe)
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
