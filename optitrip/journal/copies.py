"""Copies of a journal elsewhere, and how a journal begins from one.

A copy consists of a journal and a description of it, which names the journal's file and its digest. There are two files
in turn, and the description is written last: whatever interrupts a copy, the description is of a whole journal.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from optitrip.errors import StateError
from optitrip.journal.database import SCHEMA, connect
from optitrip.journal.facts import typed
from optitrip.runtime.files import open_new, remove_or_move_aside
from optitrip.runtime.remote import Remote

DESCRIPTION, FILES, SLOTS = "mirror.json", "files", ("journal-0.sqlite", "journal-1.sqlite")
FORMAT = 1
LARGEST_DESCRIPTION = 2**20
"""Number of bytes of a description that are read."""
COLUMNS = "stage, digest, lo, hi, attempt, columns, failures, nanoseconds, written, crc"
CHUNK = 2**23
"""Bytes that are read while the journal is locked: the sweep cannot write in the meantime."""


@dataclass(frozen=True)
class Copy:
    """Description of a copy of a journal."""

    format: int
    label: str
    """Name of the sweep's state directory."""
    journal: str
    """Name of the journal, as in its fact."""
    epoch: int
    writer: str
    """Random name of the command that made the copy."""
    made: int
    """Time when it was made, in milliseconds since 1970."""
    file: str
    digest: str
    files: Mapping[str, Any]
    """Digests of the result files that were copied, by name."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a description; raise ValueError if it is not one, or names other files than those of a mirror."""
        table = typed(json.loads(data), dict)
        if table.get("format") != FORMAT:
            raise ValueError("not written by this version of optitrip")
        fields = {name: typed(table.get(name), kind) for name, kind in FIELDS.items()}
        copy = cls(**fields)
        if copy.file not in SLOTS:
            raise ValueError(f"it names the file {copy.file!r:.60}")
        return copy


FIELDS = {
    "format": int,
    "label": str,
    "journal": str,
    "epoch": int,
    "writer": str,
    "made": int,
    "file": str,
    "digest": str,
    "files": dict,
}


def described(remote: Remote, label: str, scratch: Path) -> Copy | None:
    """Read the description of a sweep's copy by way of a local file; return None if nothing was copied yet.

    Raise StateError if it is damaged or of another sweep, OSError if it cannot be read.
    """
    try:
        remote.get(f"{label}/{DESCRIPTION}", scratch)
        with scratch.open("rb") as file:
            copy = Copy.from_bytes(file.read(LARGEST_DESCRIPTION))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise StateError(f"{label}/{DESCRIPTION} is damaged ({error!s:.200})") from None
    finally:
        scratch.unlink(missing_ok=True)
    if copy.label != label:
        raise StateError(f"{label}/{DESCRIPTION} describes another sweep, {copy.label!r:.100}")
    return copy


def snapshot(path: Path, sweep: str, target: Path) -> None:
    """Write a consistent copy of a journal that is in use.

    Rows are only ever added, so all but the last ones are copied in small steps, between which the sweep can write:
    SQLite's own backup would block it for as long as the whole copy takes, or start again after every write.
    """
    for left in (target, target.with_name(f"{target.name}-journal")):
        remove_or_move_aside(left)
    open_new(target).close()
    with closing(sqlite3.connect(target, isolation_level=None)) as new:
        new.executescript(f"BEGIN; {SCHEMA} COMMIT;")
    add = f"INSERT INTO copy.part (rowid, {COLUMNS}) SELECT rowid, {COLUMNS} FROM main.part WHERE rowid > ? "
    with closing(connect(path, sweep, reading=True)) as database:
        database.execute("ATTACH ? AS copy", (str(target.absolute()),))
        database.execute("PRAGMA copy.synchronous=OFF")  # a copy that is not whole is not used

        def last(schema: str) -> int:
            return database.execute(f"SELECT coalesce(max(rowid), 0) FROM {schema}.part").fetchone()[0]

        step = 1 + last("main") * CHUNK // max(path.stat().st_size, 1)
        while database.execute(f"{add} ORDER BY rowid LIMIT ?", (last("copy"), step)).rowcount == step:
            pass
        database.execute("BEGIN")
        database.execute(add, (last("copy"),))
        database.execute("INSERT INTO copy.meta SELECT * FROM main.meta")
        database.execute("COMMIT")


def add_rows(path: Path, sweep: str, copy: Path) -> int:
    """Add the rows of a copy that a journal lacks to it; return their number. The folder must be locked."""
    with closing(connect(path, sweep, reading=True)) as database:
        database.execute("PRAGMA synchronous=EXTRA")
        database.execute("ATTACH ? AS copy", (str(copy.absolute()),))
        add = f"INSERT OR IGNORE INTO main.part ({COLUMNS}) SELECT {COLUMNS} FROM copy.part ORDER BY rowid"
        return database.execute(add).rowcount
