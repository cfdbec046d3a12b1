"""What a loss prints in a worker, kept to be shown where the sweep was started."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Generator
from typing import Any

KEPT = 10_000
"""Bytes a slice; a loss that prints for every candidate would otherwise fill the network with it."""


class Beginning(io.RawIOBase):
    """A binary stream that keeps the beginning of what is written to it, with the file number of another.

    Without a number of its own, `subprocess.run(..., stdout=sys.stdout)` in a loss would work in this process and fail
    on a worker; what is written there by number stays in the worker's log.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.kept, self.cut = bytearray(), False
        self._number = number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return False

    def write(self, data: Any, /) -> int:
        given = bytes(data)
        room = KEPT - len(self.kept)
        self.kept += given[:room]
        self.cut = self.cut or len(given) > room
        return len(given)

    @property
    def text(self) -> str:
        return self.kept.decode(errors="replace") + ("..." if self.cut else "")


@contextlib.contextmanager
def heard() -> Generator[Beginning]:
    """Keep what Python code prints within it."""
    said = Beginning(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    stream = io.TextIOWrapper(io.BufferedWriter(said), encoding="utf-8", errors="backslashreplace", write_through=True)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            yield said
        finally:
            stream.flush()
