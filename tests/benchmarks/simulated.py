"""The plan on a large cluster, in virtual time: how near to the ideal it comes, and what it costs the driver.

    uv run python tests/benchmarks/simulated.py [--quick]

Nothing sleeps: a simulated cluster tells `optitrip.scheduler.plan` what became of its slices, as the driver would.
Slots are of uneven speed (log-normal, and every tenth four times slower), a slice takes 5 ms on top of its items, and
these are all alike or differ by a log-normal factor. The driver is either free of charge, which shows the plan alone,
or is busy for so many microseconds a slice, one slice after the other, which shows where a single driver ends.

Ideal is the time in which the slots together do the work of all items, without any of this.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import time
from dataclasses import dataclass, field

import numpy as np

from optitrip.core.executor import Done
from optitrip.core.part import Part
from optitrip.scheduler import plan
from optitrip.scheduler.events import Event, Slots, Submit


@dataclass
class Cluster:
    """Slots that take slices in virtual time.

    Args:
        slowness: of each slot, (slots,): seconds that it takes for what takes one on a slot of speed 1.
        costs: of each item, (items,): seconds on a slot of speed 1.
        latency: seconds that a slice takes beside its items.
        driver: seconds of the driver a slice.
    """

    slowness: np.ndarray
    costs: np.ndarray
    latency: float = 0.005
    driver: float = 0.0
    now: float = 0.0
    handed_out: list[range] = field(default_factory=list[range])
    steps: int = 0
    plan_seconds: float = 0.0
    longest: float = 0.0
    """Seconds of the longest slice: that of the dearest item on a slow slot ends when it ends."""

    def __post_init__(self) -> None:
        self.names = tuple(f"slot {n}" for n in range(len(self.slowness)))
        self.speed = dict(zip(self.names, self.slowness.tolist(), strict=True))
        self.free_at = dict.fromkeys(self.names, 0.0)
        self.before = np.concatenate([[0.0], np.cumsum(self.costs)])

    @property
    def ideal(self) -> float:
        return float(self.before[-1] / np.sum(1 / self.slowness))

    def run(self, block: int = 1) -> float:
        """A stage of all items; the virtual seconds it took, over the ideal."""
        state = plan.begin([range(len(self.costs))], block, 0)
        ends: list[tuple[float, int, Done]] = []
        order = itertools.count()
        events: list[Event] = [Slots(self.names)]
        while True:
            begun = time.thread_time()
            state, actions = plan.step(state, events)
            self.plan_seconds += time.thread_time() - begun
            self.steps += 1
            for action in actions:
                assert isinstance(action, Submit), action
                self.now += self.driver
                done = self.evaluate(action)
                heapq.heappush(ends, (self.free_at[action.slot], next(order), done))
            if state.complete:
                return self.now / self.ideal
            if len(actions) < plan.SUBMITS_PER_STEP:
                self.now = max(self.now, ends[0][0])
            events = []
            while ends and ends[0][0] <= self.now:
                events.append(heapq.heappop(ends)[2])

    def evaluate(self, submit: Submit) -> Done:
        items = submit.items
        seconds = float(self.before[items.stop] - self.before[items.start]) * self.speed[submit.slot]
        self.free_at[submit.slot] = max(self.now, self.free_at[submit.slot]) + self.latency + seconds
        self.handed_out.append(items)
        self.longest = max(self.longest, seconds)
        return Done(submit.ticket, Part(items, {}), seconds, submit.slot)


def uneven(slots: int, seed: int, sigma: float = 0.3) -> np.ndarray:
    """How slow slots are: log-normal, and every tenth four times slower."""
    random = np.random.default_rng(seed)
    slowness = np.exp(sigma * random.standard_normal(slots))
    slowness[random.permutation(slots)[: slots // 10]] *= 4
    return slowness


def item_costs(seconds: float, ideal: float, slowness: np.ndarray, varying: bool, seed: int) -> np.ndarray:
    """Of so many items of `seconds` each, as a mean, that the slots are busy for `ideal` seconds."""
    count = max(1, round(ideal * float(np.sum(1 / slowness)) / seconds))
    if not varying:
        return np.full(count, seconds)
    factors = np.exp(0.5 * np.random.default_rng(seed).standard_normal(count))
    return seconds * factors / factors.mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 slots for 30 s only")
    parser.add_argument("--driver", type=float, default=500, help="microseconds of the driver a slice; 500 by default")
    arguments = parser.parse_args()
    cases = [(1_000, 30.0)] if arguments.quick else [(1_000, 30.0), (10_000, 30.0), (10_000, 300.0)]
    columns = ["slots", "ideal", "items of", "costs", "driver a slice", "time over ideal", "slices"]
    columns += ["longest slice", "plan a step", "plan a slice"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for (slots, ideal), seconds, varying, driver in itertools.product(
        cases, (0.005, 0.05, 0.5), (False, True), (0.0, arguments.driver)
    ):
        slowness = uneven(slots, 1)
        if ideal * slots / seconds > 2e7:
            continue
        cluster = Cluster(slowness, item_costs(seconds, ideal, slowness, varying, 2), driver=driver * 1e-6)
        ratio, slices = cluster.run(), len(cluster.handed_out)
        print(
            f"| {slots:,} | {cluster.ideal:.0f} s | {1e3 * seconds:g} ms | {'varying' if varying else 'constant'} "
            f"| {driver:.0f} µs | {ratio:.3f} | {slices:,} | {cluster.longest:.1f} s "
            f"| {1e6 * cluster.plan_seconds / cluster.steps:.0f} µs "
            f"| {1e6 * cluster.plan_seconds / slices:.0f} µs |",
            flush=True,
        )


if __name__ == "__main__":
    main()
