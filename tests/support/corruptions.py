"""Kinds of corruption of a state directory, by name; each is a function of the directory, which changes one thing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from optitrip.journal.database import fact_checksum

Corruption = Callable[[Path], None]
FOREIGN = -12345.0
"""Loss that no candidate has."""


def bytes_of(data: bytes) -> Corruption:
    return lambda path: replace(path, data)


def clear(path: Path) -> None:
    path.unlink(missing_ok=True)


def replace(path: Path, data: bytes) -> None:
    clear(path)
    path.write_bytes(data)


def changed(change: Callable[[bytearray], bytes | bytearray]) -> Corruption:
    """Change the bytes of a file, or of none."""
    return lambda path: replace(path, bytes(change(bytearray(path.read_bytes() if path.exists() else b"12345678"))))


def flip(place: float) -> Corruption:
    def change(data: bytearray) -> bytearray:
        data[int(place * (len(data) - 1))] ^= 1
        return data

    return changed(change)


def cut(keep: float) -> Corruption:
    return changed(lambda data: data[: int(keep * len(data))])


def folder(path: Path) -> None:
    clear(path)
    (path / "inner").mkdir(parents=True)


def pipe(path: Path) -> None:
    clear(path)
    os.mkfifo(path)


def link(target: str) -> Corruption:
    def make(path: Path) -> None:
        clear(path)
        path.symlink_to(target)

    return make


def sparse(path: Path) -> None:
    """Make a file of 8 GiB, most of it a hole."""
    if not path.exists():
        path.touch()
    os.truncate(path, 2**33)


def closed(path: Path) -> None:
    if path.exists():
        path.chmod(0)


def other_loss(path: Path) -> None:
    """Put a result or a point in place of the file that looks right but is not."""
    replace(path, b'{"name": "g", "status": "finished", "items": 40, "best": {"loss": -12345.0, "index": 0}}')


ANY_FILE: dict[str, Corruption] = {
    "missing": clear,
    "empty": bytes_of(b""),
    "a list": bytes_of(b"[]"),
    "a number": bytes_of(b"5"),
    "null": bytes_of(b"null"),
    "no UTF-8": bytes_of(b"\x80"),
    "deeply nested": bytes_of(b"[" * 200_000),
    "a byte order mark": bytes_of(b"\xef\xbb\xbf{}"),
    "NUL bytes": bytes_of(b"\0" * 1_000),
    "a flipped bit": flip(0.5),
    "half of it": cut(0.5),
    "foreign": other_loss,
    "a folder": folder,
    "a pipe": pipe,
    "a link to nowhere": link("/nonexistent/file"),
    "a link to a device": link("/dev/zero"),
    "huge": sparse,
    "mode 000": closed,
}
FILES = ("result.json", "identity.json", "sweep.toml", "best.npz", "candidates.parquet")


def statement(*texts: str) -> Corruption:
    """Change the journal by SQL."""

    def change(path: Path) -> None:
        with sqlite3.connect(path, isolation_level=None) as database:
            for text in texts:
                database.execute(text)
        database.close()

    return change


def fact(key: str, text: str) -> Corruption:
    """Store a fact with a right checksum."""
    return lambda path: statement(
        f"INSERT OR REPLACE INTO meta VALUES ('{key}', '{text}', {fact_checksum(key, text)})"
    )(path)


def another_database(path: Path) -> None:
    clear(path)
    statement("CREATE TABLE other (x)", "INSERT INTO other VALUES (1)")(path)


JOURNAL: dict[str, Corruption] = {
    **ANY_FILE,
    "a flipped bit at its start": flip(0.0),
    "a flipped bit in its header": changed(lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:]),
    "a flipped bit in the schema": changed(lambda data: data.replace(b"written INTEGER", b"wrItten INTEGER")),
    "a flipped bit near its end": flip(0.95),
    "50 bytes": changed(lambda data: data[:50]),
    "one page": changed(lambda data: data[:4_096]),
    "without its last byte": changed(lambda data: data[:-1]),
    "without its last page": changed(lambda data: data[:-4_096]),
    "without its last tenth": cut(0.9),
    "too long": changed(lambda data: data + b"\0" * 10_000),
    "another database": another_database,
    "a trigger": statement("CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM part; END"),
    "a trigger on rows": statement("CREATE TRIGGER t BEFORE INSERT ON part BEGIN SELECT RAISE(IGNORE); END"),
    "a view in place of the facts": statement(
        "ALTER TABLE meta RENAME TO old",
        "CREATE VIEW meta AS WITH RECURSIVE n(key) AS (SELECT '1' UNION ALL SELECT key || '1' FROM n) "
        "SELECT key, key AS value, 1 AS crc FROM n",
    ),
    "another table": statement("CREATE TABLE other (x)"),
    "another index": statement("CREATE INDEX other ON part (lo)"),
    "no rows": statement("DELETE FROM part"),
    "one row less": statement("DELETE FROM part WHERE lo = (SELECT max(lo) FROM part)"),
    "a row with another sum": statement("UPDATE part SET crc = crc + 1 WHERE lo = (SELECT max(lo) FROM part)"),
    "rows moved": statement("UPDATE part SET lo = lo + 1, hi = hi + 1 WHERE lo = (SELECT max(lo) FROM part)"),
    "no table of rows": statement("DROP TABLE part"),
    "no table of facts": statement("DROP TABLE meta"),
    "no facts": statement("DELETE FROM meta"),
    "no origin": statement("DELETE FROM meta WHERE key = 'origin'"),
    "no sweep file": statement("DELETE FROM meta WHERE key = 'file'"),
    "no result": statement("DELETE FROM meta WHERE key = 'result'"),
    "no provenance": statement("DELETE FROM meta WHERE key = 'provenance'"),
    "a damaged result": statement("UPDATE meta SET value = value || ' ' WHERE key = 'result'"),
    "an odd result": fact("result", "[]"),
    "a result without its fields": fact("result", '{"outcome": {}, "files": {}}'),
    "a deep origin": fact("origin", "[" * 100_000),
    "an odd epoch": fact("epoch", '"x"'),
    "another version": statement("PRAGMA user_version = 3"),
    "another application": statement("PRAGMA application_id = 1"),
    "write-ahead": statement("PRAGMA journal_mode = WAL"),
}


def in_file(name: str, corruption: Corruption, state: Path) -> None:
    corruption(state / name)


def in_place_of_the_folder(state: Path) -> None:
    state.rename(state.with_name("moved"))
    state.write_text("a file")


def all_broken(state: Path) -> None:
    for name in FILES:
        (state / name).write_bytes(b"\x80")


CORRUPTIONS: dict[str, Corruption] = {
    **{f"{name}: {how}": partial(in_file, name, make) for name in FILES for how, make in ANY_FILE.items()},
    **{f"journal: {how}": partial(in_file, "journal.sqlite", make) for how, make in JOURNAL.items()},
    "lock: a folder": partial(in_file, "lock", folder),
    "lock: a pipe": partial(in_file, "lock", pipe),
    "lock: a link": partial(in_file, "lock", link("/nonexistent/file")),
    "rollback journal: garbage": partial(in_file, "journal.sqlite-journal", bytes_of(b"\x81" * 5_000)),
    "rollback journal: a folder": partial(in_file, "journal.sqlite-journal", folder),
    "rollback journal: a link": partial(in_file, "journal.sqlite-journal", link("/nonexistent/file")),
    "part: a folder": partial(in_file, "result.json.part", folder),
    "part: a link": partial(in_file, "result.json.part", link("/nonexistent/file")),
    "part: stale": partial(in_file, "identity.json.part", bytes_of(b"{")),
    "mended: stale": partial(in_file, "journal.sqlite.mended", bytes_of(b"stale")),
    "all small files": all_broken,
    "the directory: a file": in_place_of_the_folder,
}
