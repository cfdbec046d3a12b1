"""Opens the file of a journal: checks whose it is and that all of it is as it was written, and mends it if not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from optitrip.errors import StateError
from optitrip.journal import recovery
from optitrip.journal.facts import Owner
from optitrip.journal.schema import APPLICATION_ID, INSERT, SCHEMA, VERSION, fact_checksum

T = TypeVar("T")


def open_database(
    path: Path, sweep: str, part_checksum: recovery.Checksum, *, reading: bool
) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    """Open or create the database of a journal, and check all that is in it.

    Args:
        path: of the file, ":memory:" for none.
        sweep: the identity of the sweep whose journal it has to be.
        part_checksum: that of a row of `part`.
        reading: only read, and mend nothing.

    Returns:
        The database, and what was damaged and left out, in words.

    Raises:
        StateError: if the file cannot be read or written, is no journal of this version or of another sweep.
    """
    lost: tuple[str, ...] = ()
    try:
        database = connect(path, sweep, reading=reading)
        if not recovery.sound(database, path, SCHEMA, part_checksum, fact_checksum):
            if reading:
                raise StateError(f"{path}: the journal is damaged; `optitrip sweep` mends it")
            database.close()
            lost = recovery.mend(path, SCHEMA, INSERT, part_checksum, fact_checksum)
            database = connect(path, sweep, reading=reading)
        database.execute("PRAGMA synchronous=EXTRA")
    except recovery.ERRORS as error:
        raise StateError(f"{path}: the journal cannot be opened: {error}; --fresh sets it aside") from None
    return database, lost


def connect(path: Path, sweep: str, *, reading: bool) -> sqlite3.Connection:
    """Connect to a journal of this version and this sweep; create its tables in a new file.

    Raises:
        StateError: if it is no such journal.
    """
    where = f"{path.absolute().as_uri()}?mode=rw" if reading else path
    database = sqlite3.connect(where, isolation_level=None, timeout=20, uri=reading)
    try:
        application, version = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application == 0 and version == 0 and not reading and recovery.empty(database):
            database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        elif (application, version) != (APPLICATION_ID, VERSION):
            raise StateError(f"{path}: not a journal of this version of optitrip; --fresh sets it aside")
        check_owner(database, path, sweep)
    except BaseException:
        database.close()
        raise
    return database


def check_owner(database: sqlite3.Connection, path: Path, sweep: str) -> None:
    """Go on unless an intact row tells of another sweep: to that one's rows, this one's checksums would not fit.

    Raises:
        StateError: if it does.
    """
    row: tuple[Any, ...] | None = None
    with suppress(*recovery.ERRORS):
        row = database.execute("SELECT * FROM meta WHERE key = ?", (Owner.KEY,)).fetchone()
    if not row or not recovery.intact(row, fact_checksum):
        return
    owner = decoded_fact(path, Owner.KEY, row[1], Owner.from_json)
    if owner and owner.identity != sweep:
        raise StateError(
            f"{path}: the journal of another sweep ({owner.identity}, wanted {sweep}); --fresh sets it aside"
        )


def decoded_fact(path: Path, key: str, text: str, decode: Callable[[Any], T]) -> T | None:
    """Decode the text of a fact of a journal; return None for null.

    Raises:
        StateError: if it is not of the fact's form.
    """
    try:
        value = json.loads(text)
        return None if value is None else decode(value)
    except ValueError as error:
        raise StateError(f"{path}: the record of {key!r} is damaged: {error}; --fresh sets it aside") from None
