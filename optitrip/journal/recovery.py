"""What is done about a damaged journal: all sound rows go into a new file, the old one is kept beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

from optitrip.errors import StateError
from optitrip.runtime.background import BackgroundCall

ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises; the second where a message of SQLite's holds a damaged name."""
LARGE = 2**24
"""Bytes, above which another thread is worth its while."""
Checksum = Callable[..., int]
"""Of a row without its last column, which holds it."""


def empty(database: sqlite3.Connection) -> bool:
    """Whether there is no table yet: a file that was just made."""
    return database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def tables(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Names and definitions, as they were written: a flipped bit in one renames a column."""
    return database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()


@cache
def tables_of(schema: str) -> list[tuple[str, str]]:
    """The same of a new journal."""
    with closing(sqlite3.connect(":memory:")) as right:
        right.executescript(schema)
        return tables(right)


def sound(
    database: sqlite3.Connection, path: Path, schema: str, part_checksum: Checksum, fact_checksum: Checksum
) -> bool:
    """Whether SQLite finds its structure whole and every row is as it was written; of a large one both at a time."""
    try:
        apart = BackgroundCall(lambda: structure_apart(path)) if path.exists() and path.stat().st_size > LARGE else None
        return (
            tables(database) == tables_of(schema)
            and all_intact(database.execute("SELECT * FROM part NOT INDEXED"), part_checksum)
            and all_intact(database.execute("SELECT * FROM meta NOT INDEXED"), fact_checksum)
            and (apart.result() if apart else structure(database))
        )
    except ERRORS as error:
        # SQLITE_ERROR: a schema in other words; None: text that is no UTF-8. A lock or a disk that does not answer is
        # no damage.
        if primary(error) in (None, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT):
            return False
        raise


def structure(database: sqlite3.Connection) -> bool:
    return database.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)


def structure_apart(path: Path) -> bool:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=20, uri=True)) as database:
        return structure(database)


def primary(error: Exception) -> int | None:
    """SQLite's code without its details; None where the error is not SQLite's own."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def intact(row: tuple[Any, ...], checksum: Checksum) -> bool:
    return all_intact([row], checksum)


def all_intact(rows: Iterable[tuple[Any, ...]], checksum: Checksum) -> bool:
    """Whether each is as it was written; there may be a million."""
    try:
        for *values, crc in rows:
            if checksum(*values) != crc:
                return False
    except (TypeError, ValueError, AttributeError, struct.error):  # a number where bytes should be, and the like
        return False
    return True


def mend(path: Path, schema: str, insert: str, part_checksum: Checksum, fact_checksum: Checksum) -> tuple[str, ...]:
    """Replace a damaged journal by one of its sound rows.

    Returns:
        What was lost, in words, and where the old file is.

    Raises:
        StateError: if nothing can be read.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as damaged:
        damaged.text_factory = decoded
        parts, broken = read(damaged, "part", part_checksum)
        facts, broken_facts = read(damaged, "meta", fact_checksum)
    if not parts and not facts:
        raise StateError(f"{path}: the journal is damaged and nothing in it can be read; --fresh sets it aside")
    new = path.with_name(path.name + ".mended")
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(new, isolation_level=None)) as mended:
        mended.executescript(f"BEGIN; {schema} COMMIT; PRAGMA synchronous=EXTRA; BEGIN;")
        mended.executemany(insert, parts)
        mended.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?, ?)", facts)
        mended.execute("COMMIT")
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    shutil.copyfile(path, kept)  # before the new one takes its name: there is a journal at every moment
    os.replace(new, path)
    named = [f"the row of stage {row[0]}, items {row[2]} to {row[3] - 1}" for row in broken if whole(row)]
    named += [f"the record of {row[0]}" for row in broken_facts]
    return (*named, f"perhaps rows that could not be read; {len(parts):,} are kept", f"the old file is {kept}")


def decoded(text: bytes) -> str:
    return text.decode(errors="replace")


def whole(row: tuple[Any, ...]) -> bool:
    return all(isinstance(row[place], int) for place in (0, 2, 3))


def read(database: sqlite3.Connection, table: str, checksum: Checksum) -> tuple[list[Any], list[Any]]:
    """The intact rows of a table, and those that can be read but are not intact.

    From both ends, since a page that cannot be read ends a scan.
    """
    found: dict[int, Any] = {}
    for way in ("ASC", "DESC"):
        with suppress(*ERRORS):
            for number, *row in database.execute(f"SELECT rowid, * FROM {table} NOT INDEXED ORDER BY rowid {way}"):
                found[number] = tuple(row)
    rows = [found[number] for number in sorted(found)]
    return [row for row in rows if intact(row, checksum)], [row for row in rows if not intact(row, checksum)]
