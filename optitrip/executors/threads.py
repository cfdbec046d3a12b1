"""An executor with a thread for each slot, which waits for what evaluates slices outside of this process."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice

Task = tuple[int, Any, range] | None
"""Ticket, method and items of a slice; None to end."""


class Evaluator(Protocol):
    """Evaluates slices for one slot, one at a time, in a thread of its own."""

    def evaluate(self, ticket: int, method: Any, items: range, limit: float | None) -> Done | Failed:
        """Evaluate a slice, in at most `limit` seconds."""
        ...

    def close(self) -> None:
        """End what is evaluated now; called from another thread."""


class Threads(ABC):
    """An executor in this process; a subclass makes the evaluators of its slots."""

    def __init__(self, slots: Sequence[str]) -> None:
        self.slots = tuple(slots)
        self._tasks: dict[str, SimpleQueue[Task]] = {slot: SimpleQueue() for slot in self.slots}
        self._outcomes: SimpleQueue[Done | Failed] = SimpleQueue()
        self._methods: dict[int, Any] = {}
        self._evaluators: list[Evaluator] = []
        self._threads: list[threading.Thread] = []
        self._running: dict[str, int] = {}
        """Tickets of the slices that are evaluated now, by slot."""
        self._cancelled: set[int] = set()
        self._limit: float | None = None

    @abstractmethod
    def evaluators(self, objective: Any) -> Sequence[Evaluator]:
        """Make an evaluator of an objective for each slot."""

    @property
    def nodes(self) -> Mapping[str, str]:
        return {}

    def reuse(self) -> bool:
        return not any(ticket in self._cancelled for ticket in self._running.copy().values())

    def load(self, objective: Any) -> None:
        self._stop_threads()
        self._evaluators = list(self.evaluators(objective))
        for slot, evaluator in zip(self.slots, self._evaluators, strict=True):
            thread = threading.Thread(target=self._serve, args=(slot, evaluator), name=slot, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stage(self, number: int, method: Any) -> None:
        self._methods[number] = method

    def set_time_limit(self, seconds: float | None) -> bool:
        self._limit = seconds
        return True

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        self._tasks[slot].put((ticket, self._methods[stage], items))

    def cancel(self, ticket: int) -> None:
        self._cancelled.add(ticket)

    def wait(self, timeout: float) -> list[Done | Failed]:
        found: list[Done | Failed] = []
        try:
            found.append(self._outcomes.get(timeout=timeout) if timeout > 0 else self._outcomes.get_nowait())
            while True:
                found.append(self._outcomes.get_nowait())
        except Empty:
            return [outcome for outcome in found if outcome.ticket not in self._cancelled]

    def notices(self) -> list[Notice]:
        return []

    def close(self) -> None:
        """End everything that is evaluated now, and drop what it would have returned."""
        self._stop_threads()

    def _stop_threads(self) -> None:
        for slot in self.slots if self._threads else ():
            self._tasks[slot] = drained(self._tasks[slot])
        for evaluator in self._evaluators:
            evaluator.close()
        for thread in self._threads:
            thread.join()
        self._threads, self._evaluators = [], []
        self._tasks = {slot: SimpleQueue() for slot in self.slots}

    def _serve(self, slot: str, evaluator: Evaluator) -> None:
        tasks = self._tasks[slot]
        while (task := tasks.get()) is not None:
            ticket, method, items = task
            if ticket in self._cancelled:
                continue
            self._running[slot] = ticket
            outcome = evaluator.evaluate(ticket, method, items, self._limit)
            del self._running[slot]
            self._outcomes.put(outcome)


def drained(tasks: "SimpleQueue[Task]") -> "SimpleQueue[Task]":
    """Drop what is queued, and end the thread that serves it."""
    while True:
        try:
            tasks.get_nowait()
        except Empty:
            tasks.put(None)
            return tasks
