"""Ends a loss in this process that goes on after a request to stop: first by an exception, then with the process."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from optitrip.errors import Stopped
from optitrip.runtime.clock import SYSTEM, Clock

POLL_SECONDS, GRACE_SECONDS = 0.2, 5.0
"""Pause between two looks, and longest wait for a loss that was interrupted."""


@dataclass(frozen=True)
class Overrun:
    """The means to end a loss that runs in the main thread of this process."""

    stopped: Callable[[], Stopped | None]
    """Function that returns the request to stop, if there is one; called in another thread."""
    drain_seconds: float
    """Seconds that the loss has after a request."""
    interrupt: Callable[[Stopped], None]
    """Function that raises the request in the main thread, where Python code runs there."""
    end: Callable[[], None]
    """Function that ends the process: code in C that never returns hears of no exception."""
    clock: Clock = SYSTEM

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch the body, in which the loss is called."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,), name="optitrip-overrun", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()

    def _watch(self, over: threading.Event) -> None:
        until: float | None = None
        while not over.wait(POLL_SECONDS):
            request = self.stopped()
            if request is None:
                continue
            until = self.clock.monotonic() + self.drain_seconds if until is None else until
            if self.clock.monotonic() >= until:
                self.interrupt(request)
                if not over.wait(GRACE_SECONDS):
                    self.end()
                return
