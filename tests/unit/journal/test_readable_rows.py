"""The scan of a damaged journal ends, whatever the numbers of its rows have become."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from optitrip.journal.database import fact_checksum, readable_rows


class Backwards:
    """A table whose unreadable page follows a row with a number that a flipped bit has made smaller."""

    def execute(self, query: str, values: tuple[int]) -> Iterator[Any]:
        for number, key in ((1, "a"), (9, "b"), (4, "c")):
            if number > values[0] or number == 4:
                yield number, key, "{}", fact_checksum(key, "{}")
        if values[0] < 2**40:
            raise sqlite3.DatabaseError("database disk image is malformed")


def test_rows_that_are_numbered_backwards_do_not_hold_up_the_scan() -> None:
    """It once went back to the smaller number, and on to the page, without end; every readable row is found."""
    database: Any = Backwards()
    intact, damaged = readable_rows(database, "meta", fact_checksum)
    assert [key for key, *_ in intact] == ["a", "c", "b"]
    assert damaged == []
