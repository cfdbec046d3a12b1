"""Runs programs as children of this process, several at a time: a thread waits for each."""

import threading
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

from optitrip.core.arrays import ours
from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice
from optitrip.executors.serial import with_read_only_arrays
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import text_of, trace_of

Task = tuple[int, Any, range] | None
"""Ticket, method and items of a slice; None to end."""


class Programs:
    """An executor for losses that are programs, with a slot for each that may run at a time."""

    def __init__(self, workers: int) -> None:
        self.slots = tuple(f"program {number}" for number in range(1, workers + 1))
        self._tasks: dict[str, SimpleQueue[Task]] = {slot: SimpleQueue() for slot in self.slots}
        self._outcomes: SimpleQueue[Done | Failed] = SimpleQueue()
        self._methods: dict[int, Any] = {}
        self._losses: list[Any] = []
        self._threads: list[threading.Thread] = []
        self._cancelled: set[int] = set()

    @property
    def nodes(self) -> Mapping[str, str]:
        return {}

    def reuse(self) -> bool:
        return True

    def load(self, objective: Any) -> None:
        self._stop_threads()
        for slot in self.slots:
            own = with_read_only_arrays(objective)  # each thread has its own: its program, and its settings
            self._losses.append(own.loss)
            thread = threading.Thread(target=self._serve, args=(slot, own), name=slot, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stage(self, number: int, method: Any) -> None:
        self._methods[number] = method

    def set_time_limit(self, seconds: float | None) -> bool:
        del seconds
        return True  # the loss ends its program itself

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
        """End all programs that run, and drop what they would have returned."""
        self._stop_threads()

    def _stop_threads(self) -> None:
        for slot in self.slots if self._threads else ():
            self._tasks[slot] = drained(self._tasks[slot])
        for loss in self._losses:
            loss.close()
        for thread in self._threads:
            thread.join()
        self._threads, self._losses = [], []
        self._tasks = {slot: SimpleQueue() for slot in self.slots}

    def _serve(self, slot: str, objective: Any) -> None:
        tasks = self._tasks[slot]
        preparation: bytes | None = None
        context: Any = None
        while (task := tasks.get()) is not None:
            ticket, method, items = task
            if ticket in self._cancelled:
                continue
            try:
                with ours():
                    if preparation != method.preparation:
                        context, preparation = method.prepare(objective), method.preparation
                    start = perf_counter()
                    part = method.evaluate(context, items)
                self._outcomes.put(Done(ticket, part, perf_counter() - start, slot))
            except BaseException as error:
                self._outcomes.put(Failed(ticket, "setup error", text_of(failure(error), trace_of(error))))


def drained(tasks: "SimpleQueue[Task]") -> "SimpleQueue[Task]":
    """Drop what is queued, and end the thread that serves it."""
    while True:
        try:
            tasks.get_nowait()
        except Empty:
            tasks.put(None)
            return tasks
