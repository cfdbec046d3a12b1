"""The directory of a sweep: journal and files, under a name that holds the identity, for one command at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences
from optitrip.errors import StateError
from optitrip.journal.journal import Journal
from optitrip.runtime import files
from optitrip.runtime.files import lock_folder, move_aside

JOURNAL, IDENTITY_FILE = "journal.sqlite", "identity.json"


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
            self._lock = lock_folder(self.path)
            if fresh and not new:
                move_aside(self.path)
                self._lock.release()
                self._lock = lock_folder(self.path)
            identity_fields = self.path / IDENTITY_FILE
            if not identity_fields.exists():
                files.write_atomically(identity_fields, files.json_bytes(plain(sweep.identity_fields)))
            elif changed := differences(json.loads(identity_fields.read_bytes()), plain(sweep.identity_fields)):
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
                raise StateError(
                    f"{self.path / IDENTITY_FILE}: damaged: {error}; --fresh sets the directory aside"
                ) from None
            raise

    def keep(self, sweep: Sweep) -> None:
        """Keep the sweep file beside its results."""
        if self.path is not None:
            files.write_atomically(self.path / SWEEP_FILE, sweep.text.encode())

    def close(self) -> None:
        self.journal.close()
        if self._lock is not None:
            self._lock.release()


def difference(root: Path, sweep: Sweep) -> str | None:
    """One line on the latest other sweep of the same name."""
    others = root.glob(f"{sweep.name}-{'[0-9a-f]' * 8}/{IDENTITY_FILE}")
    for latest in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            changed = differences(json.loads(latest.read_bytes()), plain(sweep.identity_fields))
        except json.JSONDecodeError:
            continue
        return f"a new sweep: it differs from {latest.parent.name} in {'; '.join(changed)}"
    return None


def plain(identity_fields: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON."""
    return json.loads(json.dumps(identity_fields, default=repr))


RESULT, SWEEP_FILE = "result.json", "sweep.toml"


def stored_items(folder: Path) -> int | None:
    """How many items the result file in a folder covers; None without a readable one."""
    try:
        return json.loads((folder / RESULT).read_bytes())["items"]
    except (OSError, ValueError, KeyError):
        return None
