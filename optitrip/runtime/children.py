"""Programs as children that end with all their descendants, whatever becomes of this process."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optitrip.runtime import nanny
from optitrip.runtime.posix import end_group


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int | None = None
    """Exit status, negative for a signal; None if it was ended, or could not be started."""
    timed_out: bool = False
    """True if it was ended at its time limit."""
    error: str = ""
    """Reason why it could not be started."""


class Closed(RuntimeError):
    """A program that another thread has ended."""


class Unwatched(RuntimeError):
    """A program that was ended because the process that watches it was killed."""


class Children:
    """Runs programs one at a time. A process of its own watches each, and is started with the first."""

    def __init__(self) -> None:
        self._nanny: subprocess.Popen[bytes] | None = None
        self._closed, self._lock = False, threading.Lock()

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: tuple[Path, Path],
        seconds: float | None = None,
    ) -> Ended:
        """Run a program to its end.

        Args:
            command: program and arguments.
            folder: folder in which it starts, as for `keep_track`.
            environment: variables of its environment beside those of this process.
            output: files for stdout and stderr.
            seconds: time limit, None for none.

        Raises:
            Closed: if another thread calls `close` meanwhile, or has called it before.
            Unwatched: if the process that watches it was killed.
            BaseException: an interruption; then the program, with all its descendants, is ended first.
        """
        wanted = {
            "command": [str(word) for word in command],
            "folder": str(folder),
            "environment": {**os.environ, **environment},
            "stdout": str(output[0]),
            "stderr": str(output[1]),
            "seconds": seconds,
        }
        try:
            answer = self._ask(wanted)
        except BaseException:
            self._end()
            raise
        if self._closed:
            raise Closed("the program was ended, since the sweep stops")
        if not answer:
            raise Unwatched("the process that watches it was killed")
        return Ended(answer.get("status"), answer.get("timed_out", False), answer.get("error", ""))

    def keep_track(self, folder: Path) -> None:
        """Have a scratch folder removed when this process ends, or closes this, before another one is named."""
        with suppress(OSError, ValueError):  # `run` will tell that the watcher was killed or closed
            if (watcher := self._watcher()) is not None:
                tell(watcher, {"folder": str(folder)})

    def _watcher(self) -> subprocess.Popen[bytes] | None:
        """Return the process that watches, started if need be; None if this is closed."""
        with self._lock:  # another thread may close it at any moment
            if self._closed:
                return None
            self._nanny = self._nanny or subprocess.Popen(
                [sys.executable, "-S", "-E", nanny.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            return self._nanny

    def _ask(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return how a program ended; nothing if this is closed, or the process that watches was killed."""
        watcher = self._watcher()
        if watcher is None:
            return {}
        assert watcher.stdout is not None
        answer: dict[str, Any] = {}
        try:
            tell(watcher, wanted)
            answer = json.loads(watcher.stdout.readline())
            process = answer.get("process")
            return answer if process is None else json.loads(watcher.stdout.readline())
        except (OSError, ValueError):  # it has died, or was closed by another thread
            self._end()
        if (process := answer.get("process")) is not None:
            end_group(process)
        return {}

    def close(self) -> None:
        """End the program that runs, if any, and run no other."""
        with self._lock:
            self._closed = True
        self._end()

    def _end(self) -> None:
        """End the program that runs, if any, and the process that watches it."""
        with self._lock:
            found, self._nanny = self._nanny, None
        if found is None:
            return
        with suppress(OSError):
            if found.stdin is not None:
                found.stdin.close()
        found.wait()
        if found.stdout is not None:
            found.stdout.read()  # ends with the last of them, though that be not the one that was started
            found.stdout.close()

    def __del__(self) -> None:
        self._end()

    def __reduce__(self) -> tuple[Any, ...]:
        return Children, ()


def tell(watcher: subprocess.Popen[bytes], wanted: dict[str, Any]) -> None:
    """Write a line to the process that watches; raise OSError or ValueError if it has ended."""
    assert watcher.stdin is not None
    watcher.stdin.write(json.dumps(wanted).encode() + b"\n")
    watcher.stdin.flush()
