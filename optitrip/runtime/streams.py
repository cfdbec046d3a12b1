"""The standard streams, which a caller may have closed and a loss may close, and the output of the loss."""

import errno
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, BinaryIO, TextIO, cast

KEPT = 10_000
"""Output stored per slice, in bytes: a loss that prints for every candidate would otherwise flood the network."""


class SteadyStream(io.TextIOWrapper):
    """A text stream that goes on whatever happens: characters outside its encoding are escaped, `close` only flushes,
    and once its pipe or terminal is closed, or its disk full, output is discarded."""

    def __init__(self, buffer: BinaryIO, encoding: str = "utf-8") -> None:
        super().__init__(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)
        self.error: OSError | None = None
        """Reason why writing failed, unless the reader closed the stream."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._discard(error)

    def close(self) -> None:
        self.flush()

    def _discard(self, error: OSError) -> None:
        closed = isinstance(error, BrokenPipeError) or error.errno == errno.EIO  # EIO: the terminal was closed
        self.error = self.error if closed else error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def standard_stream(number: int, like: TextIO | None) -> SteadyStream:
    """Open a steady stream on descriptor 1 or 2, with the encoding of another stream if there is one."""
    return SteadyStream(open(number, "wb", closefd=False), getattr(like, "encoding", None) or "utf-8")


class UsersStream:
    """Writes to the `sys.stderr` of a Python session, which may be closed, missing, or unable to encode a character."""

    @property
    def encoding(self) -> str:
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError, AttributeError):
            try:
                sys.stderr.write(text)
            except UnicodeEncodeError:
                sys.stderr.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        with suppress(ValueError, AttributeError):
            return sys.stderr.isatty()
        return False

    def fileno(self) -> int:
        return sys.stderr.fileno()


def hold_descriptors() -> None:
    """Open /dev/null in place of standard descriptors that are closed: a journal that got the number 2 would be written
    to by all that prints errors."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the smallest free number


def steady_streams() -> SteadyStream:
    """Give this process, a command, steady standard streams, also those that its caller has closed; return stdout."""
    hold_descriptors()
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as this process lives
    sys.stdout, sys.stderr = stdout, _ = standard_stream(1, sys.stdout), standard_stream(2, sys.stderr)
    return stdout


@contextmanager
def lenient_prints() -> Generator[None]:
    """Have prints escape what `sys.stdout` and `sys.stderr` cannot encode, and go nowhere without these streams: so it
    is on workers."""
    missing = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]
    for name in missing:
        setattr(sys, name, SteadyStream(io.BytesIO()))
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    strict = [stream for stream in streams if stream.errors == "strict" and not stream.closed]
    for stream in strict:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream in strict:
            with suppress(ValueError):  # the loss has closed it
                stream.reconfigure(errors="strict")
        for name in missing:
            setattr(sys, name, None)


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
    stream = SteadyStream(cast("BinaryIO", io.BufferedWriter(raw)))
    with redirect_stdout(stream), redirect_stderr(stream):
        try:
            yield raw
        finally:
            stream.flush()


@contextmanager
def stdout_to_stderr() -> Generator[None]:
    """Send the loss's output, also from C code and child processes, to stderr: stdout is for the result alone.

    The loss has streams of its own, so that it may close them or put others in their place.
    """
    before = sys.stdout, sys.stderr
    before[0].flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    sys.stdout, sys.stderr = standard_stream(1, before[0]), standard_stream(2, before[1])
    own = sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in own:
            stream.flush()
        sys.stdout, sys.stderr = before
        os.dup2(stdout, 1)
        os.close(stdout)
