"""The durable record of finished parts; the only source of the result.

SQLite with a rollback journal: one writer, transactions, and after a crash the last commit is intact. Floats are stored
as raw bytes, because SQLite's REAL stores NaN as NULL and returns -0.0 as 0.0. Every row has a checksum, because
SQLite's own checks miss flipped bits in values; all are checked on opening, before any is used.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from optitrip.core.failures import NO_FAILURES, Failures
from optitrip.core.part import Part
from optitrip.errors import StateError, Stopped
from optitrip.journal.database import (
    ERRORS,
    INSERT,
    all_intact,
    connect,
    decode_fact,
    definitions,
    expected_definitions,
    fact_checksum,
    open_database,
    part_checksum,
)
from optitrip.journal.facts import Created, Epoch, Fact, JournalName, Owner, StageStarted, SweepFact
from optitrip.journal.rows import Row, RowBatch, chain, decode
from optitrip.runtime.files import is_regular

T = TypeVar("T")
F = TypeVar("F", bound=SweepFact)
Timed = tuple[Part, float]
"""A part, and the duration of its evaluation in seconds."""
ROWS_AT_ONCE = 256
TILING_ROWS = """FROM part
WHERE stage = ? AND digest = ? AND lo >= ? AND lo < ? AND hi <= ? AND attempt = ? ORDER BY lo, hi"""
"""Rows from which a tiling is chosen; lo < items follows from hi <= items, but lets the index end the scan there."""
BATCH_ROWS, BATCH_BYTES = 4_096, 2**24
"""Limits of a batch of rows."""


def peek(path: Path, sweep: str, kind: type[F]) -> F | None:
    """Read one fact of a sweep's journal, and nothing else; return None if it is not there or cannot be read."""
    if not is_regular(path):
        return None
    try:
        with closing(connect(path, sweep, reading=True)) as database:
            intact = definitions(database) == expected_definitions()
            rows = database.execute("SELECT * FROM meta WHERE key = ?", (kind.key,)).fetchall() if intact else []
        return (
            decode_fact(path, kind.key, rows[0][1], kind.from_json)
            if rows and all_intact(rows, fact_checksum)
            else None
        )
    except (StateError, *ERRORS):
        return None


class Unwritable(Stopped):
    """The journal cannot be written now, e.g. because the disk is full; earlier commits are safe."""


class Journal:
    """The parts of one sweep, by stage, digest of the method, range and attempt, and a few facts about the sweep."""

    def __init__(self, path: Path, sweep: str = "", *, reading: bool = False, check: bool = True) -> None:
        """Open or create a journal and check its contents; a damaged one is rebuilt without the losses in `damage`.

        Args:
            path: the file, or ":memory:".
            sweep: the identity of the sweep; checksums include it, so rows of another sweep never pass as its own.
            reading: only read, and reject a damaged journal; another command may write at the same time.
            check: False for a look at many journals, whose contents are not checked.

        Raises:
            StateError: if the file cannot be read or written, or is not a journal of this version and this sweep.
        """
        self.path = path
        self._checksum = partial(part_checksum, sweep)
        self._database, self.damage = open_database(path, sweep, reading=reading, check=check)
        last = self.fact(Epoch)
        self._epoch = Epoch(last.number + 1 if last else 1)
        if not reading:
            new = self.fact(JournalName) is None
            facts = [JournalName(uuid.uuid4().hex), Created(time.time()), Owner(sweep)] if new else []
            # Earlier writers see a newer epoch and stop: file locks may fail on a network drive, transactions do not.
            with self._transaction(fenced=False):
                self._store(self._epoch, *facts)

    @property
    def name(self) -> str:
        """Random name chosen when the journal was created; raises StateError if there is none."""
        if (name := self.fact(JournalName)) is None:
            raise StateError(f"{self.path}: the journal has no record of its name; --fresh sets it aside")
        return name.name

    def fact(self, kind: type[F]) -> F | None:
        """Read a fact; return None if it is not stored, raise StateError if it is damaged."""
        return self._fact(kind.key, kind.from_json)

    def note(self, *facts: Fact) -> None:
        """Store facts in one transaction, replacing those with the same keys; nothing is written if all are stored."""
        if any(self._text(fact.key) != json.dumps(fact.to_json()) for fact in facts):
            with self._transaction():
                self._store(*facts)

    def forget(self, kind: type[SweepFact]) -> None:
        with self._transaction():
            self._set(kind.key, None)

    def begin(self, stage: StageStarted) -> None:
        """Store that a stage was started, unless it is stored already."""
        if self._stage(stage.number) != stage:
            self.note(stage)

    def stages(self) -> list[StageStarted]:
        """Read the stages that were started, in order; raise StateError if one is damaged."""
        found: list[StageStarted] = []
        while (stage := self._stage(len(found))) is not None:
            found.append(stage)
        return found

    def _stage(self, number: int) -> StageStarted | None:
        return self._fact(f"stage {number}", lambda value: StageStarted.from_json(number, value))

    def _fact(self, key: str, from_json: Callable[[Any], T]) -> T | None:
        text = self._text(key)
        return None if text is None else decode_fact(self.path, key, text, from_json)

    def _text(self, key: str) -> str | None:
        return next((text for (text,) in self._rows("SELECT value FROM meta WHERE key = ?", key)), None)

    def _store(self, *facts: Fact) -> None:
        for fact in facts:
            self._set(fact.key, fact.to_json())

    def _set(self, key: str, value: Any) -> None:
        text = json.dumps(value)
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, text, fact_checksum(key, text)))

    def _rows(self, query: str, *values: Any) -> Iterator[Any]:
        """Yield the rows of a query one by one; raise StateError if the file is damaged."""
        try:
            cursor = self._database.execute(query, values)
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield from rows
        except sqlite3.Error as error:
            raise StateError(f"{self.path}: the journal cannot be read: {error}; --fresh sets it aside") from None

    @contextmanager
    def _transaction(self, *, fenced: bool = True) -> Generator[None]:
        """Write all or nothing; raise Unwritable if that fails, Stopped if another command took over."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            if fenced and self.fact(Epoch) != self._epoch:
                raise Stopped(f"{self.path}: another command has taken over this sweep; this command stops")
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
        parts: Sequence[Timed],
        written: int,
        attempt: int = 0,
        facts: Sequence[Fact] = (),
    ) -> list[range]:
        """Write parts and `facts` in one transaction, which waits for the disk once; on return they are durable.

        Rows that exist already are not replaced. `written` is the time in milliseconds since 1970. Returns the ranges
        whose stored row has different columns: there the objective is not a function of its arguments.
        """
        different: list[range] = []
        with self._transaction():
            self._store(*facts)
            for part, seconds in parts:
                key = (stage, digest, part.items.start, part.items.stop, attempt)
                columns = part.columns_bytes()
                row = (*key, columns, part.failures.to_bytes(), round(seconds * 1e9), written)
                if not self._database.execute(INSERT, (*row, self._checksum(*row))).rowcount:
                    (stored,) = self._database.execute(
                        "SELECT columns FROM part WHERE stage = ? AND digest = ? AND lo = ? AND hi = ? AND attempt = ?",
                        key,
                    ).fetchone()
                    if stored != columns:
                        different.append(part.items)
        return different

    def tiling(self, stage: int, digest: bytes, items: int, start: int = 0, attempt: int = 0) -> list[range]:
        """Return the rows that count: from `start`, always the longest next row that ends by `items`."""
        rows = self._rows(f"SELECT lo, hi {TILING_ROWS}", stage, digest, start, items, items, attempt)
        return [range(lo, hi) for lo, hi in chain(rows, start)]

    def parts(
        self, stage: int, digest: bytes, tiles: Sequence[range], attempt: int = 0, *, failed: bool = False
    ) -> Iterator[tuple[Part, int]]:
        """Yield the parts of these ranges, or only those with failures, each with its time in ms since 1970."""
        wanted = set(tiles)
        query = "SELECT * FROM part WHERE stage = ? AND digest = ? AND attempt = ? AND failures != ? ORDER BY lo, hi"
        for row in self._rows(query, stage, digest, attempt, NO_FAILURES if failed else b""):
            _, _, lo, hi, _, columns, failures, _, written, _ = row
            if range(lo, hi) in wanted:
                self._check(*row)
                yield Part.from_bytes(range(lo, hi), columns, failures), written

    def every_part(self, stage: int, digest: bytes, items: int) -> Iterator[Part]:
        """Yield all parts of the first `items`, in any order and unchecked, those of later attempts included."""
        query = "SELECT lo, hi, columns, failures FROM part WHERE stage = ? AND digest = ? AND hi <= ?"
        for lo, hi, columns, failures in self._rows(query, stage, digest, items):
            yield Part.from_bytes(range(lo, hi), columns, failures)

    def recent_rate(self) -> float | None:
        """Return items per second by the latest rows; None if there are too few."""
        query = "SELECT written, hi - lo FROM part ORDER BY written DESC LIMIT 100"
        times, counts = zip(*(list(self._rows(query)) or [(0, 0)]), strict=True)
        return 1000 * sum(counts[:-1]) / (times[0] - times[-1]) if times[0] > times[-1] else None

    def failures(self, stage: int, digest: bytes, items: int) -> Failures:
        """Return the failures among the first `items`, each item according to its latest attempt."""
        failures, attempt = Failures(), 0
        # An attempt covers only items that failed in the previous one: after an empty attempt there are no others.
        while tiles := self.tiling(stage, digest, items, attempt=attempt):
            parts = self.parts(stage, digest, tiles, attempt, failed=True)
            latest = Failures().then(*(part.failures for part, _ in parts))
            failures = failures.replaced(tiles, latest) if attempt else latest
            attempt += 1
        return failures

    def batches(
        self, stage: int, digest: bytes, items: int, start: int = 0, *, check: bool = True
    ) -> Iterator[RowBatch]:
        """Read the tiling of attempt 0 in one pass, in batches of adjacent rows; `check` verifies the checksums."""
        rows, size, end = list[Row](), 0, -1
        query = f"SELECT lo, hi, columns, failures, written, nanoseconds, crc {TILING_ROWS}"
        for row in chain(self._rows(query, stage, digest, start, items, items, 0), start):
            lo, hi, columns, failures, written, took, crc = row
            if check:
                self._check(stage, digest, lo, hi, 0, columns, failures, took, written, crc)
            if lo != end or size > BATCH_BYTES or len(rows) == BATCH_ROWS:
                if rows:
                    yield decode(rows)
                rows, size = [], 0
            rows.append(row)
            size += len(columns)
            end = hi
        if rows:
            yield decode(rows)

    def smallest_row(self, stage: int, digest: bytes, since: int) -> range | None:
        """Return the smallest, then fastest, of the first rows without failures that took under a second per item and
        were written since a time in milliseconds since 1970."""
        query = (
            "SELECT lo, hi, nanoseconds FROM part WHERE stage = ? AND digest = ? AND attempt = 0 AND failures = ?"
            " AND written >= ? AND nanoseconds < 1000000000 * (hi - lo) LIMIT 64"
        )
        rows = self._rows(query, stage, digest, NO_FAILURES, since)
        row = min(rows, key=lambda row: (row[1] - row[0], row[2]), default=None)
        return None if row is None else range(row[0], row[1])

    def last_write(self) -> int | None:
        """Return when the last part was written, in milliseconds since 1970."""
        return next((written for (written,) in self._rows("SELECT max(written) FROM part")), None)

    def _check(self, *row: Any) -> None:
        """Raise StateError if the checksum of a row no longer fits, as it did when the journal was opened."""
        if self._checksum(*row[:-1]) != row[-1]:
            where = f"{self.path}: the row of stage {row[0]}, items {row[2]} to {row[3] - 1}"
            raise StateError(f"{where}, was damaged during this run; the same command evaluates it again")

    def rows(self) -> list[tuple[int, bytes, range, int]]:
        rows = self._rows("SELECT stage, digest, lo, hi, attempt FROM part ORDER BY stage, digest, attempt, lo, hi")
        return [(stage, digest, range(lo, hi), attempt) for stage, digest, lo, hi, attempt in rows]

    def empty(self) -> bool:
        return not list(self._rows("SELECT 1 FROM part LIMIT 1"))

    def close(self) -> None:
        self._database.close()
