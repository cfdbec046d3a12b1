"""Whole sweeps in a world where everything goes wrong, by a seed: `python tests/support/simulation.py FIRST COUNT`.

The driver, its plan and the journal are the real ones. The executor, the clock and what happens to the process and its
disk are drawn: slices are lost, killed, delayed, repeated and reordered; the process dies before and after each write;
bytes of the journal flip; N is raised, lowered and cut by a target; a sweep has one stage or two. In every life the
sweep must end with the answer of a serial sweep, observers must see only parts that are in the journal, and no stored
item may be evaluated again.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from chaos import Chaos
from driver_setup import driver, settings
from examples import draws, result_bits
from optitrip.core.arrays import Array
from optitrip.core.method import Method, Route
from optitrip.core.observer import Observers, Written
from optitrip.core.part import Part
from optitrip.errors import StateError
from optitrip.journal.facts import Fact
from optitrip.journal.journal import Journal
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.search.method import Search
from optitrip.runtime import clock as clocks

ITEMS = 400
UNUSED: Any = object()
"""Stands for the objective, which the methods of the simulation do not ask."""
WAITS = 20_000
"""Calls of `wait` after which a stage is taken to be endless."""
SWEEP = "simulated"


@cache
def table(shift: int) -> Array:
    """Return the losses of all candidates: few values, so that there are many ties, and some that are not finite."""
    losses = np.round(np.random.default_rng(shift).standard_normal(2 * ITEMS), 1)
    losses[:: 13 + shift % 5] = np.nan
    losses.flags.writeable = False
    return losses


@dataclass(frozen=True)
class Tabled(Search):
    """A search whose losses are looked up."""

    shift: int = 0

    def digest(self) -> bytes:
        return hashlib.blake2b(f"tabled {self.shift} {self.maximize}".encode(), digest_size=16).digest()

    def prepare(self, objective: Any) -> Any:
        return objective

    def evaluate(self, context: Any, items: range) -> Part:
        found = Evaluation(items)
        found.column("loss")[:] = table(self.shift)[items.start : items.stop]
        found.record_non_finite()
        return self.part(found)


def route(first: Tabled, stages: int) -> Route:
    """Yield one search, and perhaps a second one that depends on the best of the first."""
    found = yield first
    if stages == 1 or not len(found.best_index):
        return [found]
    return [found, (yield Tabled(first.points, 40, 4, 50, shift=1 + int(found.best_index[0])))]


class Crash(BaseException):
    """The process dies here."""


class Disk(Journal):
    """A journal under which the process dies before or after a write."""

    fuse: int | None = None
    after = False

    def __init__(self, path: Path) -> None:
        super().__init__(path, SWEEP)
        # It dies between writes, never in one: `test_driver_kills` does that, with all that SQLite does against it.
        self._database.execute("PRAGMA journal_mode=MEMORY")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute("PRAGMA locking_mode=EXCLUSIVE")  # nobody else reads it

    def write(
        self,
        stage: int,
        digest: bytes,
        parts: Sequence[tuple[Part, float]],
        written: int,
        attempt: int = 0,
        facts: Sequence[Fact] = (),
    ) -> list[range]:
        if self.fuse is not None:
            self.fuse -= 1
        if self.fuse == 0 and not self.after:
            raise Crash
        different = super().write(stage, digest, parts, written, attempt, facts)
        assert different == []
        if self.fuse == 0:
            raise Crash
        return different


class Direct:
    """A worker that does nothing but evaluate: what else a worker does is the same in every world."""

    def evaluate(self, method: Method, items: range) -> tuple[Part, float]:
        return method.evaluate(None, items), 0.0


class Executor(Chaos):
    """Chaos that checks that stages end and that no stored item is evaluated again, unless an early end cut its row."""

    def __init__(self, seed: int, trouble: float, journal: Disk) -> None:
        super().__init__(seed, trouble)
        self.journal, self.waits = journal, 0
        self.stored: dict[int, set[int]] = {}

    def load(self, objective: Any) -> None:
        self.worker = Direct()

    def stage(self, number: int, method: Any) -> None:
        super().stage(number, method)
        cut = method.target_loss is not None or method.no_improvement is not None
        tiles = [] if cut else self.journal.tiling(number, method.digest(), method.items)
        self.stored[number] = {n for tile in tiles for n in tile}

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        assert self.stored[stage].isdisjoint(items), f"items {items} of stage {stage} are stored already"
        super().submit(ticket, stage, items, slot)

    def wait(self, timeout: float) -> list[Any]:
        self.waits += 1
        assert self.waits < WAITS, "it does not end"
        return super().wait(timeout)


class DurableFirst(Observers):
    """Observers that check that every part they see is committed to the journal."""

    def __init__(self, journal: Disk) -> None:
        super().__init__()
        self.journal = journal
        self.number, self.digest = -1, b""

    def stage(self, method: Method) -> None:
        self.number, self.digest = self.number + 1, method.digest()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        assert not self.journal._database.in_transaction
        query = "SELECT lo, hi, written FROM part WHERE stage = ? AND digest = ?"
        stored = set(self.journal._database.execute(query, (self.number, self.digest)))
        for part, (starts, at) in written:
            assert stored.issuperset(zip(starts, [*starts[1:], part.items.stop], at, strict=True))


class Clock(clocks.Clock):
    """A clock with steps of any length, whose time of day jumps back and forth."""

    def __init__(self, draw: random.Random) -> None:
        self.draw, self.now = draw, 0.0

    def monotonic(self) -> float:
        self.now += self.draw.choice([0.0, 1e-4, 0.05, 0.3])
        return self.now

    def wall_ms(self) -> int:
        return (10**18 + int(self.draw.uniform(-1, 1) * 3.6e12)) // 1_000_000

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@cache
def wanted(method: Tabled, stages: int) -> bytes:
    """Return the answer of a serial sweep that nothing happens to."""
    return answer(driver(UNUSED).run(route(method, stages)))


def answer(results: list[Any]) -> bytes:
    return b"".join(map(result_bits, results))


def simulate(seed: int, folder: Path, clock: Clock) -> int:
    """Simulate one sweep in all its lives, and return their number."""
    draw = random.Random(seed)
    path = folder / "journal"
    path.unlink(missing_ok=True)
    stages, block = draw.choice([1, 1, 2]), draw.choice([1, 1, 8, 32])
    lives = 0
    for method in [drawn(draw) for _ in range(draw.choice([1, 1, 1, 2, 3]))]:
        for last in [*[False] * draw.choice([0, 0, 1, 1, 2]), True]:
            lives += 1
            if lives > 1 and draw.random() < 0.2:
                damage(path, draw)
            with opened(path) as journal:
                if not last:
                    journal.fuse, journal.after = draw.randint(1, 12), draw.random() < 0.5
                executor = Executor(draw.getrandbits(32), draw.choice([0.0, 0.05, 0.2]), journal)
                one = driver(
                    UNUSED,
                    lambda one=executor: one,
                    journal,
                    DurableFirst(journal),
                    block=block,
                    settings=settings(write_seconds=draw.choice([0.0, 0.1])),
                    clock=clock,
                )
                with suppress(Crash):
                    found = answer(one.run(route(method, stages)))
                    assert found == wanted(method, stages), f"another answer to {method}, {stages} stages"
    return lives


def drawn(draw: random.Random) -> Tabled:
    ends = draw.choice(["all", "all", "target", "improvement"])
    return replace(
        Tabled(draws(), draw.choice([1, 2, 31, 32, 33, 200, ITEMS]), 4, 50),
        maximize=False,
        target_loss=draw.choice([-9.0, -2.0, -1.0, 0.0]) if ends == "target" else None,
        no_improvement=draw.choice([1, 20, 100]) if ends == "improvement" else None,
    )


def opened(path: Path) -> Any:
    """Open the journal, or a new one where a damaged one is refused as a whole, as `--fresh` would."""
    try:
        return closing(Disk(path))
    except StateError:
        path.unlink()
        return closing(Disk(path))


def damage(path: Path, draw: random.Random) -> None:
    """Flip some bits, or lose the end."""
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice([0, 1, 1, 5])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data if draw.random() < 0.8 else data[: draw.randrange(1, len(data))])


def many(seeds: range) -> tuple[int, str | None]:
    """Simulate these seeds; return the number of lives, and the error of the first that failed."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="optitrip-", dir=memory if os.access(memory, os.W_OK) else None))
    lives = 0
    try:
        for seed in seeds:
            try:
                lives += simulate(seed, folder, Clock(random.Random(seed)))
            except Exception as error:
                return lives, "\n".join(
                    [f"seed {seed}: {type(error).__name__}: {error}", *getattr(error, "__notes__", ())]
                )
    finally:
        shutil.rmtree(folder)
    return lives, None


def chunks(seeds: range, size: int = 250) -> Iterator[range]:
    return (seeds[first : first + size] for first in range(0, len(seeds), size))


def everywhere(seeds: range) -> tuple[int, list[str]]:
    """Simulate all seeds on all cores; return the number of lives, and the error of each chunk that failed."""
    # Behind everything else: Ray lowers the priority of its own workers, and tests beside this one would wait for them.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), os.nice, (19,)) as pool:
        outcomes = list(pool.map(many, chunks(seeds)))
    return sum(lives for lives, _ in outcomes), [error for _, error in outcomes if error]


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    begun = time.perf_counter()
    lived, errors = everywhere(range(first, first + count))
    print(f"{count:,} seeds from {first}, {lived:,} lives, {time.perf_counter() - begun:.0f} s; {len(errors)} failures")
    print("\n".join(errors))
    sys.exit(bool(errors))
