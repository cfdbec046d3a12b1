"""Keeps lines of Ray's own log off standard error."""

import os
import re
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress

LINE = re.compile(rb"\[[\d:, -]+ [IWE] \d+ \d+\] \S+\.(cc|h):\d+: ")
"""Beginning of such a line, e.g. `[2026-11-27 13:51:09,610 W 146 150] gcs_client.cc:210: `."""


@contextmanager
def without_own_log() -> Generator[None]:
    """Leave Ray's own log out of what is written to descriptor 2, by whatever thread or child, and pass on the rest.

    Ray's C++ code writes there itself; its variable for the level of this log makes it print a line about that.
    """
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    source, sink = os.pipe()
    os.dup2(sink, 2)
    os.close(sink)
    thread = threading.Thread(target=pass_on, args=(source, kept), name="stderr", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(kept, 2)  # closes this process's end of the pipe, and so ends the thread
        thread.join(1.0)  # a child that was started meanwhile has the other end for as long as it lives


def pass_on(source: int, target: int) -> None:
    with suppress(OSError):  # nobody reads it any more
        for data in others(iter(lambda: os.read(source, 65536), b"")):
            while data:
                data = data[os.write(target, data) :]
    os.close(source)
    os.close(target)


def others(chunks: Iterable[bytes]) -> Generator[bytes]:
    """Yield what is not Ray's log, as soon as that is known: a line that is being drawn need never end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = re.split(rb"(?<=[\n\r])", rest + chunk)
        rest, last = (rest, b"") if rest.startswith(b"[") and len(rest) < 4096 else (b"", rest)
        yield b"".join(line for line in [*lines, last] if not LINE.match(line))
    yield b"" if LINE.match(rest) else rest
