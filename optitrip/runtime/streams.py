"""Output streams: one that tolerates a closed terminal or pipe, and redirection of the loss's output."""

import errno
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

KEPT = 10_000
"""Output stored per slice, in bytes: a loss that prints for every candidate would otherwise flood the network."""


class TolerantStream:
    """A text stream that discards all output once its pipe or terminal is closed, rather than end the sweep."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """Reason why writing failed, unless the reader closed the stream."""

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        closed = isinstance(error, BrokenPipeError) or error.errno == errno.EIO  # EIO: the terminal was closed
        self.error = self.error if closed else error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class CapturedOutput(io.RawIOBase):
    """A binary stream that stores the beginning of its output, with the file descriptor of another stream.

    Without a descriptor, `subprocess.run(..., stdout=sys.stdout)` in a loss would work in this process and fail on a
    worker. Output written directly to the descriptor goes to the worker's log.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number, self._start = number, b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def write(self, data: Any, /) -> int:
        self._start = (self._start + data)[: KEPT + 1]  # one more byte shows that something was left out
        return len(data)

    @property
    def text(self) -> str:
        return self._start[:KEPT].decode(errors="replace") + ("..." if len(self._start) > KEPT else "")


@contextmanager
def capture_output() -> Generator[CapturedOutput]:
    raw = CapturedOutput(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", write_through=True)
    with redirect_stdout(stream), redirect_stderr(stream):
        try:
            yield raw
        finally:
            stream.flush()


@contextmanager
def stdout_to_stderr() -> Generator[None]:
    """Send the loss's output, also from C code and child processes, to stderr: stdout is for the result alone."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)
