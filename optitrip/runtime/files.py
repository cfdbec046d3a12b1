"""The files of a result: written aside, then renamed, so that a reader never sees half of one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from optitrip.errors import StateError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file, durably.

    Raises:
        OSError: if it cannot be written; the old file, if there is one, is as it was.
    """
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    if hasattr(os, "O_DIRECTORY"):  # the name, too, must outlive a power cut; Windows has no such call
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def json_bytes(table: Mapping[str, Any]) -> bytes:
    return (json.dumps(table, indent=2) + "\n").encode()


def locked(path: Path) -> BaseFileLock:
    """A directory, made if it is not there, that no other command has; the system lets go of it when this one dies.

    Raises:
        StateError: if another command has it.
    """
    path.mkdir(parents=True, exist_ok=True)
    # Without flock the library would leave a file that outlives a crash; the journal's epoch has to do there.
    lock = FileLock(path / "lock", timeout=0, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise StateError(
            f"{path}: another command is running this sweep; wait for it, or stop it (--state-dir names another place)"
        ) from None
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    return lock


def move_aside(path: Path) -> None:
    """Rename to the first `.old-<number>` that is free."""
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    path.rename(aside)
