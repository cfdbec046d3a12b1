"""Tables of a journal, version of its format, and checksums of its rows."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import Any

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


def part_checksum(sweep: str, *row: Any) -> int:
    """Return the CRC-32 of a row of `part` without its last column, and of the sweep and method whose row it is."""
    stage, digest, lo, hi, attempt, columns, failures, nanoseconds, written = row
    numbers = NUMBERS.pack(stage, lo, hi, attempt, len(columns), nanoseconds, written)
    return zlib.crc32(numbers + columns + failures, owner_checksum(sweep, digest))


@lru_cache(64)
def owner_checksum(sweep: str, digest: bytes) -> int:
    return zlib.crc32(digest, zlib.crc32(f"{sweep}\n".encode()))


def fact_checksum(key: str, text: str) -> int:
    return zlib.crc32(f"{key}\n{text}".encode())
