"""What a worker does in its process, whichever executor it belongs to."""

from __future__ import annotations

import time
from typing import Any

from threadpoolctl import threadpool_limits

from optitrip.part import Part


class Worker:
    """Holds the objective and one context at a time: a context may be as large as the data."""

    def __init__(self, objective: Any) -> None:
        self._objective = objective
        self._preparation: bytes | None = None
        self._context: Any = None

    def evaluate(self, method: Any, items: range) -> tuple[Part, float]:
        """Evaluate a slice with one BLAS thread: the bits of a matrix product differ between one thread and two.

        Returns:
            The part, and the seconds it took without preparing the method.
        """
        with threadpool_limits(limits=1):
            if self._preparation != method.preparation:
                self._context = self._preparation = None
                self._context = method.prepare(self._objective)
                self._preparation = method.preparation
            start = time.perf_counter()
            part = method.evaluate(self._context, items)
            return part, time.perf_counter() - start
