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
    and once its pipe or terminal is closed, or its disk full, output is discarded; so it is after `detach`, or if its
    `buffer` is closed, e.g. with another stream that the loss has put on it."""

    def __init__(self, buffer: BinaryIO, encoding: str = "utf-8") -> None:
        super().__init__(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)
        self.error: OSError | None = None
        """Reason why writing failed, unless the reader closed the stream."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._discard(error)
        except UnicodeError:  # the loss has chosen another encoding, and to be strict
            raise
        except ValueError:
            pass
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._discard(error)
        except ValueError:
            pass

    def close(self) -> None:
        self.flush()

    def _discard(self, error: OSError) -> None:
        closed = isinstance(error, BrokenPipeError) or error.errno == errno.EIO  # EIO: the terminal was closed
        self.error = self.error if closed else error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def standard_stream(number: int, like: TextIO | None) -> SteadyStream:
    """Open a steady stream on descriptor 1, 2 or a copy of one, with the encoding of another stream if there is one."""
    return SteadyStream(open(number, "wb", closefd=False), encoding_of(like))


def encoding_of(stream: TextIO | None) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


class UsersStream:
    """Writes to the `sys.stderr` of a Python session, which may be closed, missing, or unable to encode a character."""

    @property
    def encoding(self) -> str:
        return encoding_of(sys.stderr)

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


def hold_streams() -> None:
    """Do so for descriptors, and have `sys` know all three streams: Python starts no thread otherwise."""
    hold_descriptors()
    for name in ("stdin", "stdout", "stderr"):
        sys.__dict__.setdefault(name, None)


def steady_streams() -> SteadyStream:
    """Give this process, a command, steady standard streams, also those that its caller has closed; return stdout.

    It has a descriptor of its own, so that what is printed to descriptor 1 can be sent elsewhere for good.
    """
    hold_streams()
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as this process lives
    stdout = standard_stream(os.dup(1), sys.stdout)
    sys.stdout, sys.stderr = stdout, standard_stream(2, sys.stderr)
    return stdout


@contextmanager
def lenient_prints() -> Generator[None]:
    """Have prints escape what `sys.stdout` and `sys.stderr` cannot encode, and go nowhere without these streams: so it
    is on workers."""
    missing = [name for name in ("stdout", "stderr") if getattr(sys, name, None) is None]
    for name in missing:
        setattr(sys, name, SteadyStream(io.BytesIO()))
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    strict = [stream for stream in streams if is_strict(stream)]
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


def is_strict(stream: io.TextIOWrapper) -> bool:
    with suppress(ValueError):  # it is detached
        return stream.errors == "strict" and not stream.closed
    return False


class CapturedOutput:
    """The beginning of what is written to some streams."""

    def __init__(self) -> None:
        self._start = b""

    def add(self, data: bytes) -> None:
        self._start = (self._start + data)[: KEPT + 1]  # one more byte shows that something was left out

    @property
    def text(self) -> str:
        return self._start[:KEPT].decode(errors="replace") + ("..." if len(self._start) > KEPT else "")


class CapturingStream(io.RawIOBase):
    """A binary stream whose output is captured, with the file descriptor of stderr.

    Without a descriptor, `subprocess.run(..., stdout=sys.stdout)` in a loss would work in this process and fail on a
    worker. Output written directly to the descriptor goes to the worker's log.
    """

    def __init__(self, output: CapturedOutput) -> None:
        super().__init__()
        self._output = output

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, data: Any, /) -> int:
        self._output.add(bytes(data))
        return len(data)


@contextmanager
def capture_output() -> Generator[CapturedOutput]:
    output = CapturedOutput()
    # Two, since the loss may close or detach one of them.
    stdout, stderr = (SteadyStream(cast("BinaryIO", io.BufferedWriter(CapturingStream(output)))) for _ in range(2))
    with redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            yield output
        finally:
            stdout.flush()
            stderr.flush()


@contextmanager
def stdout_to_stderr(stdout: TextIO) -> Generator[None]:
    """Send the loss's output, also from C code and child processes, to stderr: stdout is for the result alone.

    The loss has streams of its own, so that it may close them or put others in their place. What it prints later, from
    a thread or when the process ends, goes to stderr too, if this process is a command, with `steady_streams`.
    """
    stdout.flush()
    kept, stderr = None if isinstance(stdout, SteadyStream) else os.dup(1), sys.stderr
    os.dup2(2, 1)
    own = standard_stream(1, stdout), standard_stream(2, stderr)
    sys.stdout, sys.stderr = own
    try:
        yield
    finally:
        for stream in own:
            stream.flush()
        sys.stdout, sys.stderr = own[0], stderr
        if kept is not None:
            sys.stdout = stdout
            os.dup2(kept, 1)
            os.close(kept)
