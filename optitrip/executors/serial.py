"""Evaluates slices: `Worker` in the process of any executor, `Serial` in this one, for reference and for debugging."""

from __future__ import annotations

import pickle
import random
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import cloudpickle
import numpy as np
from threadpoolctl import ThreadpoolController

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice
from optitrip.core.part import Part

RANDOM_STATE = (
    "the loss changes the random state of its process (random, numpy.random), so what it returns may depend on what "
    "the worker evaluated before; use a generator of the loss's own, seeded by its parameters"
)


class Worker:
    """Holds the objective and one context at a time: a context may be as large as the data."""

    def __init__(self, objective: Any) -> None:
        self._objective = objective
        self._preparation: bytes | None = None
        self._context: Any = None
        self._checked = False
        self._modules = -1

    def evaluate(
        self, method: Any, items: range, within: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> tuple[Part, float]:
        """Evaluate a slice with one BLAS thread: the bits of a matrix product differ between one thread and two.

        Return the part, and its seconds without the preparation of the method, which is not `within` either.
        """
        # Finding the libraries with threads of their own costs as much as a small slice, so it is done again only when
        # something was imported.
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._controller = ThreadpoolController()
        with self._controller.limit(limits=1):
            if self._preparation != method.preparation:
                self._context = self._preparation = None
                self._context = method.prepare(self._objective)
                self._preparation = method.preparation
            start = time.perf_counter()
            before = None if self._checked else random_states()
            with within():
                part = method.evaluate(self._context, items)
            seconds = time.perf_counter() - start
            if before is not None and before != random_states():
                print(RANDOM_STATE, file=sys.stderr)  # noqa: T201 - among what the loss prints
            self._checked = True
            return part, seconds


def random_states() -> tuple[Any, Any]:
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


class Serial:
    """An executor with one slot, in this process, which evaluates one slice after the other."""

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
