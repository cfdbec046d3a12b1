"""Runs programs as children of this process, several at a time: a thread waits for each."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from optitrip.core.arrays import ours
from optitrip.core.executor import Done, Failed
from optitrip.executors.serial import with_read_only_arrays
from optitrip.executors.threads import Threads
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import text_of, trace_of


class Programs(Threads):
    """An executor for losses that are programs, with a slot for each that may run at a time."""

    def __init__(self, workers: int) -> None:
        super().__init__([f"program {number}" for number in range(1, workers + 1)])

    def evaluators(self, objective: Any) -> Sequence["Runs"]:
        # Each thread has its own objective: its program, and its settings.
        return [Runs(with_read_only_arrays(objective), slot) for slot in self.slots]


class Runs:
    """Evaluates slices of a loss that runs a program, which has a time limit of its own."""

    def __init__(self, objective: Any, slot: str) -> None:
        self._objective, self._slot = objective, slot
        self._preparation: bytes | None = None
        self._context: Any = None

    def evaluate(self, ticket: int, method: Any, items: range, limit: float | None) -> Done | Failed:
        del limit
        try:
            with ours():
                if self._preparation != method.preparation:
                    self._context, self._preparation = method.prepare(self._objective), method.preparation
                start = perf_counter()
                part = method.evaluate(self._context, items)
            return Done(ticket, part, perf_counter() - start, self._slot)
        except BaseException as error:
            return Failed(ticket, "setup error", text_of(failure(error), trace_of(error)))

    def close(self) -> None:
        self._objective.loss.close()
