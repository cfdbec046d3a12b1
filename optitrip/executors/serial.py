"""Evaluates in this process, one slice after the other: the reference, and the executor to debug with."""

from __future__ import annotations

import pickle
import traceback
from collections import deque
from typing import Any

import cloudpickle

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice
from optitrip.executors.worker import Worker


class Serial:
    """An executor with one slot, in this process."""

    slots = ("this process",)

    def __init__(self) -> None:
        self._queue: deque[tuple[int, int, range]] = deque()
        self._methods: dict[int, Any] = {}

    def load(self, objective: Any) -> None:
        self._worker = Worker(as_on_a_worker(objective))

    def stage(self, number: int, method: Any) -> None:
        self._methods[number] = method

    def set_time_limit(self, seconds: float | None) -> bool:
        return seconds is None  # whoever waits for the end of a call cannot end it

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        del slot  # there is only one
        self._queue.append((ticket, stage, items))

    def cancel(self, ticket: int) -> None:
        self._queue = deque(entry for entry in self._queue if entry[0] != ticket)

    def wait(self, timeout: float) -> list[Done | Failed]:
        del timeout  # slices are evaluated in this call, not beside it
        if not self._queue:
            return []
        ticket, stage, items = self._queue.popleft()
        try:
            part, seconds = self._worker.evaluate(self._methods[stage], items)
        except Exception:
            return [Failed(ticket, "setup error", traceback.format_exc())]
        return [Done(ticket, part, seconds, *self.slots)]

    def notices(self) -> list[Notice]:
        return []

    def close(self) -> None:
        self._queue.clear()


def as_on_a_worker(objective: Any) -> Any:
    """Return the objective as a Ray worker would have it: its arrays share this memory, but are read-only.

    A loss that writes to an array of its own would otherwise work here and fail there. An objective that cannot be
    pickled cannot be sent there either, and is returned as it is.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = cloudpickle.dumps(objective, protocol=5, buffer_callback=buffers.append)
        return pickle.loads(data, buffers=[buffer.raw().toreadonly() for buffer in buffers])
    except Exception:  # whatever the objects in it raise
        return objective
