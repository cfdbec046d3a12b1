"""The durable record of finished parts; the only source of the result.

SQLite with a rollback journal: one writer, transactions, and a crash leaves the last commit. Floats are kept as raw
bytes, because SQLite's REAL stores NaN as NULL and returns -0.0 as 0.0. Every row has a checksum, because a flipped bit
in a page of its own passes SQLite's own checks; all are checked on opening, before anything is made of them.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import time
import uuid
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from optitrip.driver import rescue
from optitrip.driver.strung import Row, Strung
from optitrip.errors import InputError, Stopped
from optitrip.part import NO_FAILURES, Part

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


ROWS_AT_ONCE = 256
STRUNG_ROWS, STRUNG_BYTES = 4_096, 2**24
"""So much is taken from the file at once, where it is to be merged anyway."""


class Unwritable(Stopped):
    """The journal cannot be written now, e.g. because the disk is full; what was committed before stays."""


class Journal:
    """The parts of one sweep, by (stage, digest, lo, hi), and a few facts about the sweep."""

    def __init__(self, path: Path, sweep: str = "", *, reading: bool = False) -> None:
        """Open or create a journal, and check all that is in it.

        What is damaged is left out, and told in `lost`; the file as it was is kept beside the mended one.

        Args:
            path: of the file, ":memory:" for none.
            sweep: the identity of the sweep whose parts these are; no row of another one passes for its own.
            reading: only read; whoever writes it meanwhile goes on.

        Raises:
            InputError: if the file cannot be read or written, is no journal of this version or of another sweep.
        """
        self.path, self._sweep = path, sweep
        self.lost: tuple[str, ...] = ()
        """What was damaged, in words."""
        try:
            self._database = self._open(reading)
            if not rescue.sound(self._database, path, SCHEMA, self.checksum, fact_checksum):
                if reading:
                    raise InputError(f"{path}: the journal is damaged; `optitrip sweep` mends it")
                self._database.close()
                self.lost = rescue.mend(path, SCHEMA, INSERT, self.checksum, fact_checksum)
                self._database = self._open(reading)
            self._database.execute("PRAGMA synchronous=EXTRA")
        except rescue.ERRORS as error:
            raise InputError(f"{path}: the journal cannot be opened: {error}; --fresh sets it aside") from None
        self._epoch = 1 + (self.get("epoch") or 0)
        if not reading:
            self._take_over()

    def _open(self, reading: bool) -> sqlite3.Connection:
        where = f"{self.path.absolute().as_uri()}?mode=rw" if reading else self.path
        database = sqlite3.connect(where, isolation_level=None, timeout=20, uri=reading)
        try:
            application, version = (
                database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if application == 0 and version == 0 and not reading and rescue.empty(database):
                database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            elif (application, version) != (APPLICATION_ID, VERSION):
                raise InputError(f"{self.path}: not a journal of this version of optitrip; --fresh sets it aside")
            self._check_owner(database)
        except BaseException:
            database.close()
            raise
        return database

    def _check_owner(self, database: sqlite3.Connection) -> None:
        """Go on unless an intact row tells of another sweep: to that one's rows, this one's checksums would not fit."""
        row: tuple[Any, ...] | None = None
        with suppress(*rescue.ERRORS):
            row = database.execute("SELECT * FROM meta WHERE key = 'sweep'").fetchone()
        if row and rescue.intact(row, fact_checksum) and json.loads(row[1]) != self._sweep:
            raise InputError(
                f"{self.path}: the journal of another sweep ({json.loads(row[1])}, wanted {self._sweep}); "
                "--fresh sets it aside"
            )

    def _take_over(self) -> None:
        """Fence off whoever wrote before: a lock may fail on a network's disk, a transaction does not."""
        facts: dict[str, Any] = {"epoch": self._epoch}
        if self.get("journal") is None:
            facts |= {"journal": uuid.uuid4().hex, "created": time.time(), "sweep": self._sweep}
        with self._transaction(fenced=False):
            self._set(facts)

    def get(self, key: str) -> Any:
        """A fact, or None."""
        rows = self._read("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else None

    def _read(self, query: str, *values: Any) -> list[Any]:
        """The rows of a query.

        Raises:
            InputError: if the file is damaged.
        """
        return list(self._rows(query, *values))

    def _rows(self, query: str, *values: Any) -> Iterator[Any]:
        """The same one by one."""
        try:
            cursor = self._database.execute(query, values)
            while some := cursor.fetchmany(ROWS_AT_ONCE):
                yield from some
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: the journal cannot be read: {error}; --fresh sets it aside") from None

    def set(self, **facts: Any) -> None:
        with self._transaction():
            self._set(facts)

    def _set(self, facts: Mapping[str, Any]) -> None:
        texts = {key: json.dumps(value) for key, value in facts.items()}
        rows = [(key, text, fact_checksum(key, text)) for key, text in texts.items()]
        self._database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", rows)

    def begun(self, stage: int, digest: bytes, kind: str, items: int) -> None:
        """Note which method a stage has, for those who read the journal without knowing the route."""
        fact = [digest.hex(), kind, items]
        if self.get(f"stage {stage}") != fact:
            self.set(**{f"stage {stage}": fact})

    @contextmanager
    def _transaction(self, *, fenced: bool = True) -> Generator[None]:
        """All or nothing.

        Raises:
            Unwritable: if it cannot be written.
            Stopped: if another command took the journal over.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            if fenced and self.get("epoch") != self._epoch:
                raise Stopped(f"{self.path}: another command took this sweep over")
            yield
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unwritable(f"{self.path}: the journal cannot be written: {error}") from None
        finally:
            if self._database.in_transaction:
                with suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")

    def write(
        self,
        stage: int,
        digest: bytes,
        parts: Sequence[tuple[Part, float]],
        written: int,
        attempt: int = 0,
        facts: Mapping[str, Any] | None = None,
    ) -> list[range]:
        """Write parts, each with the seconds it took, in one transaction; when this returns they are durable.

        A part that is there already is left as it is. `written` is the time, in milliseconds since 1970. `facts` are
        set in the same transaction, which costs no other wait for the disk.

        Returns:
            The ranges of which another outcome was there: the objective is not a function of its arguments.
        """
        different: list[range] = []
        with self._transaction():
            if facts:
                self._set(facts)
            for part, seconds in parts:
                key = (stage, digest, part.items.start, part.items.stop, attempt)
                columns = part.columns_bytes()
                row = (*key, columns, part.failures.to_bytes(), round(seconds * 1e9), written)
                if not self._database.execute(INSERT, (*row, self.checksum(*row))).rowcount:
                    (there,) = self._database.execute(
                        "SELECT columns FROM part WHERE stage = ? AND digest = ? AND lo = ? AND hi = ? AND attempt = ?",
                        key,
                    ).fetchone()
                    if there != columns:
                        different.append(part.items)
        return different

    def tiling(self, stage: int, digest: bytes, items: int, start: int = 0, attempt: int = 0) -> list[range]:
        """The rows of an attempt that count: the chain from `start` that takes at each point the longest row that does
        not pass `items`."""
        rows = self._read(
            "SELECT lo, hi FROM part WHERE stage = ? AND digest = ? AND lo >= ? AND lo < ? AND hi <= ?"
            " AND attempt = ? ORDER BY lo, hi",
            stage,
            digest,
            start,
            items,  # follows from hi, but lets the index end the search there
            items,
            attempt,
        )
        return [range(lo, hi) for lo, hi in chain(rows, start)]

    def parts(self, stage: int, digest: bytes, tiles: Sequence[range], attempt: int = 0) -> Iterator[tuple[Part, int]]:
        """The parts of these ranges in an attempt, each with the time it was written in milliseconds since 1970.

        Raises:
            InputError: if a row is not as it was written.
        """
        wanted = set(tiles)
        query = "SELECT * FROM part WHERE stage = ? AND digest = ? AND attempt = ? ORDER BY lo, hi"
        for row in self._rows(query, stage, digest, attempt):
            _, _, lo, hi, _, columns, failures, _, written, crc = row
            tile = range(lo, hi)
            if tile not in wanted:
                continue
            if self.checksum(*row[:-1]) != crc:
                raise self._damaged(stage, lo, hi)
            yield Part.from_bytes(tile, columns, failures), written

    def strung(self, stage: int, digest: bytes, items: int, start: int = 0, *, again: bool = True) -> Iterator[Strung]:
        """The parts of the tiling of attempt 0, those that are adjacent many at a time; in one pass over all rows.

        `again` checks rows once more, long after all were checked on opening.

        Raises:
            InputError: if a row is not as it was written.
        """
        rows, size, end = list[Row](), 0, -1
        query = (
            "SELECT lo, hi, columns, failures, written, nanoseconds, crc FROM part"
            " WHERE stage = ? AND digest = ? AND lo >= ? AND lo < ? AND hi <= ? AND attempt = 0 ORDER BY lo, hi"
        )
        for row in chain(self._rows(query, stage, digest, start, items, items), start):
            lo, hi, columns, failures, written, took, crc = row
            if again and self.checksum(stage, digest, lo, hi, 0, columns, failures, took, written) != crc:
                raise self._damaged(stage, lo, hi)
            if lo != end or size > STRUNG_BYTES or len(rows) == STRUNG_ROWS:
                if rows:
                    yield Strung.of(rows)
                rows, size = [], 0
            rows.append(row)
            size += len(columns)
            end = hi
        if rows:
            yield Strung.of(rows)

    def smallest(self, stage: int, digest: bytes, since: int) -> range | None:
        """Of the first rows without a failure, written since a time in milliseconds since 1970 and of items that take
        less than a second, the one with the fewest, and of these the quickest."""
        query = (
            "SELECT lo, hi, nanoseconds FROM part WHERE stage = ? AND digest = ? AND attempt = 0 AND failures = ?"
            " AND written >= ? AND nanoseconds < 1000000000 * (hi - lo) LIMIT 64"
        )
        rows = self._read(query, stage, digest, NO_FAILURES, since)
        if not rows:
            return None
        lo, hi, _ = min(rows, key=lambda row: (row[1] - row[0], row[2]))
        return range(lo, hi)

    def _damaged(self, stage: int, lo: int, hi: int) -> InputError:
        return InputError(f"{self.path}: the row of stage {stage}, items {lo} to {hi - 1}, was damaged meanwhile")

    def rows(self) -> list[tuple[int, bytes, range, int]]:
        """All that is there: stage, digest, items and attempt."""
        rows = self._read("SELECT stage, digest, lo, hi, attempt FROM part ORDER BY stage, digest, attempt, lo, hi")
        return [(stage, digest, range(lo, hi), attempt) for stage, digest, lo, hi, attempt in rows]

    def empty(self) -> bool:
        return not self._read("SELECT 1 FROM part LIMIT 1")

    def close(self) -> None:
        self._database.close()

    def checksum(
        self,
        stage: int,
        digest: bytes,
        lo: int,
        hi: int,
        attempt: int,
        columns: bytes,
        failures: bytes,
        took: int,
        written: int,
    ) -> int:
        """CRC-32 of a row and of whose it is."""
        numbers = NUMBERS.pack(stage, lo, hi, attempt, len(columns), took, written)
        return zlib.crc32(numbers + columns + failures, owner_checksum(self._sweep, digest))


NUMBERS = struct.Struct("<7q")


@lru_cache(64)
def owner_checksum(sweep: str, digest: bytes) -> int:
    return zlib.crc32(digest, zlib.crc32(f"{sweep}\n".encode()))


def fact_checksum(key: str, text: str) -> int:
    return zlib.crc32(f"{key}\n{text}".encode())


def chain(rows: Iterable[Any], start: int) -> Iterator[Any]:
    """Of rows that begin with (lo, hi), in that order, those of a tiling."""
    held: Any = None
    at, end = -1, start
    for row in rows:
        if row[0] >= end:
            if held is not None:
                yield held
            held, at, end = row, row[0], row[1]
        elif row[0] == at:
            held, end = row, row[1]
    if held is not None:
        yield held


def missing(tiles: Sequence[range], items: int, start: int = 0) -> list[range]:
    """What a tiling lacks of [start, items)."""
    gaps: list[range] = []
    at = start
    for tile in [*tiles, range(items, items)]:
        if tile.start > at:
            gaps.append(range(at, tile.start))
        at = tile.stop
    return gaps
