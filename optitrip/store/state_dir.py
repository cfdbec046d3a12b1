"""State directories: each holds the journal and files of a sweep, and is used by one command at a time."""

import json
import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

from optitrip.config.overrides import resolved
from optitrip.config.program import as_written
from optitrip.config.sweep import Sweep, identity_of
from optitrip.core.differences import differences
from optitrip.core.notice import Notice, info, warning
from optitrip.core.observer import Observer
from optitrip.errors import StateError
from optitrip.journal.facts import Origin, Predecessor, StoredResult, SweepFact, SweepText
from optitrip.journal.journal import Journal, Unwritable, peek
from optitrip.runtime import files, posix
from optitrip.runtime.files import lock_folder, move_aside
from optitrip.store.ownership import distrust
from optitrip.store.probe import check_file_system

F = TypeVar("F", bound=SweepFact)
JOURNAL, IDENTITY_FILE, RESULT, SWEEP_FILE = "journal.sqlite", "identity.json", "result.json", "sweep.toml"
LARGEST_TABLE = 2**26
"""Number of bytes of a JSON file that are read."""


class StateDir:
    """The locked directory `<root>/<name>-<identity>/` of a sweep; without a root, a journal in memory."""

    def __init__(self, root: Path | None, sweep: Sweep, *, fresh: bool = False, trust: bool = False) -> None:
        """Open or create the directory; with `fresh`, an existing one is set aside.

        Raise StateError if others could have planted what is in it, unless it is to be trusted (`trust`), or if its
        file system cannot hold a journal safely.

        The directory of a finished sweep may be read-only: its result can be shown, and nothing is written.
        """
        self.path = root / sweep.label if root else None
        self.notices: list[Notice] = []
        """Notices about what was found on opening; those about damage to the journal are in the journal."""
        self.writable = True
        """False if nothing can be written, since the result is complete."""
        self._lock = ExitStack()
        if self.path is None or root is None:
            self.journal = Journal(Path(":memory:"))
            return
        if not trust:
            check_trusted(self.path)
        if fresh or finished_items(self.path) != sweep.items:
            check_file_system(self.path)
        try:
            with ExitStack() as lock:
                self.journal = self._open(root, self.path, sweep, lock, fresh=fresh)
                self._lock = lock.pop_all()
        except (OSError, Unwritable) as error:
            if fresh or finished_items(self.path) != sweep.items:
                reason = getattr(error, "strerror", None) or error
                raise StateError(
                    f"state directory {self.path.absolute()}: cannot be written: {reason}; "
                    "choose another place with --state-dir; a copy of the directory there is resumed"
                ) from None
            self.journal, self.writable = Journal(self.path / JOURNAL, sweep.identity, reading=True), False
            self.notices = [info("state-changed", f"{self.path} cannot be written; its stored result is shown")]

    def _open(self, root: Path, path: Path, sweep: Sweep, lock: ExitStack, *, fresh: bool) -> Journal:
        fields = json.loads(json.dumps(sweep.identity_fields, default=repr))  # as read back from a file
        predecessor = None
        if not path.is_dir():
            self._set_aside(path)
            predecessor = predecessor_of(root, sweep.name, fields)
            if predecessor is not None:
                text = f"it differs from {predecessor.label} in {'; '.join(predecessor.changes)}"
                self.notices.append(info("new-sweep", f"starting a new sweep: {text}"))
        elif fresh:
            lock.callback(lock_folder(path).release)
            predecessor = peek_fact(path, Predecessor)
            move_locked_aside(path, lock)
        journal = self._lock_and_open(path, sweep, lock, fields)
        if predecessor is not None:
            journal.note(predecessor)
        if journal.empty() and not journal.damage and os.path.lexists(path / RESULT):
            journal.close()
            aside = move_locked_aside(path, lock)
            text = f"the journal in {path} was missing or empty, so its result cannot be checked: the directory is "
            self.notices.append(warning("state-changed", f"{text}set aside as {aside}, and all items are evaluated"))
            journal = self._lock_and_open(path, sweep, lock, fields)
        return journal

    def _lock_and_open(self, path: Path, sweep: Sweep, lock: ExitStack, fields: dict[str, Any]) -> Journal:
        lock.callback(lock_folder(path).release)
        self._check_identity_file(path / IDENTITY_FILE, fields, sweep)
        return Journal(path / JOURNAL, sweep.identity)

    def _check_identity_file(self, file: Path, fields: dict[str, Any], sweep: Sweep) -> None:
        """Write the file if there is none; raise StateError if it describes another sweep with the same identity."""
        found = read_table(file)
        if found == fields:
            return
        if found is not None and identity_of(found) == sweep.identity:
            raise StateError(
                f"{file.parent} belongs to a different sweep, which differs in {'; '.join(differences(found, fields))};"
                " choose another place with --state-dir"
            )
        self._set_aside(file)
        files.write_atomically(file, files.json_bytes(fields))

    def _set_aside(self, file: Path) -> None:
        if os.path.lexists(file):
            text = f"{file} was not as written; it is set aside as {move_aside(file).name} and written again"
            self.notices.append(warning("state-changed", text))

    def report(self, observer: Observer) -> None:
        """Pass on the notices that were not yet."""
        while self.notices:
            observer.notice(self.notices.pop(0))

    def store_sweep(self, sweep: Sweep) -> None:
        """Store the text and the origin of the sweep file, by which later commands find the sweep again, and the
        resolved text, for people."""
        if self.path is None or not self.writable:
            return
        data, file = sweep.resolved.encode(), self.path / SWEEP_FILE
        if not files.has_digest(file, files.digest(data)):
            before, origin = self.journal.fact(SweepText), self.journal.fact(Origin)
            if before is not None and origin is not None:
                written = resolved(before.text, origin.overrides, origin.name, origin.folder).encode()
                if not files.has_digest(file, files.digest(written)):
                    self._set_aside(file)
            files.write_atomically(file, data)
        self.journal.note(Origin(sweep.name, sweep.folder, sweep.overrides), SweepText(sweep.text))

    def close(self) -> None:
        self.journal.close()
        self._lock.close()


def move_locked_aside(path: Path, lock: ExitStack) -> Path:
    """Move a folder aside whose lock is held, give the lock up, and return the new path."""
    if not posix.LOCKS:  # Windows moves no folder in which a file is open: another command's lock protects it as well
        lock.close()
    aside = move_aside(path)
    lock.close()
    return aside


def check_trusted(folder: Path) -> None:
    """Raise StateError if others could have planted what is in a state directory, or could change it."""
    try:
        reason = distrust(folder)
    except OSError as error:
        found = f"{error.strerror}; choose another place with --state-dir"
        raise StateError(f"state directory {folder!s:.200}: cannot be used: {found}") from None
    if reason:
        raise StateError(
            f"{folder}: {reason}, so it is not used: what is stored there names code to import, and could have been "
            "planted. Make it yours alone, choose another --state-dir, or use it all the same with --trust"
        )


def predecessor_of(root: Path, name: str, fields: dict[str, Any]) -> Predecessor | None:
    """Return the latest stored sweep of this name, and how a new one with these fields differs from it."""
    for folder in sorted(matching(root, f"{name}-{'[0-9a-f]' * 8}"), key=time_of, reverse=True):
        found = read_table(folder / IDENTITY_FILE)
        if found is not None and folder.name == f"{name}-{identity_of(found)}":
            return Predecessor(folder.name, tuple(differences(as_written(found), as_written(fields))))
    return None


def best_run(folder: Path) -> Path | None:
    """Return the folder of a program's best run in a state directory, if it is there."""
    return next((path for path in sorted(folder.glob("run-*")) if path.is_dir()), None)


def exists(path: Path) -> bool:
    """Return whether a path exists; False if it cannot, e.g. with a name of 10,000 characters."""
    try:
        return path.exists()
    except OSError:
        return False


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return the paths below a folder that match a pattern; none if it cannot be read."""
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def time_of(folder: Path) -> float:
    """Return the time when the journal in a folder was last written; 0 if it cannot be told."""
    try:
        return (folder / JOURNAL).stat().st_mtime
    except OSError:
        return 0.0


def read_table(file: Path) -> dict[str, Any] | None:
    """Read a JSON file; return None if it is missing, or holds anything but a table."""
    try:
        with files.open_regular(file) as opened:
            found = json.loads(opened.read(LARGEST_TABLE))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType]


def identity_in(folder: Path) -> str:
    return folder.name.rpartition("-")[2]


def open_journal(folder: Path, *, check: bool = True) -> closing[Journal]:
    """Open the journal in a state directory for reading; this is safe while a command writes to it."""
    return closing(Journal(folder / JOURNAL, identity_in(folder), reading=True, check=check))


def peek_fact(folder: Path, kind: type[F]) -> F | None:
    """Read one fact in a state directory without checking its journal; return None if it cannot be read."""
    return peek(folder / JOURNAL, identity_in(folder), kind)


def finished_items(folder: Path) -> int | None:
    """Return the number of items that the stored result covers; None if there is no result."""
    stored = peek_fact(folder, StoredResult)
    return None if stored is None else stored.outcome.get("items")


def changed_files(folder: Path, stored: StoredResult) -> list[str]:
    """Return the names of result files that are missing, or that are not as the journal says."""
    wanted = {**stored.files, RESULT: files.digest(files.json_bytes(stored.outcome))}
    return [
        name for name, digest in wanted.items() if digest is not None and not files.has_digest(folder / name, digest)
    ]
