"""A stream that goes on when nobody reads it any more: a closed terminal or pipe is no reason to lose a sweep."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO


class TolerantStream:
    """Writes to a stream; once that fails, what is written goes nowhere, at the end of the process too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """Why it failed, unless the reader has gone."""

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        gone = isinstance(error, BrokenPipeError) or error.errno == errno.EIO  # of a terminal that was closed
        self.error = self.error if gone else error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


KEPT = 10_000
"""Bytes a slice; a loss that prints for every candidate would otherwise fill the network with it."""


class CapturedOutput(io.RawIOBase):
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
def capture_output() -> Generator[CapturedOutput]:
    """Keep what Python code prints within it."""
    said = CapturedOutput(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    stream = io.TextIOWrapper(io.BufferedWriter(said), encoding="utf-8", errors="backslashreplace", write_through=True)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            yield said
        finally:
            stream.flush()


@contextmanager
def stdout_to_stderr() -> Generator[None]:
    """Send what a loss prints to stderr, from C code and child processes too: stdout holds the result alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
