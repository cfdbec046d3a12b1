"""Signals become exceptions, so that what was begun is ended in order."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager

from optitrip.errors import Stopped


@contextmanager
def stop_on_sigterm() -> Generator[None]:
    """Within it, SIGTERM raises `Stopped`, as Ctrl-C raises KeyboardInterrupt."""

    def stop(number: int, _frame: object) -> None:
        raise Stopped("stopped by SIGTERM", 128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
