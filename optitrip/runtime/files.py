"""Files and folders of a sweep: atomic writes, digests, locks, and moving aside."""

import errno
import hashlib
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from itertools import count
from pathlib import Path
from stat import S_IMODE, S_ISREG
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from optitrip.errors import StateError
from optitrip.runtime import posix

PRIVATE = 0o600
"""Mode of new files: their owner's alone, as the folders are that `make_private` makes."""
LOOK_SECONDS = 0.2
"""Seconds that a command waits for a lock: another one may hold it for a moment, to see whether it is held, or to note
what it has sent to MLflow."""
COMMAND, DELIVERY = "lock", "delivery.lock"
"""Lock files of a sweep: held by the command that runs it, and by the one that sends it to MLflow."""


def working_folder() -> Path:
    """Return the working directory, or the root if it was removed, e.g. by the loss of an earlier call."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.sep)


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Write a file durably and then rename it into place: no reader sees half of it, an OSError keeps the old file."""
    with replacing(path, mode) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, mode: int = PRIVATE) -> Generator[BufferedWriter]:
    """Open a new file that replaces the one at a path once all is on disk; an exception keeps the old one.

    A new file gets this mode, less the umask; a replacement keeps the mode of the file that was there.
    """
    unfinished = path.with_name(path.name + ".part")
    remove_or_move_aside(unfinished)
    with open_new(unfinished, mode) as file:
        try:
            if is_regular(path):
                posix.set_mode(file, S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        except OSError:  # the disk is full: half a file would keep it so
            unfinished.unlink(missing_ok=True)
            raise
    if os.path.lexists(path) and not is_regular(path):
        move_aside(path)
    unfinished.replace(path)
    posix.sync_folder(path.parent)


def open_new(path: Path, mode: int = PRIVATE) -> BufferedWriter:
    """Create a file to write; raise FileExistsError if there is one: a link that someone puts there is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, mode), "wb")


def is_regular(path: Path) -> bool:
    """Return whether a path is a file, and no link, folder, pipe or device."""
    try:
        return S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def remove_or_move_aside(path: Path) -> None:
    """Make room for a temporary file: remove one that a killed command left, move anything else aside."""
    if is_regular(path):
        path.unlink()
    elif os.path.lexists(path):
        move_aside(path)


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read; raise OSError for anything else: opening a pipe, or reading a device, may never end."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def digest(data: bytes) -> str:
    """Return the length of some bytes and their BLAKE2b hash."""
    return f"{len(data)} {hashlib.blake2b(data, digest_size=16).hexdigest()}"


def digest_of(path: Path) -> str:
    """Return the digest of a file; raise OSError if it cannot be read."""
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        return f"{length} {hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()}"


def has_digest(path: Path, wanted: str) -> bool:
    """Return whether a file can be read and has this digest; a file of another length is not read."""
    try:
        return str(path.stat().st_size) == wanted.partition(" ")[0] and digest_of(path) == wanted
    except OSError:
        return False


def json_bytes(table: Mapping[str, Any]) -> bytes:
    return (json.dumps(table, indent=2) + "\n").encode()


def lock_folder(path: Path, name: str = COMMAND, seconds: float = LOOK_SECONDS) -> BaseFileLock:
    """Create a folder if needed and take one of its locks until this process dies; raise StateError if another command
    holds it for so long."""
    make_private(path)
    if os.path.lexists(path / name) and not is_regular(path / name):
        move_aside(path / name)
    # Without flock the library would leave a lock file after a crash; then only the journal's epoch protects the sweep.
    lock = FileLock(path / name, seconds, mode=PRIVATE, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise StateError(
            f"{path}: another command is running this sweep; wait for it or stop it, or use another --state-dir"
            if name == COMMAND
            else f"{path}: another command is sending this sweep to MLflow; wait for it"
        ) from None
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    return lock


def is_locked(path: Path) -> bool:
    """Return whether a command runs the sweep of a folder. Many may look at the same time, since each shares the lock
    for a moment with the others; a command that wants it waits for longer."""
    if not is_regular(path / COMMAND):
        return False
    try:
        if not posix.LOCKS:
            lock_folder(path).release()
            return False
        with open_regular(path / COMMAND) as lock:
            posix.lock(lock, shared=True)
    except (BlockingIOError, StateError):
        return True
    except OSError:  # a folder that is not ours
        return False
    return False


def make_private(folder: Path) -> None:
    """Create a folder, and those above it that are missing, for their owner alone."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(0o700, exist_ok=True)


def unused_path(path: Path, ending: str) -> Path:
    """Return the first unused path of `<path>.<ending>-1`, `<path>.<ending>-2` and so on."""
    paths = (path.with_name(f"{path.name}.{ending}-{number}") for number in count(1))
    return next(free for free in paths if not os.path.lexists(free))


def move_aside(path: Path) -> Path:
    """Rename a file or folder to `<path>.old-1` or the next unused number; return the new path."""
    return path.rename(unused_path(path, "old"))
