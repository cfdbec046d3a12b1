"""Runs programs one at a time and ends each with all its descendants: `python -S nanny.py`, with JSON on its pipes.

It is a process of its own, whose only children are programs, so that whatever is left of one can be told from all else:
descendants that made a session of their own become its children (Linux's PR_SET_CHILD_SUBREAPER). It ends them, too,
when its input ends, as it does when the process that started it is killed. It imports nothing of optitrip's.

macOS has no subreapers: sessions that a program makes are not found there. Windows has no groups of processes either:
only the program itself is ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from select import select
from typing import Any

SUBREAPER = 36
"""Option of prctl: PR_SET_CHILD_SUBREAPER."""
GROUPS = hasattr(os, "killpg")
"""Whether there are groups of processes; where there are none, as on Windows, pipes cannot be waited for either."""
INPUT_ENDED = threading.Event()
"""Set once the input has ended, by the thread that reads it where pipes cannot be waited for."""
PAUSE_SECONDS, PATIENCE_SECONDS = 0.005, 10.0
CHUNK = 2**16


def adopt_orphans() -> None:
    """Become the parent of descendants whose own has ended; elsewhere than on Linux nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def children(process: int) -> list[int]:
    """Return the children of a process that have not been waited for."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError, ValueError):
            found += map(int, task.read_bytes().split())
    return found


def descendants(process: int) -> list[int]:
    """Return the children of a process, theirs, and so on."""
    found = children(process)
    for child in found:  # which grows meanwhile
        found += children(child)
    return found


def end_all(program: subprocess.Popen[bytes]) -> None:
    """Kill a program with its process group, and all descendants of this process, until none is left, but for those of
    other users."""
    if not GROUPS:
        program.kill()
        program.wait()
        return
    with suppress(OSError):
        os.killpg(program.pid, signal.SIGKILL)
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for process in descendants(os.getpid()):
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(PAUSE_SECONDS)


def tell(answer: dict[str, Any]) -> None:
    """Write a line of the output."""
    with suppress(OSError):
        os.write(1, json.dumps(answer).encode() + b"\n")


def start(wanted: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start a program; raise OSError if there is none."""
    with open(wanted["stdout"], "wb") as stdout, open(wanted["stderr"], "wb") as stderr:
        return subprocess.Popen(
            wanted["command"],
            cwd=wanted["folder"],
            env=wanted["environment"],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same for Ctrl-C on Windows
        )


@contextmanager
def watched(process: int) -> Generator[list[int]]:
    """Yield a file descriptor that becomes readable when a process ends; none where there are no such descriptors."""
    try:
        descriptor = os.pidfd_open(process)
    except (AttributeError, OSError):  # elsewhere than on Linux, or on an old one
        yield []
        return
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


def input_ends(others: list[int], seconds: float | None) -> bool:
    """Wait for the end of the input, and for other descriptors, at most so long; return whether the input has ended."""
    if GROUPS:
        return 0 in select([0, *others], [], [], seconds)[0]
    return INPUT_ENDED.wait(seconds)


def run(wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Run a program to its end; return its exit status, or why there is none, or None if the input ended meanwhile."""
    began = time.monotonic()
    try:
        program = start(wanted)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    # Not PR_SET_PDEATHSIG, which takes a function before exec: Python then forks, for twice the time of all else.
    tell({"process": program.pid})
    limit = wanted["seconds"]
    with watched(program.pid) as ends:
        while program.poll() is None:
            left = None if limit is None else began + limit - time.monotonic()
            if left is not None and left <= 0:
                end_all(program)
                return {"timed_out": True}
            wait = left if ends else min(PAUSE_SECONDS, PAUSE_SECONDS if left is None else left)
            if input_ends(ends, wait):  # nothing else can come meanwhile
                end_all(program)
                shutil.rmtree(wanted["folder"], ignore_errors=True)  # nobody else may be left to do it
                return None
    end_all(program)
    return {"status": program.returncode}


def ignore(number: int, frame: object) -> None:
    """Do nothing at a signal."""
    del number, frame


def lines() -> Iterator[bytes]:
    """Yield the lines of the input as they come."""
    pending = b""
    while chunk := os.read(0, CHUNK):
        pending += chunk
        if pending.endswith(b"\n"):
            yield pending
            pending = b""


def lines_of_thread() -> Iterator[bytes]:
    """Yield the same from a thread, which reads on while a program runs."""
    found = SimpleQueue[bytes]()

    def read() -> None:
        for line in lines():
            found.put(line)
        INPUT_ENDED.set()
        found.put(b"")

    threading.Thread(target=read, daemon=True).start()
    return iter(found.get, b"")


def main() -> None:
    """Run what comes, one program a line; tell the process number of each, then how it ended."""
    adopt_orphans()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # They are for the process that started this one, which ends the input. Programs would inherit SIG_IGN.
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), ignore)
    for line in lines() if GROUPS else lines_of_thread():
        answer = run(json.loads(line))
        if answer is None:
            return
        tell(answer)


if __name__ == "__main__":
    main()
