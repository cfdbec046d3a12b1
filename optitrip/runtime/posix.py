"""POSIX only: what Linux and macOS offer a process, with what stands in for it on Windows.

No other file imports a module that Windows lacks, or names a function or a signal that it lacks, except `nanny.py`,
which is a program of its own (`tests/laws/test_platforms_apart.py`).
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwd import struct_passwd

try:
    import fcntl
    import grp
    import pwd
    import resource
except ImportError:  # Windows
    fcntl = grp = pwd = resource = None

LOCKS, OWNERS, GROUPS = fcntl is not None, pwd is not None, hasattr(os, "killpg")
"""Whether files have locks of POSIX, and owners; whether there are groups of processes."""
LOCKS_OF_OPENINGS = LOCKS and sys.platform == "linux" and sys.maxsize > 2**32
"""Whether `lock_opening` works: its structure is that of Linux with 64 bits."""
STOPS = [signal.SIGINT, signal.SIGTERM]
"""Signals that ask a process to stop; the last, where there is one, says that the terminal was closed."""
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
if HANGUP is not None:
    STOPS.append(HANGUP)
PIPE: signal.Signals | None = getattr(signal, "SIGPIPE", None)
"""Signal of a pipe that nobody reads any more."""


def interrupt_main_thread() -> None:
    """Have the handler of SIGINT called in the main thread; a wait in a system call ends with it, but on Windows."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def peak_bytes() -> int | None:
    """Return the peak resident memory of this process in bytes, or None where it is not available.

    Shared pages, such as those of Ray's object store, count in full for each process that touched them, so the peaks of
    workers cannot be added up. On Linux a process inherits the peak of its parent.
    """
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def processors() -> int:
    """Return the number of processors that this process may use; where that is not told, those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_timer() -> bool:
    """Return whether a timer will send this process a signal."""
    return hasattr(signal, "setitimer") and bool(signal.getitimer(signal.ITIMER_REAL)[0])


def stop_timer() -> None:
    """Stop the timer of this process, if it has one."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def in_forked_processes(call: Callable[[], object]) -> None:
    """Have every process that is forked from this one begin with a call; Windows forks none."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def lead_group() -> None:
    """Put this process into a new process group as its leader, so that its children can be ended with it."""
    if GROUPS:
        with suppress(OSError):  # the leader of a session already leads one
            os.setpgid(0, 0)


def end_own_group() -> None:
    """Kill this process, and the group that it leads, if it leads one."""
    if GROUPS and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def end_group(leader: int, *, gently: bool = False) -> None:
    """End a process and the group that it leads, by SIGTERM if `gently`; without groups the process alone, at once."""
    with suppress(OSError):  # it has ended
        if GROUPS:
            os.killpg(leader, signal.SIGTERM if gently else signal.SIGKILL)
        else:
            os.kill(leader, signal.SIGTERM)  # TerminateProcess, in spite of the name


def is_alive(process: int) -> bool:
    """Return whether there is a process of this number; True where nobody can tell."""
    if not GROUPS:  # on Windows the signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it belongs to another user
        return True
    return True


def listens(path: str) -> bool:
    """Return whether a process listens on a socket with a path; True on Windows, where sockets have none."""
    if not hasattr(socket, "AF_UNIX"):
        return True
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(path)
        except OSError:
            return False
    return True


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut, e.g. after a rename; Windows has no such call."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def set_mode(file: IO[Any], mode: int) -> None:
    """Give an open file a mode, if its file system has modes."""
    if hasattr(os, "fchmod"):
        with suppress(OSError):
            os.fchmod(file.fileno(), mode)


def lock(file: IO[Any], *, shared: bool = False) -> None:
    """Lock a file for this opening of it, without waiting; raise OSError if another one has locked it."""
    assert fcntl is not None
    fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def unlock(file: IO[Any]) -> None:
    """Give up the lock of a file."""
    assert fcntl is not None
    fcntl.flock(file, fcntl.LOCK_UN)


def lock_bytes(file: IO[Any]) -> None:
    """Lock a file as SQLite does, against other processes; raise OSError if one has locked it."""
    assert fcntl is not None
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_opening(file: IO[Any]) -> None:
    """Lock a file for this opening of it, against `lock_bytes` too; raise OSError if it is locked already."""
    assert fcntl is not None
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))


def user() -> int:
    """Return the number of the user of this process."""
    return os.geteuid()


def main_group() -> int:
    """Return the number of the group that the files of this process get."""
    return os.getegid()


def own_groups() -> set[int]:
    """Return the numbers of the groups of this process."""
    return {os.getegid(), *os.getgroups()}


def account(number: int) -> struct_passwd | None:
    """Return what the system knows of a user; None for a number that it does not know, as in a container."""
    assert pwd is not None
    with suppress(KeyError):
        return pwd.getpwuid(number)
    return None


def accounts() -> list[struct_passwd]:
    """Return what the system knows of all its users."""
    assert pwd is not None
    return pwd.getpwall()


def members(group: int) -> list[str]:
    """Return the names of the users that are listed as members of a group."""
    assert grp is not None
    with suppress(KeyError):
        return grp.getgrgid(group).gr_mem
    return []
