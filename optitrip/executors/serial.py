"""Evaluates slices: `Worker` in any process, and `Serial`, the executor in this process, in which most sweeps start."""

import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import cloudpickle
from threadpoolctl import ThreadpoolController

from optitrip.core.arrays import ours
from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice
from optitrip.core.part import Part
from optitrip.runtime.interrupts import failure
from optitrip.runtime.process import timers_stopped
from optitrip.runtime.process_changes import changes, snapshot
from optitrip.runtime.streams import lenient_prints
from optitrip.runtime.tracebacks import text_of, trace_of


class Worker:
    """Evaluates slices of an objective. It holds only one context, which may be as large as the data."""

    def __init__(self, objective: Any) -> None:
        self._objective = objective
        self._preparation: bytes | None = None
        self._context: Any = None
        self._modules = -1
        self.changes: tuple[str, ...] | None = None
        """Names of what the first slice has changed in this process; None before it."""

    def evaluate(
        self, method: Any, items: range, within: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> tuple[Part, float]:
        """Evaluate a slice with the objective's number of BLAS threads: the bits of a matrix product differ between one
        thread and two.

        Return the part and the seconds it took. Neither they nor `within` include the preparation of the method.
        """
        # Finding the BLAS and OpenMP libraries costs as much as a small slice, so it is repeated only after imports.
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._controller = ThreadpoolController()
        with ours(), self._controller.limit(limits=getattr(self._objective, "threads", 1)):
            if self._preparation != method.preparation:
                self._context = self._preparation = None
                self._context = method.prepare(self._objective)
                self._preparation = method.preparation
            start = time.perf_counter()
            before = self._snapshot() if self.changes is None else {}
            with within(), timers_stopped():
                part = method.evaluate(self._context, items)
            seconds = time.perf_counter() - start
            if self.changes is None:
                self.changes = changes(before, self._snapshot())
            return part, seconds

    def _snapshot(self) -> dict[str, Any]:
        threads = {"the number of threads": [library.num_threads for library in self._controller.lib_controllers]}
        return snapshot(getattr(self._objective, "state", None)) | threads


class Serial:
    """An executor with one slot, this process."""

    slots = ("this process",)

    def __init__(self) -> None:
        self._queue: deque[tuple[int, int, range]] = deque()
        self._methods: dict[int, Any] = {}

    @property
    def nodes(self) -> Mapping[str, str]:
        return {}

    def reuse(self) -> bool:
        return True

    def load(self, objective: Any) -> None:
        self._worker = Worker(with_read_only_arrays(objective))

    def stage(self, number: int, method: Any) -> None:
        self._methods[number] = method

    def set_time_limit(self, seconds: float | None) -> bool:
        return seconds is None  # this process runs the item, so it cannot interrupt it

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        del slot  # there is only one
        self._queue.append((ticket, stage, items))

    def cancel(self, ticket: int) -> None:
        self._queue = deque(entry for entry in self._queue if entry[0] != ticket)

    def wait(self, timeout: float) -> list[Done | Failed]:
        del timeout  # slices are evaluated during this call, not in the background
        if not self._queue:
            return []
        ticket, stage, items = self._queue.popleft()
        try:
            with lenient_prints():
                part, seconds = self._worker.evaluate(self._methods[stage], items)
        except BaseException as error:
            return [Failed(ticket, "setup error", text_of(failure(error), trace_of(error)))]
        return [Done(ticket, part, seconds, *self.slots, changes=self._worker.changes or ())]

    def notices(self) -> list[Notice]:
        return []

    def close(self) -> None:
        self._queue.clear()


def with_read_only_arrays(objective: Any) -> Any:
    """Copy the objective as a Ray worker would receive it: its arrays share the original's memory but are read-only.

    Without this, a loss that writes to one of its arrays would work here and fail on a worker. An objective that cannot
    be pickled could not be sent to a worker anyway, and is returned unchanged.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = cloudpickle.dumps(objective, protocol=5, buffer_callback=buffers.append)
        return pickle.loads(data, buffers=[buffer.raw().toreadonly() for buffer in buffers])
    except BaseException as error:  # pickling runs user code, which may raise anything
        failure(error)
        return objective
