"""A cluster in virtual time: nothing sleeps, and the plan hears of its slices as it would from a driver."""

from __future__ import annotations

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
        slowness: (slots,), seconds that each slot takes for one second of work.
        costs: (items,), seconds of work of each item.
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
    """Seconds of the longest slice; no stage ends before its dearest item does on a slow slot."""

    def __post_init__(self) -> None:
        self.names = tuple(f"slot {n}" for n in range(len(self.slowness)))
        self.speed = dict(zip(self.names, self.slowness.tolist(), strict=True))
        self.free_at = dict.fromkeys(self.names, 0.0)
        self.before = np.concatenate([[0.0], np.cumsum(self.costs)])

    @property
    def ideal(self) -> float:
        """Seconds in which the slots together do all the work, without latency and driver."""
        return float(self.before[-1] / np.sum(1 / self.slowness))

    def run(self, block: int = 1) -> float:
        """Run a stage of all items, and return its virtual seconds over the ideal."""
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
    """Draw the slowness of slots: log-normal, and every tenth four times slower."""
    random = np.random.default_rng(seed)
    slowness = np.exp(sigma * random.standard_normal(slots))
    slowness[random.permutation(slots)[: slots // 10]] *= 4
    return slowness


def item_costs(seconds: float, ideal: float, slowness: np.ndarray, varying: bool, seed: int) -> np.ndarray:
    """Draw the costs of items of `seconds` each on average, enough to keep the slots busy for `ideal` seconds."""
    count = max(1, round(ideal * float(np.sum(1 / slowness)) / seconds))
    if not varying:
        return np.full(count, seconds)
    factors = np.exp(0.5 * np.random.default_rng(seed).standard_normal(count))
    return seconds * factors / factors.mean()
