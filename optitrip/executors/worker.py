"""Evaluates slices in the process of a worker, whichever executor it belongs to."""

from __future__ import annotations

import pickle
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

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
    """Return the states of the random generators that a whole process shares."""
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
