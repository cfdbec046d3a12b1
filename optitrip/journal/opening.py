"""Opens the file of a journal: checks its owner and all that is in it, and rebuilds it if it is damaged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from optitrip.errors import StateError
from optitrip.journal import database as recovery
from optitrip.journal.facts import Owner
from optitrip.journal.schema import APPLICATION_ID, SCHEMA, VERSION, fact_checksum

T = TypeVar("T")


def open_database(
    path: Path, sweep: str, part_checksum: recovery.Checksum, *, reading: bool
) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    """Open or create the database of a journal, and check all that is in it.

    Args:
        path: the file, or ":memory:".
        sweep: the identity of the sweep to which the journal has to belong.
        part_checksum: the checksum of a row of `part`.
        reading: only read, and rebuild nothing.

    Returns:
        The database, and what was damaged and left out, in words.

    Raises:
        StateError: if the file cannot be read or written, is no journal of this version or of another sweep.
    """
    damage: tuple[str, ...] = ()
    try:
        database = connect(path, sweep, reading=reading)
        if not recovery.undamaged(database, path, part_checksum):
            if reading:
                raise StateError(f"{path}: the journal is damaged; `optitrip sweep` rebuilds it from its intact rows")
            database.close()
            damage = recovery.rebuild(path, part_checksum)
            database = connect(path, sweep, reading=reading)
        database.execute("PRAGMA synchronous=EXTRA")
    except recovery.ERRORS as error:
        raise StateError(f"{path}: the journal cannot be opened: {error}; --fresh sets it aside") from None
    return database, damage


def connect(path: Path, sweep: str, *, reading: bool) -> sqlite3.Connection:
    """Connect to a journal of this version and this sweep; create its tables in a new file.

    Raises:
        StateError: if the file is another database, or the journal of another sweep.
    """
    address = f"{path.absolute().as_uri()}?mode=rw" if reading else path
    database = sqlite3.connect(address, isolation_level=None, timeout=20, uri=reading)
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        new = not reading and application == version == 0
        if new and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
            database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        elif (application, version) != (APPLICATION_ID, VERSION):
            raise StateError(f"{path}: not a journal of this version of optitrip; --fresh sets it aside")
        check_owner(database, path, sweep)
    except BaseException:
        database.close()
        raise
    return database


def check_owner(database: sqlite3.Connection, path: Path, sweep: str) -> None:
    """Check that no intact row names another sweep: this sweep's checksums would not fit that one's rows.

    Raises:
        StateError: if one does.
    """
    row: tuple[Any, ...] | None = None
    with suppress(*recovery.ERRORS):
        row = database.execute("SELECT * FROM meta WHERE key = ?", (Owner.KEY,)).fetchone()
    if not row or not recovery.all_intact([row], fact_checksum):
        return
    owner = decode_fact(path, Owner.KEY, row[1], Owner.from_json)
    if owner and owner.identity != sweep:
        raise StateError(
            f"{path}: the journal of another sweep ({owner.identity}, wanted {sweep}); --fresh sets it aside"
        )


def decode_fact(path: Path, key: str, text: str, from_json: Callable[[Any], T]) -> T | None:
    """Decode the text of a fact of a journal; return None for null.

    Raises:
        StateError: if it is not of the fact's form.
    """
    try:
        value = json.loads(text)
        return None if value is None else from_json(value)
    except ValueError as error:
        raise StateError(f"{path}: the record of {key!r} is damaged: {error}; --fresh sets it aside") from None
