"""Kill a driver again and again: `python driver_kills.py FOLDER KILLS SEED` prints the counts as JSON.

Each life of the driver is a fork of this process, which has imported everything, so that a life costs milliseconds. It
ends by SIGKILL at a random moment or at one of the POINTS, before and after each write.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driver_setup import settings
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft
from optitrip.core.observer import Observers
from optitrip.executors.serial import Worker
from optitrip.journal.journal import Journal
from optitrip.output.outcome import Outcome
from optitrip.runtime import files
from optitrip.store.lookup import resolve
from optitrip.store.state_dir import JOURNAL

CANDIDATES = 1_500
TABLES = {
    "seed": 7,
    "objective": {"loss": "driver_kills:loss"},
    "space": {"x": {"uniform": [-5.0, 5.0]}},
    "method": {"use": "search", "candidates": CANDIDATES},
    "run": {"executor": "serial"},
    "tracking": {"use": "none"},
}
POINTS = ("before begin", "begun", "before commit", "committed", "before replace", "replaced")
FILES = ("best.npz", "candidates.parquet", "losses.png")


# Many small slices, and no wait from one transaction to the next: what is in flight is then one slice.
SETTINGS = settings(target_seconds=2e-4)


def loss(x: float) -> float:
    return x * x


def live(root: Path) -> Outcome:
    """Run the sweep, or resume it."""
    sweep = resolve(parse_draft(TABLES, Lines(None, ""), "killed", Path(__file__).parent))
    return run_sweep(sweep, Options(root, settings=SETTINGS), Observers())


def append_line(file: Path, *numbers: int) -> None:
    """Append a line in one call, so that a kill leaves no half."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (" ".join(str(int(number)) for number in numbers) + "\n").encode())
    os.close(handle)


def lines(file: Path) -> list[tuple[int, ...]]:
    return [tuple(map(int, line.split())) for line in file.read_text().splitlines()] if file.exists() else []


class Fuse:
    """Kills this process when it reaches a point for the `count`th time; without a point it records the parts only."""

    def __init__(self, folder: Path, point: str | None, count: int) -> None:
        self.folder, self.point, self.count = folder, point, count
        transaction, write, evaluate, replace = (
            Journal._transaction,
            Journal.write,
            Worker.evaluate,
            files.write_atomically,
        )

        @contextmanager
        def in_transaction(journal: Any, **options: Any) -> Generator[None]:
            self.at("before begin")
            with transaction(journal, **options):
                self.at("begun")
                yield
                self.at("before commit")
            self.at("committed")

        def writing(journal: Any, stage: int, digest: bytes, parts: Any, *more: Any) -> Any:
            different = write(journal, stage, digest, parts, *more)
            for part, _ in parts:
                append_line(folder / "acknowledged", stage, part.items.start, part.items.stop)
            return different

        def evaluating(worker: Any, method: Any, items: range, *more: Any) -> Any:
            append_line(folder / "evaluated", method.kind == "search", items.start, items.stop)
            return evaluate(worker, method, items, *more)

        def replacing(path: Path, data: bytes) -> None:
            self.at("before replace")
            replace(path, data)
            self.at("replaced")

        Journal._transaction, Journal.write, Worker.evaluate = in_transaction, writing, evaluating  # type: ignore[method-assign]
        files.write_atomically = replacing

    def at(self, point: str) -> None:
        if point == self.point:
            self.count -= 1
            if not self.count:
                append_line(self.folder / "fired", POINTS.index(point))
                os.kill(os.getpid(), signal.SIGKILL)


def life(folder: Path, draw: random.Random) -> str:
    """Run one life, and return how it ended."""
    point = draw.choice([None, None, *POINTS])
    count, delay = draw.randint(1, 6 if point and "replace" in point else 25), draw.uniform(0, 0.25)
    child = os.fork()
    if not child:
        try:
            Fuse(folder, point, count)
            outcome = live(folder / "root")
            os._exit(0 if outcome.status == "finished" else 1)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(2)
    if point is None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return point or "at random"
    if os.WEXITSTATUS(status):
        raise SystemExit(f"a life failed with status {os.WEXITSTATUS(status)}")
    return "finished"


def rows(folder: Path) -> set[tuple[int, int, int]]:
    found = list((folder / "root").glob(f"*/{JOURNAL}"))
    if not found or not found[0].stat().st_size:
        return set()
    journal = Journal(found[0], found[0].parent.name.rpartition("-")[2], reading=True)
    stored = {(stage, items.start, items.stop) for stage, _, items, _ in journal.rows()}
    journal.close()
    return stored


def main(folder: Path, kills: int, seed: int) -> None:
    whole = live(folder / "whole")
    assert whole.state_dir is not None
    wanted = {name: Path(whole.state_dir, name).read_bytes() for name in FILES}
    draw = random.Random(seed)
    ends: Counter[str] = Counter()
    acknowledged = lost = most = sweeps = wrong = 0
    place = folder / "0"
    while sum(ends.values()) - ends["finished"] < kills:
        place.mkdir(exist_ok=True)
        before = len(lines(place / "evaluated"))
        end = life(place, draw)
        ends[end] += 1
        stored = rows(place)
        written = set(lines(place / "acknowledged"))
        lost += len(written - stored)
        begun = {(0, lo, hi) for search, lo, hi in lines(place / "evaluated")[before:] if search}
        most = max(most, len(begun - stored)) if end != "finished" else most
        if end == "finished":
            sweeps += 1
            acknowledged += len(written)
            (root,) = (place / "root").iterdir()
            wrong += wanted != {name: (root / name).read_bytes() for name in FILES}
            place = folder / str(sweeps)
    print(
        json.dumps(
            {
                "kills": dict(ends),
                "acknowledged": acknowledged,
                "lost": lost,
                "most evaluated in vain by one kill": most,
                "sweeps finished": sweeps,
                "wrong": wrong,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
