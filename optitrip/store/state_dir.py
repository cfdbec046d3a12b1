"""The directory of a sweep: journal and files, under a name that holds the identity, for one command at a time."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from optitrip.config.sweep import Sweep, differences
from optitrip.errors import StateError
from optitrip.journal.journal import Journal
from optitrip.runtime import files

JOURNAL, ESSENCE, LOCK = "journal.sqlite", "identity.json", "lock"


class StateDir:
    """`<root>/<name>-<identity>/`, made if it is not there; without a root, nowhere but in memory.

    Raises:
        StateError: if it cannot be made or written, or belongs to another sweep.
    """

    def __init__(self, root: Path | None, sweep: Sweep, *, fresh: bool = False) -> None:
        self.path = root / sweep.label if root else None
        self.differs: str | None = None
        """How the sweep differs from the latest of the same name, if it is new."""
        self._lock: BaseFileLock | None = None
        if self.path is None or root is None:
            self.journal = Journal(Path(":memory:"))
            return
        try:
            new = not self.path.exists()
            self.differs = difference(root, sweep) if new else None
            self._lock = locked(self.path)
            if fresh and not new:
                set_aside(self.path)
                self._lock.release()
                self._lock = locked(self.path)
            essence = self.path / ESSENCE
            if not essence.exists():
                files.replace(essence, files.json_bytes(plain(sweep.essence)))
            elif changed := differences(json.loads(essence.read_bytes()), plain(sweep.essence)):
                raise StateError(f"{self.path} belongs to another sweep; it differs in {'; '.join(changed)}")
            self.journal = Journal(self.path / JOURNAL, sweep.identity)
        except BaseException as error:
            if self._lock is not None:
                self._lock.release()
            if isinstance(error, OSError):
                raise StateError(
                    f"state directory {self.path.absolute()}: cannot be written: {error.strerror or error}; "
                    "--state-dir names another place"
                ) from None
            if isinstance(error, ValueError):
                raise StateError(f"{self.path / ESSENCE}: damaged: {error}; --fresh sets the directory aside") from None
            raise

    def keep(self, sweep: Sweep) -> None:
        """Keep the sweep file beside its results."""
        if self.path is not None:
            files.replace(self.path / files.SWEEP_FILE, sweep.text.encode())

    def close(self) -> None:
        self.journal.close()
        if self._lock is not None:
            self._lock.release()


def locked(path: Path) -> BaseFileLock:
    """A directory, made if it is not there, that no other command has; the system lets go of it when this one dies.

    Raises:
        StateError: if another command has it.
    """
    path.mkdir(parents=True, exist_ok=True)
    # Without flock the library would leave a file that outlives a crash; the journal's epoch has to do there.
    lock = FileLock(path / LOCK, timeout=0, fallback_to_soft=False, thread_local=False)
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


def set_aside(path: Path) -> None:
    """Rename to the first `.old-<number>` that is free."""
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    path.rename(aside)


def difference(root: Path, sweep: Sweep) -> str | None:
    """One line on the latest other sweep of the same name."""
    others = root.glob(f"{sweep.name}-{'[0-9a-f]' * 8}/{ESSENCE}")
    for latest in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            changed = differences(json.loads(latest.read_bytes()), plain(sweep.essence))
        except json.JSONDecodeError:
            continue
        return f"a new sweep: it differs from {latest.parent.name} in {'; '.join(changed)}"
    return None


def plain(essence: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON."""
    return json.loads(json.dumps(essence, default=repr))
