"""Inject faults by a seed: into the plan alone, into a driver, into whole simulated sweeps."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice
from optitrip.executors.serial import Worker
from optitrip.scheduler.state import DEFAULT


class Faults:
    """Draws which slices end, how they end, in what order that is reported, and which slots there are.

    Args:
        seed: of all draws.
        trouble: probability that a slice kills its worker, and again that it is lost.
        poison: items that always kill their worker.
    """

    def __init__(self, seed: int, trouble: float = 0.1, poison: frozenset[int] = frozenset()) -> None:
        self.random = random.Random(seed)
        self.trouble, self.poison = trouble, poison
        self.wasted = 0
        """Number of workers killed by poison."""
        self.past: list[Done | Failed] = []
        """Outcomes that may be reported again."""
        self._deaths: dict[range, int] = {}

    def ended(self, tickets: Iterable[int], fewest: int = 0) -> list[int]:
        """Draw the slices that end now, at least `fewest` where there are so many, in any order."""
        tickets = sorted(tickets)
        count = self.random.randint(min(fewest, len(tickets)), len(tickets))
        return self.random.sample(tickets, k=count)

    def failure(self, ticket: int, items: range) -> Failed | None:
        """Draw how a slice fails; None if it does not. Chance alone never makes the plan give an item up."""
        draw = self.random.random()
        if self.poison.intersection(items):
            self.wasted += 1
            return Failed(ticket, "died", "poisoned")
        if draw < self.trouble and self._deaths.get(items, 0) < DEFAULT.deaths - 1:
            self._deaths[items] = self._deaths.get(items, 0) + 1
            return Failed(ticket, "died", "killed")
        return Failed(ticket, "lost", "gone") if draw < 2 * self.trouble else None

    def reported(self, outcomes: Sequence[Done | Failed]) -> list[Done | Failed]:
        """Return outcomes in any order, mixed with some from the past."""
        self.past += outcomes
        mixed = [*outcomes, *self.random.sample(self.past, k=min(len(self.past), self.random.randint(0, 4)))]
        self.random.shuffle(mixed)
        return mixed

    def changed(self, slots: Sequence[str], fewest: int = 1) -> tuple[str, ...]:
        """Return the slots, one more or one less."""
        return slot_names(max(fewest, len(slots) + self.random.randint(-1, 1)))


class Chaos(Faults):
    """An executor that evaluates right and does everything else wrong."""

    def __init__(self, seed: int, trouble: float = 0.1, poison: frozenset[int] = frozenset()) -> None:
        super().__init__(seed, trouble, poison)
        self.slots = slot_names(self.random.randint(1, 5))
        self.queue: dict[int, tuple[int, range, str]] = {}
        self.methods: dict[int, Any] = {}
        self.nodes: dict[str, str] = {}

    def load(self, objective: Any) -> None:
        self.worker: Any = Worker(objective)

    def stage(self, number: int, method: Any) -> None:
        self.methods[number] = method

    def reuse(self) -> bool:
        return True

    def set_time_limit(self, seconds: float | None) -> bool:
        return True

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        assert ticket not in self.queue
        assert slot in self.slots
        self.queue[ticket] = (stage, items, slot)

    def cancel(self, ticket: int) -> None:
        self.queue.pop(ticket, None)

    def wait(self, timeout: float) -> list[Done | Failed]:
        outcomes = self.reported([self._outcome(ticket) for ticket in self.ended(self.queue)])
        self.slots = self.changed(self.slots)
        return outcomes

    def notices(self) -> list[Notice]:
        return []

    def close(self) -> None:
        self.queue.clear()

    def _outcome(self, ticket: int) -> Done | Failed:
        stage, items, slot = self.queue.pop(ticket)
        if failed := self.failure(ticket, items):
            return failed
        part, _ = self.worker.evaluate(self.methods[stage], items)
        return Done(ticket, part, self.random.uniform(1e-4, 0.3), slot)


def slot_names(count: int) -> tuple[str, ...]:
    return tuple(f"slot {n}" for n in range(count))
