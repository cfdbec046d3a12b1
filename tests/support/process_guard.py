"""End the processes that tests have left behind, however the tests ended: `process_guard.py MARK`.

Ray's daemons, servers and kernels of notebooks are in sessions of their own, so that neither Ctrl-C nor the end of the
tests reaches them. The guard finds them by an environment variable that they inherit from the tests. Without /proc it
finds none.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

NAME = "OPTITRIP_TESTS"
PATIENCE_SECONDS = 10.0


def watch() -> subprocess.Popen[bytes]:
    """Mark all processes that this one starts from now on, and start the guard, which acts when its input ends."""
    mark = uuid.uuid4().hex
    unmarked = {name: value for name, value in os.environ.items() if name != NAME}
    os.environ[NAME] = mark
    return subprocess.Popen(
        [sys.executable, "-S", __file__, mark], stdin=subprocess.PIPE, env=unmarked, start_new_session=True
    )


def marked(mark: str) -> Iterator[int]:
    """Yield the processes that have the mark."""
    wanted = f"{NAME}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has ended, or belongs to another user
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def end(mark: str) -> None:
    """Kill all processes that have the mark, and those that they start meanwhile."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (found := list(marked(mark))) and time.monotonic() < until:
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.stdin.read()
    end(sys.argv[1])
