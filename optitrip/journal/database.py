"""The database of a journal: tables and checksums; opening, checking, and rebuilding from intact rows."""

import json
import os
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import cache, lru_cache, partial
from pathlib import Path
from stat import S_IMODE
from typing import Any, TypeVar

from optitrip.errors import StateError
from optitrip.journal.facts import Owner
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.files import is_regular, open_new, remove_or_move_aside, unused_path

T = TypeVar("T")
Checksum = Callable[..., int]
APPLICATION_ID = 0x6F747270  # "otrp"
VERSION = 4
SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE part (
    stage INTEGER NOT NULL, digest BLOB NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL,
    attempt INTEGER NOT NULL, -- 0 is the first; later ones are of what failed before
    columns BLOB NOT NULL, failures BLOB NOT NULL, nanoseconds INTEGER NOT NULL, written INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (stage, digest, lo, hi, attempt)
) STRICT;
PRAGMA application_id={APPLICATION_ID};
PRAGMA user_version={VERSION};
"""
INSERT = "INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
NUMBERS = struct.Struct("<7q")
ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""Exceptions raised by reading a damaged file; the second if SQLite's error message quotes a damaged name."""
CHECK_STRUCTURE = "PRAGMA integrity_check(1)"
LARGEST_LOSS = 2**36
"""Number of bytes that a journal may lack at its end to be rebuilt."""
LARGE = 2**24
"""File size, in bytes, above which checking in a second thread is faster."""


def open_database(
    path: Path, sweep: str, *, reading: bool, check: bool = True
) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    """Open or create the database, as `Journal` describes; return it with descriptions of the damage left out."""
    damage: tuple[str, ...] = ()
    if os.path.lexists(path) and not is_regular(path):
        raise StateError(f"{path}: not a regular file, so it is no journal; --fresh sets it aside")
    try:
        connected = connect_undamaged if check else connect
        database = connected(path, sweep, reading=reading)
        if database is None:
            if reading:
                raise StateError(f"{path}: the journal is damaged; `optitrip sweep` rebuilds it from its intact rows")
            damage = rebuild(path, sweep)
            database = connect(path, sweep, reading=reading)
        database.execute("PRAGMA synchronous=EXTRA")
    except (*ERRORS, OSError) as error:
        raise StateError(f"{path}: the journal cannot be opened: {error}; --fresh sets it aside") from None
    return database, damage


def connect_undamaged(path: Path, sweep: str, *, reading: bool) -> sqlite3.Connection | None:
    """Connect to a journal and check all of it; return None if it is damaged."""
    try:
        database = connect(path, sweep, reading=reading)
    except ERRORS as error:  # e.g. its end is missing
        if not is_damage(error) or not declared_size(path):
            raise
        return None
    if undamaged(database, path, sweep):
        return database
    database.close()
    return None


def declared_size(path: Path) -> int:
    """Return the number of bytes that a journal has by its first bytes; 0 for any other file."""
    with path.open("rb") as file:
        head = file.read(100)
    if head[:16] != b"SQLite format 3\0" or len(head) < 100:
        return 0
    page, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    version, application = int.from_bytes(head[60:64], "big"), int.from_bytes(head[68:72], "big")
    return pages * (65_536 if page == 1 else page) if (application, version) == (APPLICATION_ID, VERSION) else 0


def connect(path: Path, sweep: str, *, reading: bool) -> sqlite3.Connection:
    """Connect to a journal, creating tables in a new file; raise StateError if its version or sweep differs."""
    address = f"{path.absolute().as_uri()}?mode=rw" if reading else path
    if not reading and path != Path(":memory:"):
        with suppress(FileExistsError):
            open_new(path).close()  # SQLite would leave its mode to the umask; its own files get that of this one
    database = sqlite3.connect(address, isolation_level=None, timeout=20, uri=reading)
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        unused = not reading and application == version == 0
        if unused and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
            database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        elif (application, version) != (APPLICATION_ID, VERSION):
            raise StateError(f"{path}: not a journal of this version of optitrip; --fresh sets it aside")
        with suppress(*ERRORS):
            if definitions(database) == expected_definitions():
                check_owner(path, database.execute("SELECT * FROM meta WHERE key = ?", (Owner.key,)).fetchall(), sweep)
    except BaseException:
        database.close()
        raise
    return database


def check_owner(path: Path, facts: Sequence[Any], sweep: str) -> None:
    """Raise StateError if these rows say that the journal is of another sweep; a damaged row proves nothing."""
    for row in facts:
        if row[0] == Owner.key and all_intact([row], fact_checksum):
            owner = decode_fact(path, Owner.key, row[1], Owner.from_json)
            if owner and owner.identity != sweep:  # this sweep's checksums would not match the rows
                other = f"the journal of another sweep ({owner.identity}, wanted {sweep})"
                raise StateError(f"{path}: {other}; --fresh sets it aside")


def decode_fact(path: Path, key: str, text: str, from_json: Callable[[Any], T]) -> T | None:
    """Decode a stored fact; return None for null, raise StateError if the text does not have the fact's form."""
    try:
        value = json.loads(text)
        return None if value is None else from_json(value)
    except (ValueError, RecursionError) as error:
        raise StateError(f"{path}: the record of {key!r} is damaged: {error}; --fresh sets it aside") from None


def undamaged(database: sqlite3.Connection, path: Path, sweep: str) -> bool:
    """Return True if all checksums match and SQLite finds the structure of the file intact."""

    def structure_intact() -> bool:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=20, uri=True)) as separate:
            return separate.execute(CHECK_STRUCTURE).fetchone() == ("ok",)

    try:
        large = path.exists() and path.stat().st_size > LARGE
        structure = BackgroundCall(structure_intact) if large else None  # runs while rows are read
        return (
            definitions(database) == expected_definitions()
            and all_intact(database.execute("SELECT * FROM part NOT INDEXED"), partial(part_checksum, sweep))
            and all_intact(database.execute("SELECT * FROM meta NOT INDEXED"), fact_checksum)
            and (structure.result() if structure else database.execute(CHECK_STRUCTURE).fetchone() == ("ok",))
        )
    except ERRORS as error:
        if is_damage(error):
            return False
        raise


def is_damage(error: Exception) -> bool:
    """Return whether an error means that the file is damaged; a lock or a failing disk is not damage."""
    code = getattr(error, "sqlite_errorcode", None)
    # SQLITE_ERROR: the schema is garbled; None: text is not UTF-8. The upper bytes of a code are details.
    return code is None or code & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT)


def definitions(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return names and definitions of the tables, and of any trigger or view, which a journal does not have.

    A flipped bit in a definition may rename a column.
    """
    return database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()


@cache
def expected_definitions() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(SCHEMA)
        return definitions(new)


def all_intact(rows: Iterable[tuple[Any, ...]], checksum: Checksum) -> bool:
    """Return True if the last column of each row is the checksum of the others; there may be a million rows."""
    try:
        for *values, crc in rows:
            if checksum(*values) != crc:
                return False
    except (TypeError, ValueError, AttributeError, struct.error):  # e.g. a number in place of bytes
        return False
    return True


def rebuild(path: Path, sweep: str) -> tuple[str, ...]:
    """Replace a damaged journal by one with its intact rows; return messages about losses and the old file."""
    size = path.stat().st_size
    if 0 < (missing := declared_size(path) - size) < LARGEST_LOSS:
        os.truncate(path, size + missing)  # SQLite reads no file that is too short; zeros are damage like any other
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.text_factory = partial(str, encoding="utf-8", errors="replace")
            parts, damaged_parts = readable_rows(database, "part", partial(part_checksum, sweep))
            facts, damaged_facts = readable_rows(database, "meta", fact_checksum)
    finally:
        if missing > 0:
            os.truncate(path, size)
    check_owner(path, facts, sweep)
    if not parts and not facts:
        raise StateError(f"{path}: the journal is damaged and nothing in it can be read; --fresh sets it aside")
    new = path.with_name(path.name + ".mended")
    for left in (new, new.with_name(new.name + "-journal")):
        remove_or_move_aside(left)
    open_new(new).close()  # SQLite would follow a link
    with suppress(OSError):  # e.g. a file system without modes
        new.chmod(S_IMODE(path.stat().st_mode))
    with closing(sqlite3.connect(new, isolation_level=None)) as database:
        database.executescript(f"BEGIN; {SCHEMA} COMMIT; PRAGMA synchronous=EXTRA; BEGIN;")
        database.executemany(INSERT, parts)
        database.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?, ?)", facts)
        database.execute("COMMIT")
    copy = unused_path(path, "damaged")
    with path.open("rb") as damaged, open_new(copy) as file:
        shutil.copyfileobj(damaged, file)  # a copy, so that the journal exists at every moment
    new.replace(path)
    left_out = [
        f"the row of stage {stage}, items {lo} to {hi - 1}, is left out and evaluated again"
        for stage, _, lo, hi, *_ in damaged_parts
        if all(isinstance(number, int) for number in (stage, lo, hi))
    ]
    left_out += [f"the record of {key} is left out" for key, *_ in damaged_facts]
    unread = f"any unreadable rows are evaluated again; {len(parts):,} rows are intact"
    return (*left_out, unread, f"the damaged file is stored as {copy}")


def readable_rows(database: sqlite3.Connection, table: str, checksum: Checksum) -> tuple[list[Any], list[Any]]:
    """Return the intact rows of a table, and those that are readable but damaged."""
    found: dict[int, Any] = {}
    query = f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid > ? ORDER BY rowid"
    last, skipped = 0, 1
    while last < 2**62:
        try:
            for number, *row in database.execute(query, (last,)):
                found[number] = tuple(row)
                if number > last:  # a damaged page may hold any number: going back would never end
                    last, skipped = number, 1
            break
        except ERRORS:  # an unreadable page ends a scan; the next one starts beyond it
            last += skipped
            skipped *= 2
    rows: tuple[list[Any], list[Any]] = [], []
    for _, row in sorted(found.items()):
        rows[0 if all_intact([row], checksum) else 1].append(row)
    return rows


def part_checksum(sweep: str, *row: Any) -> int:
    """Return the CRC-32 of a row of `part`, without its last column, and of its sweep and method."""
    stage, digest, lo, hi, attempt, columns, failures, nanoseconds, written = row
    numbers = NUMBERS.pack(stage, lo, hi, attempt, len(columns), nanoseconds, written)
    return zlib.crc32(numbers + columns + failures, owner_checksum(sweep, digest))


@lru_cache(64)
def owner_checksum(sweep: str, digest: bytes) -> int:
    return zlib.crc32(digest, zlib.crc32(f"{sweep}\n".encode()))


def fact_checksum(key: str, text: str) -> int:
    return zlib.crc32(f"{key}\n{text}".encode())
