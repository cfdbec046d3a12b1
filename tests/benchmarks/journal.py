"""Measure what the journal costs: `python tests/benchmarks/journal.py [--rows 1000000] [--folder .]`.

Seconds inside its writes beside those of bare SQLite transactions of as many bytes, and how long a sweep that goes on
takes until it knows what is there.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from examples import draws
from optitrip.core.observer import Observers, Progress
from optitrip.core.part import Part
from optitrip.driver.stage import Stage
from optitrip.journal.journal import Journal
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.search.method import Search

INTERVAL, ROWS = 0.2, 20
"""Seconds from one write to the next, and rows in each: 100 slices a second."""


def rows(method: Search, items: range) -> list[tuple[Part, float]]:
    """A row of one candidate for each item."""
    losses = np.random.default_rng(items.start)
    made: list[tuple[Part, float]] = []
    for n in items:
        found = Evaluation(range(n, n + 1))
        found.column("loss")[:] = losses.standard_normal()
        made.append((method.part(found), 0.1))
    return made


def writes(folder: Path, method: Search, count: int = 60) -> None:
    """Print milliseconds a write, of the journal and of SQLite alone, in turns."""
    journal = Journal(folder / "written")
    bare = sqlite3.connect(folder / "bare", isolation_level=None)
    bare.execute("PRAGMA synchronous=EXTRA")
    bare.execute("CREATE TABLE row (n INTEGER PRIMARY KEY, data BLOB)")
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(count):
        parts = rows(method, range(number * ROWS, (number + 1) * ROWS))
        data = [(part.columns_bytes(),) for part, _ in parts]
        start = time.perf_counter()
        journal.write(0, method.digest(), parts, 1)
        ours.append(time.perf_counter() - start)
        time.sleep(INTERVAL / 2)
        start = time.perf_counter()
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany("INSERT INTO row (data) VALUES (?)", data)
        bare.execute("COMMIT")
        theirs.append(time.perf_counter() - start)
        time.sleep(INTERVAL / 2)
    for name, seconds in (("the journal", median(ours)), ("SQLite alone", median(theirs))):
        share = seconds / INTERVAL
        print(f"{name}: {1e3 * seconds:.2f} ms a write of {ROWS} rows, {share:.1%} of the time at a write each 0.2 s")
    print(f"ratio {median(ours) / median(theirs):.2f}")


def goes_on(folder: Path, count: int) -> None:
    """Print the seconds to open and check a journal, and to tell what is there."""
    method = Search(draws(), count, 10, count)
    path = folder / "long"
    journal = Journal(path)
    for first in range(0, count, 20_000):
        journal.write(0, method.digest(), rows(method, range(first, min(count, first + 20_000))), 1)
    journal.close()
    print(f"{count:,} rows, {path.stat().st_size / 1e6:.0f} MB")
    for _ in range(5):
        start = time.perf_counter()
        journal = Journal(path)
        opened = time.perf_counter()
        Stage(0, method, journal, Observers(Progress(method.items))).begin()
        end = time.perf_counter()
        print(f"open and check {opened - start:.1f} s, begin {end - opened:.1f} s, together {end - start:.1f} s")
        journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk that is meant")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        writes(Path(name), Search(draws(), 10**6, 10, 10**6))
        goes_on(Path(name), given.rows)


if __name__ == "__main__":
    main()
