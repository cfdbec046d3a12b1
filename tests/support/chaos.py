"""An executor that does its work right and everything else wrong, by a seed."""

from __future__ import annotations

import random
from typing import Any

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice
from optitrip.executors.worker import Worker


class Chaos:
    """Delivers in any order, repeats, invents tickets, loses and kills slices, and changes its number of slots.

    A slice with a poison item always kills its worker.
    """

    def __init__(self, seed: int, trouble: float = 0.1, poison: frozenset[int] = frozenset()) -> None:
        self.random = random.Random(seed)
        self.trouble, self.poison, self.wasted = trouble, poison, 0
        self.slots = names(self.random.randint(1, 5))
        self.queue: dict[int, tuple[int, range, str]] = {}
        self.methods: dict[int, Any] = {}
        self.past: list[Done | Failed] = []
        self.deaths: dict[range, int] = {}

    def load(self, objective: Any) -> None:
        self.worker: Any = Worker(objective)

    def stage(self, number: int, method: Any) -> None:
        self.methods[number] = method

    def set_time_limit(self, seconds: float | None) -> bool:
        return True

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        assert ticket not in self.queue
        assert slot in self.slots
        self.queue[ticket] = (stage, items, slot)

    def cancel(self, ticket: int) -> None:
        self.queue.pop(ticket, None)

    def wait(self, timeout: float) -> list[Done | Failed]:
        del timeout
        outcomes: list[Done | Failed] = []
        for ticket in self.random.sample(sorted(self.queue), k=self.random.randint(0, len(self.queue))):
            stage, items, slot = self.queue.pop(ticket)
            fate = self.random.random()
            if self.poison.intersection(items):
                self.wasted += 1
                outcomes.append(Failed(ticket, "died", "poisoned"))
            elif fate < self.trouble and self.deaths.get(items, 0) < 2:
                self.deaths[items] = self.deaths.get(items, 0) + 1
                outcomes.append(Failed(ticket, "died", "killed"))
            elif fate < 2 * self.trouble:
                outcomes.append(Failed(ticket, "lost", "gone"))
            else:
                part, _ = self.worker.evaluate(self.methods[stage], items)
                outcomes.append(Done(ticket, part, self.random.uniform(1e-4, 0.3), slot))
        self.past += outcomes
        outcomes += self.random.sample(self.past, k=min(len(self.past), self.random.randint(0, 4)))
        self.random.shuffle(outcomes)
        self.slots = names(max(1, len(self.slots) + self.random.randint(-1, 1)))
        return outcomes

    def notices(self) -> list[Notice]:
        return []

    def close(self) -> None:
        self.queue.clear()


def names(count: int) -> tuple[str, ...]:
    return tuple(f"slot {n}" for n in range(count))
