"""Finds damage in a journal, and rebuilds it from its intact rows; the damaged file is stored beside the new one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from optitrip.errors import StateError
from optitrip.journal.schema import INSERT, SCHEMA, fact_checksum
from optitrip.runtime.background import BackgroundCall

ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""Exceptions that reading a damaged file raises; the second where a message of SQLite's holds a damaged name."""
LARGE = 2**24
"""Size of a file, in bytes, above which a second thread checks faster."""
Checksum = Callable[..., int]
"""Function from a row without its last column to that column, the checksum."""


def table_definitions(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return names and definitions of tables, as they were written: a flipped bit in one renames a column."""
    return database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()


@cache
def new_table_definitions() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)
        return table_definitions(database)


def undamaged(database: sqlite3.Connection, path: Path, part_checksum: Checksum) -> bool:
    """Return True if all rows are as they were written and SQLite finds the structure of the file intact.

    The structure of a large file is checked in a thread while rows are read.
    """
    try:
        large = path.exists() and path.stat().st_size > LARGE
        structure = BackgroundCall(partial(structure_intact_apart, path)) if large else None
        return (
            table_definitions(database) == new_table_definitions()
            and all_intact(database.execute("SELECT * FROM part NOT INDEXED"), part_checksum)
            and all_intact(database.execute("SELECT * FROM meta NOT INDEXED"), fact_checksum)
            and (structure.result() if structure else structure_intact(database))
        )
    except ERRORS as error:
        code = getattr(error, "sqlite_errorcode", None)
        # SQLITE_ERROR: a schema in other words; None: text that is no UTF-8. A lock or a disk that does not answer is
        # no damage. The upper bytes of a code are details.
        if code is None or code & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT):
            return False
        raise


def structure_intact(database: sqlite3.Connection) -> bool:
    return database.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)


def structure_intact_apart(path: Path) -> bool:
    """Check the structure through a connection of its own, for another thread."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=20, uri=True)) as database:
        return structure_intact(database)


def all_intact(rows: Iterable[tuple[Any, ...]], checksum: Checksum) -> bool:
    """Return True if every row has the checksum that it was written with; there may be a million rows."""
    try:
        for *values, crc in rows:
            if checksum(*values) != crc:
                return False
    except (TypeError, ValueError, AttributeError, struct.error):  # a number where bytes should be, and the like
        return False
    return True


def rebuild(path: Path, part_checksum: Checksum) -> tuple[str, ...]:
    """Replace a damaged journal by a new one with its intact rows.

    Returns:
        What was left out, in words, and where the damaged file is.

    Raises:
        StateError: if nothing can be read.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.text_factory = partial(str, encoding="utf-8", errors="replace")
        parts, damaged_parts = readable_rows(database, "part", part_checksum)
        facts, damaged_facts = readable_rows(database, "meta", fact_checksum)
    if not parts and not facts:
        raise StateError(f"{path}: the journal is damaged and nothing in it can be read; --fresh sets it aside")
    new = path.with_name(path.name + ".mended")
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(new, isolation_level=None)) as database:
        database.executescript(f"BEGIN; {SCHEMA} COMMIT; PRAGMA synchronous=EXTRA; BEGIN;")
        database.executemany(INSERT, parts)
        database.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?, ?)", facts)
        database.execute("COMMIT")
    number = 1
    while (copy := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    shutil.copyfile(path, copy)  # before the new one takes its name: there is a journal at every moment
    os.replace(new, path)
    left_out = [
        f"the row of stage {stage}, items {lo} to {hi - 1}, is left out and evaluated again"
        for stage, _, lo, hi, *_ in damaged_parts
        if all(isinstance(number, int) for number in (stage, lo, hi))
    ]
    left_out += [f"the record of {key} is left out" for key, *_ in damaged_facts]
    unread = f"rows that could not be read, if there were any, are evaluated again; {len(parts):,} rows are intact"
    return (*left_out, unread, f"the damaged file is stored as {copy}")


def readable_rows(database: sqlite3.Connection, table: str, checksum: Checksum) -> tuple[list[Any], list[Any]]:
    """Return the intact rows of a table, and those that can be read but are not intact.

    The table is read from both ends, since a page that cannot be read ends a scan.
    """
    found: dict[int, Any] = {}
    for order in ("ASC", "DESC"):
        with suppress(*ERRORS):
            for number, *row in database.execute(f"SELECT rowid, * FROM {table} NOT INDEXED ORDER BY rowid {order}"):
                found[number] = tuple(row)
    rows = [found[number] for number in sorted(found)]
    return [row for row in rows if all_intact([row], checksum)], [
        row for row in rows if not all_intact([row], checksum)
    ]
