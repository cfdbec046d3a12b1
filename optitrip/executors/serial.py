"""The serial executor: this process, one slice after the other. The reference, and the place to debug in."""

from __future__ import annotations

import traceback
from collections import deque
from typing import Any

from optitrip.executors import Done, Failed
from optitrip.executors.worker import Worker


class Serial:
    """One slot, in this process."""

    slots = 1

    def __init__(self) -> None:
        self._queue: deque[tuple[int, int, range]] = deque()
        self._methods: dict[int, Any] = {}

    def load(self, objective: Any) -> None:
        self._worker = Worker(objective)

    def stage(self, number: int, method: Any) -> None:
        self._methods[number] = method

    def submit(self, ticket: int, stage: int, items: range) -> None:
        self._queue.append((ticket, stage, items))

    def cancel(self, ticket: int) -> None:
        self._queue = deque(entry for entry in self._queue if entry[0] != ticket)

    def wait(self, timeout: float) -> list[Done | Failed]:
        del timeout  # nothing runs but here
        if not self._queue:
            return []
        ticket, stage, items = self._queue.popleft()
        try:
            part, seconds = self._worker.evaluate(self._methods[stage], items)
        except Exception:
            return [Failed(ticket, "raised", traceback.format_exc())]
        return [Done(ticket, part, seconds, "this process")]

    def close(self) -> None:
        self._queue.clear()
