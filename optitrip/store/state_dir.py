"""State directories: each holds the journal and files of a sweep, and is used by one command at a time."""

import json
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences
from optitrip.errors import StateError
from optitrip.journal.journal import Journal
from optitrip.runtime import files
from optitrip.runtime.files import lock_folder, move_aside

JOURNAL, IDENTITY_FILE, RESULT, SWEEP_FILE = "journal.sqlite", "identity.json", "result.json", "sweep.toml"


class StateDir:
    """The locked directory `<root>/<name>-<identity>/` of a sweep; without a root, a journal in memory."""

    def __init__(self, root: Path | None, sweep: Sweep, *, fresh: bool = False) -> None:
        """Open or create the directory; with `fresh`, an existing one is set aside."""
        self.path = root / sweep.label if root else None
        self.difference: str | None = None
        """Message on how a new sweep differs from the latest sweep of the same name; None if there is none."""
        if self.path is None or root is None:
            self._lock, self.journal = ExitStack(), Journal(Path(":memory:"))
            return
        identity_file = self.path / IDENTITY_FILE
        identity_fields = json.loads(json.dumps(sweep.identity_fields, default=repr))  # as read back from a file
        try:
            with ExitStack() as lock:
                new = not self.path.exists()
                self.difference = difference_from_latest(root, sweep.name, identity_fields) if new else None
                lock.callback(lock_folder(self.path).release)
                if fresh and not new:
                    move_aside(self.path)
                    lock.close()
                    lock.callback(lock_folder(self.path).release)
                if not identity_file.exists():
                    files.write_atomically(identity_file, files.json_bytes(identity_fields))
                elif changed := differences(json.loads(identity_file.read_bytes()), identity_fields):
                    raise StateError(
                        f"{self.path} belongs to a different sweep, which differs in {'; '.join(changed)}; "
                        "choose another place with --state-dir"
                    )
                self.journal = Journal(self.path / JOURNAL, sweep.identity)
                self._lock = lock.pop_all()
        except OSError as error:
            raise StateError(
                f"state directory {self.path.absolute()}: cannot be written: {error.strerror or error}; "
                "choose another place with --state-dir"
            ) from None
        except ValueError as error:
            raise StateError(f"{identity_file}: damaged: {error}; --fresh sets the directory aside") from None

    def store_sweep_file(self, sweep: Sweep) -> None:
        if self.path is not None:
            files.write_atomically(self.path / SWEEP_FILE, sweep.text.encode())

    def close(self) -> None:
        self.journal.close()
        self._lock.close()


def difference_from_latest(root: Path, name: str, identity_fields: dict[str, Any]) -> str | None:
    """Describe in one line how a new sweep differs from the latest stored sweep of the same name, if any."""
    identity_files = root.glob(f"{name}-{'[0-9a-f]' * 8}/{IDENTITY_FILE}")
    for latest in sorted(identity_files, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            changed = differences(json.loads(latest.read_bytes()), identity_fields)
        except json.JSONDecodeError:
            continue
        return f"starting a new sweep: it differs from {latest.parent.name} in {'; '.join(changed)}"
    return None


def open_journal(folder: Path) -> closing[Journal]:
    """Open the journal in a state directory for reading; this is safe while a command writes to it."""
    return closing(Journal(folder / JOURNAL, folder.name.rpartition("-")[2], reading=True))


def read_result(folder: Path) -> dict[str, Any]:
    """Read the result file in a folder; return {} if it is missing or damaged."""
    try:
        return json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return {}
