"""The durable record of finished parts; the only source of the result.

SQLite with a rollback journal: one writer, transactions, and a crash leaves the last commit. Floats are kept as raw
bytes, because SQLite's REAL stores NaN as NULL and returns -0.0 as 0.0.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optitrip.errors import InputError, Stopped
from optitrip.part import Part

APPLICATION_ID = 0x6F747270  # "otrp"
VERSION = 1
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE part (
    stage INTEGER NOT NULL, digest BLOB NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL,
    round INTEGER NOT NULL DEFAULT 0, -- a later one replaces rows that hold failures
    columns BLOB NOT NULL, failures BLOB NOT NULL, nanoseconds INTEGER NOT NULL, written INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (stage, digest, lo, hi, round)
) STRICT;
"""


class Journal:
    """The parts of one sweep, by (stage, digest, lo, hi), and a few facts about the sweep."""

    def __init__(self, path: Path) -> None:
        """Open or create a journal.

        Raises:
            InputError: if the file cannot be written, or is no journal of this version.
        """
        self.path = path
        try:
            self._database = sqlite3.connect(path, isolation_level=None, timeout=20)
            application, version = (self._pragma("application_id"), self._pragma("user_version"))
            if application == 0 and version == 0:
                self._database.executescript(
                    f"BEGIN; {SCHEMA} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; COMMIT;"
                )
            elif (application, version) != (APPLICATION_ID, VERSION):
                raise InputError(f"{path}: not a journal of this version of optitrip; --fresh sets it aside")
            self._database.execute("PRAGMA synchronous=EXTRA")
        except sqlite3.Error as error:
            raise InputError(f"{path}: the journal cannot be opened: {error}") from None
        if self.get("journal") is None:
            self.set(journal=uuid.uuid4().hex, created=time.time())

    def _pragma(self, name: str) -> int:
        return self._database.execute(f"PRAGMA {name}").fetchone()[0]

    def get(self, key: str) -> Any:
        """A fact, or None."""
        rows = self._read("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else None

    def _read(self, query: str, *values: Any) -> list[Any]:
        """The rows of a query.

        Raises:
            InputError: if the file is damaged.
        """
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: the journal cannot be read: {error}; --fresh sets it aside") from None

    def set(self, **facts: Any) -> None:
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        with self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """All or nothing.

        Raises:
            Stopped: if it cannot be written, e.g. because the disk is full; what was committed before stays.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise Stopped(f"{self.path}: the journal cannot be written: {error}") from None
        finally:
            if self._database.in_transaction:
                with suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")

    def write(self, stage: int, digest: bytes, parts: Sequence[tuple[Part, float]], written: int) -> list[range]:
        """Write parts, each with the seconds it took, in one transaction; when this returns they are durable.

        A part that is there already is left as it is. `written` is the time, in milliseconds since 1970.

        Returns:
            The ranges of which another outcome was there: the objective is not a function of its arguments.
        """
        different: list[range] = []
        with self._transaction():
            for part, seconds in parts:
                key = (stage, digest, part.items.start, part.items.stop)
                columns, failures = part.columns_bytes(), part.failures.to_bytes()
                row = (*key, columns, failures, round(seconds * 1e9), written, checksum(*key, columns, failures))
                done = self._database.execute("INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?)", row)
                if not done.rowcount:
                    (there,) = self._database.execute(
                        "SELECT columns FROM part WHERE stage = ? AND digest = ? AND lo = ? AND hi = ?", key
                    ).fetchone()
                    if there != columns:
                        different.append(part.items)
        return different

    def tiling(self, stage: int, digest: bytes, items: int) -> list[range]:
        """The rows that count: the chain from 0 that takes at each point the longest row that does not pass `items`."""
        rows = self._read(
            "SELECT lo, max(hi) FROM part WHERE stage = ? AND digest = ? AND hi <= ? GROUP BY lo ORDER BY lo",
            stage,
            digest,
            items,
        )
        chain: list[range] = []
        for lo, hi in rows:
            if lo >= (chain[-1].stop if chain else 0):
                chain.append(range(lo, hi))
        return chain

    def parts(self, stage: int, digest: bytes, tiles: Sequence[range]) -> Iterator[tuple[Part, int]]:
        """The parts of these ranges, each with the time it was written in milliseconds since 1970.

        Raises:
            InputError: if a row is not as it was written.
        """
        wanted = set(tiles)
        rows = self._read(
            "SELECT lo, hi, columns, failures, written, crc FROM part WHERE stage = ? AND digest = ? ORDER BY lo, hi",
            stage,
            digest,
        )
        for lo, hi, columns, failures, written, crc in rows:
            tile = range(lo, hi)
            if tile not in wanted:
                continue
            if checksum(stage, digest, lo, hi, columns, failures) != crc:
                raise InputError(
                    f"{self.path}: the row of stage {stage}, items {tile}, is damaged; --fresh starts over"
                )
            yield Part.from_bytes(tile, columns, failures), written

    def empty(self) -> bool:
        return not self._read("SELECT 1 FROM part LIMIT 1")

    def close(self) -> None:
        self._database.close()


def missing(tiles: Sequence[range], items: int) -> list[range]:
    """What a tiling lacks of [0, items)."""
    gaps: list[range] = []
    at = 0
    for tile in [*tiles, range(items, items)]:
        if tile.start > at:
            gaps.append(range(at, tile.start))
        at = tile.stop
    return gaps


def checksum(stage: int, digest: bytes, lo: int, hi: int, columns: bytes, failures: bytes) -> int:
    """CRC-32 of a row: a flipped bit in a page of its own passes SQLite's own checks."""
    head = f'[{stage}, "{digest.hex()}", {lo}, {hi}, {len(columns)}]'.encode()
    return zlib.crc32(failures, zlib.crc32(columns, zlib.crc32(head)))
