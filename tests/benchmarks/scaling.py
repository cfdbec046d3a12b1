"""How near to the ideal slots work on one local Ray, and what a slice costs the driver.

    uv run python tests/benchmarks/scaling.py [--quick]

Sleepers: a loss that sleeps, called plainly, on so many logical slots; they share the cores of this machine, as they
sleep. The time is that of a whole sweep, journal on disk and merging included, from when every slot has answered once;
ideal is items times seconds, over slots. The items are a multiple of the slots. Beside it stands what the workers' own
clocks say of their items, over the same ideal: a busy machine wakes sleepers late, and what is left is ours and Ray's.

Driver: CPU time of the driver's process a slice, by A/B in this process, in turns, as medians: a loop over bare Ray
actors (`ray.wait`, `ray.get`, two calls queued at each), then a sweep of as many slices of one item. In both, workers
evaluate the same items and answer in the same bytes, which the loop leaves as they are; an item sleeps 20 ms, on eight
slots, so that calls end one at a time, as on a cluster. The sweep's are said to take five seconds, so that its slices
never grow. Ours is the difference. With a journal in memory in place of one on disk the sweep shows what the
disk adds, and a sweep without Ray, whose parts are there already, shows ours by itself. Of both follows the largest
useful cluster: so many slots, with slices of a second, keep one driver busy.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice
from optitrip.core.observer import Observers, Progress
from optitrip.driver.run import Driver
from optitrip.driver.settings import Services
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.ray.start import RayPool
from optitrip.executors.serial import Worker
from optitrip.journal.journal import Journal
from optitrip.loss.objective import Objective
from optitrip.methods.search.method import Search
from optitrip.methods.search.spec import search_route
from optitrip.runtime.clock import Stopwatch
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

SPACE = Space.parse({"x": {"uniform": [0, 1]}})
SECONDS = 0.02
"""A slice, where the driver's work is measured."""


class Sleeper:
    """A loss that takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, x: float) -> float:
        if self.seconds:
            time.sleep(self.seconds)
        return x


class Prepared:
    """An executor without Ray: each slice is evaluated in this process, apart from the time that is measured."""

    slots = tuple(f"slot {n}" for n in range(8))

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.queue: list[tuple[int, range, str]] = []
        self.apart = 0.0

    def load(self, objective: Objective) -> None:
        self.objective = objective

    def stage(self, number: int, method: Any) -> None:
        self.method = method

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        self.queue.append((ticket, items, slot))

    def reuse(self) -> bool:
        return True

    def set_time_limit(self, seconds: float | None) -> bool:
        return True

    def cancel(self, ticket: int) -> None: ...

    def wait(self, timeout: float) -> list[Done | Failed]:
        begun = time.process_time()
        ticket, items, slot = self.queue.pop(0)
        answer = pickle.dumps((self.method.evaluate(self.objective, items), 5.0, ""), protocol=5)
        self.apart += time.process_time() - begun
        part, seconds, said = pickle.loads(answer)
        return [Done(ticket, part, seconds, slot, said)]

    def notices(self) -> list[Notice]:
        return []

    def close(self) -> None: ...


class Tiny:
    """An executor whose items are said to take five seconds each, so that the plan hands them out one by one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def wait(self, timeout: float) -> list[Done | Failed]:
        return [
            Done(o.ticket, o.part, 5.0 * len(o.part.items), o.worker) if isinstance(o, Done) else o
            for o in self.inner.wait(timeout)
        ]


def workers(slots: int) -> Any:
    """Ray workers, all of them there."""
    from optitrip.executors.ray.pool import RayWorkers

    made = RayWorkers(slots)
    while len(made.slots) < slots:
        made.wait(0.5)
    return made


def sweep(
    executors: ExecutorManager, objective: Objective, items: int, seed: int, folder: Path | None
) -> tuple[int, float]:
    """A search, with its journal in a folder or in memory; the number of its slices, and their seconds on workers."""
    journal = Journal(folder / f"journal-{seed}" if folder else Path(":memory:"))
    services = Services(executors, journal, Observers(Progress(items)), Stopwatch())
    driver = Driver(services, objective.capabilities.block)
    executors.use(objective, (), lambda notice: None)
    draws = Candidates(SPACE, seed)
    driver.run(search_route(Search(draws, items), objective.capabilities))
    slices, nanoseconds = journal._database.execute("SELECT count(*), sum(nanoseconds) FROM part").fetchone()
    journal.close()
    return slices, nanoseconds / 1e9


def over_ideal(slots: int, seconds: float, ideal: float, folder: Path) -> tuple[float, float, int, int]:
    """Run sleepers, and return time over ideal, time on workers over ideal, items and slices."""
    objective = Objective(Sleeper(seconds))
    executors = ExecutorManager(lambda: workers(slots))
    sweep(executors, objective, 2 * slots, 0, folder)
    items = slots * round(ideal / seconds)
    begun = time.perf_counter()
    slices, on_workers = sweep(executors, objective, items, 1, folder)
    taken = time.perf_counter() - begun
    executors.close()
    for journal in folder.iterdir():
        journal.unlink()
    return taken / (items * seconds / slots), on_workers / (items * seconds), items, slices


def bare(slots: int, objective: Objective, method: Any) -> tuple[list[Any], Callable[[int], None]]:
    """Bare Ray actors, and a loop of so many calls over them."""
    import ray

    class Bare:
        def __init__(self, objective: Objective, method: Any) -> None:
            self.worker, self.method = Worker(objective), method

        def evaluate(self, lo: int, hi: int) -> bytes:
            return pickle.dumps((*self.worker.evaluate(self.method, range(lo, hi)), ""), protocol=5)

    made: Any = ray.remote(Bare)
    actors = [made.options(num_cpus=0).remote(objective, method) for _ in range(slots)]
    ray.get([actor.evaluate.remote(0, 1) for actor in actors])

    def loop(calls: int) -> None:
        at: dict[Any, Any] = {}
        handed_out = done = 0
        free = actors * 2
        while done < calls:
            while free and handed_out < calls:
                actor = free.pop()
                at[actor.evaluate.remote(handed_out, handed_out + 1)] = actor
                handed_out += 1
            ready, _ = ray.wait(list(at), num_returns=1)
            for call in ready:
                ray.get(call)
                free.append(at.pop(call))
                done += 1

    return actors, loop


def driver_microseconds(slots: int, slices: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """CPU microseconds a slice of this process, by what it did, in each round."""
    import ray

    objective, awake = Objective(Sleeper(SECONDS)), Objective(Sleeper(0.0))
    tiny: Any = Tiny(workers(slots))
    executors = ExecutorManager(lambda: tiny)
    sweep(executors, objective, 4 * slots, 0, None)
    actors, loop = bare(slots, objective, Search(Candidates(SPACE, 0), slices))
    found: dict[str, list[float]] = {"bare": [], "memory": [], "disk": [], "without Ray": []}
    for number in range(rounds):
        for what, times in found.items():
            prepared = Prepared()
            begun = time.process_time()
            if what == "bare":
                loop(slices)
            elif what == "without Ray":
                sweep(ExecutorManager(lambda one=prepared: one), awake, slices, 100 + number, folder)
            else:
                done, _ = sweep(executors, objective, slices, 1 + number, folder if what == "disk" else None)
                assert done == slices, done
            times.append(1e6 * (time.process_time() - begun - prepared.apart) / slices)
    for actor in actors:
        ray.kill(actor)
    executors.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="5 s of ideal time in place of 30, fewer slices and rounds"
    )
    parser.add_argument("--only", choices=["sleepers", "driver"])
    arguments = parser.parse_args()
    quick, only = arguments.quick, arguments.only
    RayPool().prepare()
    from optitrip.executors.ray.cluster import connect
    from optitrip.executors.ray.local import LocalRay

    LocalRay().start(lambda: connect(None, 16))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        if only != "driver":
            print("| slots | items of | items | slices | time over ideal | of it asleep |\n|---|---|---|---|---|---|")
            for seconds in (0.05, 0.5):
                for slots in (2, 16):
                    ratio, asleep, items, slices = over_ideal(slots, seconds, 5.0 if quick else 30.0, folder)
                    print(
                        f"| {slots} | {1e3 * seconds:g} ms | {items:,} | {slices:,} | {ratio:.3f} | {asleep:.3f} |",
                        flush=True,
                    )
        if only != "sleepers":
            slots = 8
            found = driver_microseconds(slots, 400 if quick else 1_000, 3 if quick else 7, folder)
            bare_one = statistics.median(found["bare"])
            ours = {
                what: statistics.median(one - two for one, two in zip(found[what], found["bare"], strict=True))
                for what in ("memory", "disk")
            }
            print(
                f"\ndriver CPU a slice, {slots} slots, median of {len(found['bare'])}: "
                f"a bare Ray loop {bare_one:.0f} µs; "
                f"ours beside it {ours['memory']:.0f} µs with the journal in memory, {ours['disk']:.0f} µs on disk; "
                f"ours without Ray {statistics.median(found['without Ray']):.0f} µs"
            )
            print({what: [round(one) for one in times] for what, times in found.items()})
            useful = 1e6 / (bare_one + ours["disk"])
            print(f"largest useful cluster with slices of 1 s: {useful:,.0f} slots")


if __name__ == "__main__":
    main()
