"""Runs programs one at a time and ends each with all its descendants: `python -S nanny.py`, with JSON on its pipes.

It is a process of its own, whose only children are programs, so that whatever is left of one can be told from all else:
descendants that made a session of their own become its children (Linux's PR_SET_CHILD_SUBREAPER). It ends them, too,
when its input ends, as it does when the process that started it is killed. There are two such processes, one the parent
of the other: whichever is killed, the other one ends what is left. (A Ray worker that exits kills its children.) They
import nothing of optitrip's.

macOS has no subreapers: sessions that a program makes are not found there. Windows has no groups of processes either:
only the program itself is ended there, and there is only one process that watches.
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


def end_all() -> None:
    """Kill all descendants of this process until none is left, but for those of other users."""
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


def end_group(program: subprocess.Popen[bytes]) -> None:
    """Kill a program with its process group at once, and then all descendants."""
    if not GROUPS:
        program.kill()
        program.wait()
        return
    with suppress(OSError):
        os.killpg(program.pid, signal.SIGKILL)
    end_all()


def remove(folder: str) -> None:
    """Remove a folder, also if a program has protected what is in it, as some caches are."""
    shutil.rmtree(folder, ignore_errors=True)
    for place, names, _ in os.walk(folder) if allow(folder) else ():  # which looks into those below later
        for name in names:
            allow(os.path.join(place, name))
    shutil.rmtree(folder, ignore_errors=True)


def allow(folder: str) -> bool:
    """Let this user do anything in a folder; return whether there is one, and not a link to another."""
    with suppress(OSError):
        if not os.path.islink(folder):
            os.chmod(folder, 0o700)
            return True
    return False


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


def input_ends(parent: list[int], others: list[int], seconds: float | None) -> bool:
    """Wait for the end of the input or of the parent, or for other descriptors, at most so long; return whether the
    input or the parent has ended."""
    if not GROUPS:
        return INPUT_ENDED.wait(seconds)
    return bool({0, *parent} & set(select([0, *parent, *others], [], [], seconds)[0]))


def run(wanted: dict[str, Any], parent: list[int]) -> dict[str, Any] | None:
    """Run a program to its end; return its exit status, or why there is none, or None if the input or the parent ended
    meanwhile."""
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
                end_group(program)
                return {"timed_out": True}
            wait = left if ends else min(PAUSE_SECONDS, PAUSE_SECONDS if left is None else left)
            if input_ends(parent, ends, wait):  # nothing else can come meanwhile
                end_group(program)
                return None
    end_group(program)
    return {"status": program.returncode}


def ignore(number: int, frame: object) -> None:
    """Do nothing at a signal."""
    del number, frame


def lines(parent: list[int]) -> Iterator[bytes]:
    """Yield the lines of the input until it or the parent ends."""
    pending = b""
    while not (parent and parent[0] in select([0, *parent], [], [])[0]) and (chunk := os.read(0, CHUNK)):
        *whole, pending = (pending + chunk).split(b"\n")
        yield from whole


def lines_of_thread() -> Iterator[bytes]:
    """Yield the lines of the input from a thread, which reads on while a program runs."""
    found = SimpleQueue[bytes]()

    def read() -> None:
        for line in lines([]):
            found.put(line)
        INPUT_ENDED.set()
        found.put(b"")

    threading.Thread(target=read, daemon=True).start()
    return iter(found.get, b"")


def serve(parent: list[int]) -> None:
    """Run what comes, one program a line; tell the process number of each, then how it ended."""
    folder = ""
    for line in lines(parent) if GROUPS else lines_of_thread():
        wanted = json.loads(line)
        folder = wanted["folder"]
        if "command" in wanted:
            answer = run(wanted, parent)
            if answer is None:
                break
            tell(answer)
    if folder:
        remove(folder)  # nobody else may be left to do it


def main() -> None:
    """Serve in a child of this process, which ends what that leaves behind if it is killed."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # They are for the process that started this one, which ends the input. Programs would inherit SIG_IGN.
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), ignore)
    adopt_orphans()
    if not GROUPS:
        serve([])
        return
    reading, writing = os.pipe()  # of which the end that is written to closes with this process alone
    if child := os.fork():
        os.waitpid(child, 0)
        end_all()
        return
    os.close(writing)
    adopt_orphans()
    serve([reading])


if __name__ == "__main__":
    main()
