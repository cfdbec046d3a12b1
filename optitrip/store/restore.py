"""Begins a sweep from a copy of its journal that an earlier command made elsewhere.

The rule: rows that the copy has and the journal here lacks are added to it; without any rows here, the copy becomes the
journal. So nothing that is stored here is lost, and nothing that is stored there is evaluated again.
"""

import re
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences
from optitrip.core.notice import Notice, info, warning
from optitrip.errors import StateError
from optitrip.journal.copies import FILES, Copy, add_rows, described
from optitrip.journal.database import ERRORS, connect, definitions, expected_definitions
from optitrip.journal.facts import Accepted, Provenance, StoredResult
from optitrip.journal.journal import Journal, peek
from optitrip.runtime import files, posix
from optitrip.runtime.remote import Folder, Remote
from optitrip.store.ownership import distrust
from optitrip.store.probe import check_file_system
from optitrip.store.state_dir import IDENTITY_FILE, JOURNAL, RESULT, SWEEP_FILE, check_trusted, peek_fact

TRIES = 3
"""Number of times that a copy is read: another command may replace it in the meantime."""
OWN = {IDENTITY_FILE, SWEEP_FILE, RESULT, "lock"}
"""Files of a state directory that are no result files, beside the journal and those of SQLite beside it."""


class Restore:
    """Brings the copy of a sweep's journal from a remote into a state directory."""

    def __init__(self, remote: Remote, place: str, label: str, path: Path, sweep: Sweep) -> None:
        """Prepare to restore the copy in the folder `label` of a remote; `place` is the remote's name in messages."""
        self._remote, self._place, self._label, self._path, self._sweep = remote, place, label, path, sweep

    def __call__(self, notify: Callable[[Notice], None], *, trust: bool, accept_changes: bool) -> str | None:
        """Restore the journal; return the writer of its copy, None if nothing was copied there yet.

        Raise StateError if the copy is damaged, of another sweep, or could have been planted by others, unless it is to
        be trusted; raise OSError if it cannot be read.
        """
        if not trust:
            self._check_trusted()
        with TemporaryDirectory(prefix="optitrip-") as scratch:
            if self._read(Path(scratch)) is None:
                text = f"nothing was copied to {self._place} for {self._label} yet, so nothing is restored from there"
                notify(info("mirror", text))
                return None
        check_file_system(self._path)
        lock = files.lock_folder(self._path)
        try:
            copy, arrived = self._fetch()
            try:
                text = self._join(arrived, notify, accept_changes=accept_changes)
            finally:
                arrived.unlink(missing_ok=True)
        finally:
            lock.release()
        if text:
            notify(info("mirror", f"{text} from the copy in {self._place}"))
        return copy.writer

    def _check_trusted(self) -> None:
        check_trusted(self._path)
        if isinstance(self._remote, Folder) and (reason := distrust(self._remote.path / self._label)):
            raise StateError(
                f"{self._place}: {reason}, so nothing is restored from it: it could have been planted. Make it yours "
                "alone, or use it all the same with --trust"
            )

    def _read(self, folder: Path) -> Copy | None:
        try:
            return described(self._remote, self._label, folder / f"{JOURNAL}.copy")
        except StateError as error:
            raise StateError(
                f"{self._place}: {error}; nothing is restored. Choose another --restore, or none"
            ) from None

    def _fetch(self) -> tuple[Copy, Path]:
        """Copy the journal beside that of the state directory, and check that it is whole and of this sweep."""
        arrived = self._path / f"{JOURNAL}.restored"
        for _ in range(TRIES):
            copy = self._read(self._path)
            if copy is None:
                break
            with suppress(FileNotFoundError):
                self._remote.get(f"{self._label}/{copy.file}", arrived)
                if files.has_digest(arrived, copy.digest):
                    self._check_owner(arrived)
                    return copy, arrived
                arrived.unlink()
        raise StateError(
            f"{self._place}: the copy of {self._label} is damaged: its journal is not as its description says; nothing "
            "is restored. Without --restore all items are evaluated"
        )

    def _check_owner(self, arrived: Path) -> None:
        try:
            with closing(connect(arrived, self._sweep.identity, reading=True)) as database:
                sound = definitions(database) == expected_definitions()
        except (StateError, *ERRORS):
            sound = False
        if not sound:
            arrived.unlink()
            other = f"{self._place}: the journal there is of another sweep or version of optitrip"
            raise StateError(f"{other}; nothing is restored. Choose another --restore, or none")

    def _join(self, arrived: Path, notify: Callable[[Notice], None], *, accept_changes: bool) -> str:
        """Make the copy the journal, or add what the journal lacks; return what was done, empty if it lacks nothing."""
        journal = self._path / JOURNAL
        if files.is_regular(journal):
            with closing(Journal(journal, self._sweep.identity)) as here:  # rebuilds a damaged one
                unused = here.empty()
            for damage in here.damage:
                notify(warning("journal-damaged", f"the journal was damaged: {damage}"))
            if unused:
                files.move_aside(journal)
        if not files.is_regular(journal):
            arrived.replace(journal)
            posix.sync_folder(self._path)
            self._bring_files()
            return f"the journal of {self._label} was restored"
        if not accept_changes:
            self._check_same(arrived)
        rows = add_rows(journal, self._sweep.identity, arrived)
        return f"{rows:,} parts that the journal in {self._path} lacked were added" if rows else ""

    def _check_same(self, arrived: Path) -> None:
        """Raise StateError if the parts here and there were evaluated with different code, data or libraries."""
        here, there = peek_fact(self._path, Provenance), peek(arrived, self._sweep.identity, Provenance)
        tables = [fact.to_json() if fact else {} for fact in (here, there)]
        both = set.intersection(*(set(table.get("modules", ())) for table in tables))  # others were not imported
        tables = [{**table, "modules": {n: table.get("modules", {})[n] for n in sorted(both)}} for table in tables]
        changed = differences(*tables)
        accepted = peek_fact(self._path, Accepted), peek(arrived, self._sweep.identity, Accepted)
        if changed or accepted[0] != accepted[1]:
            listed = "".join(f"\n  {line}" for line in changed or ["accepted changes"])
            raise StateError(
                f"the parts in {self._path} and those in {self._place} were evaluated with different code, data or "
                f"libraries:{listed}\nnothing is restored. Leave out --restore to go on with those here, move "
                f"{self._path} away to go on with those there, or join both with --accept-changes"
            )

    def _bring_files(self) -> None:
        """Copy the result files that the journal knows; what is missing or damaged is made again from the journal."""
        stored = peek_fact(self._path, StoredResult)
        if stored is None:
            return
        for name, digest in stored.files.items():
            if not (is_result_name(name) and isinstance(digest, str)) or (self._path / name).exists():
                continue
            arrived = self._path / f"{JOURNAL}.restored"
            with suppress(OSError):
                self._remote.get(f"{self._label}/{FILES}/{name}", arrived)
                if files.has_digest(arrived, digest):
                    arrived.replace(self._path / name)
        files.write_atomically(self._path / RESULT, files.json_bytes(stored.outcome))


def is_result_name(name: Any) -> bool:
    """Return whether a name can be that of a result file: of a file in the state directory that has no other duty."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) if isinstance(name, str) else None
    return plain is not None and name not in OWN and not name.startswith(JOURNAL)
