"""What runs in a process of Ray's."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any

import ray
import ray.exceptions

from optitrip.executors.worker import Worker
from optitrip.runtime.fingerprint import facts
from optitrip.runtime.imports import use_import_paths
from optitrip.runtime.process import lead_group, peak_bytes, time_limit
from optitrip.runtime.streams import capture_output


@ray.remote(max_restarts=0, max_task_retries=0)
class Actor:
    """A worker in a process of Ray's."""

    def __init__(self, paths: Sequence[str]) -> None:
        lead_group()
        use_import_paths(paths)
        self._objective: Any = None
        self._method: Any = None

    def ready(self) -> tuple[str, str, dict[str, str]]:
        """A name, the node, and what decides the bits of its numbers."""
        name = f"{ray.util.get_node_ip_address()}:{os.getpid()}"
        return name, ray.get_runtime_context().get_node_id(), facts()

    def take(self, objective: list[Any], method: list[Any]) -> None:
        """What the slices after this are of.

        The references come inside lists: a bare one would be unpickled before the import paths are set, and a module of
        the user's would not be found. They come once: in every call they would cost the driver more than all the rest.
        """
        self._given = (objective[0], method[0])

    def evaluate(self, lo: int, hi: int, limit: float | None) -> bytes | str:
        """Evaluate a slice; what raises outside of the loss comes back as its traceback, in the words of this process.

        The answer is pickled here: Ray would take apart and put together each array of a part for itself.
        """
        try:
            with capture_output() as said:
                part, seconds = self._evaluate(range(lo, hi), limit)
            return pickle.dumps((part, seconds, said.text, peak_bytes()), protocol=5)
        except Exception:
            return traceback.format_exc()

    def _evaluate(self, items: range, limit: float | None) -> tuple[Any, float]:
        objective, method = self._given
        if self._objective != objective:
            self._worker: Any = None  # two data sets may not fit side by side
            self._worker = Worker(fetched(objective))
            self._objective = objective
        if self._method != method:
            self._slices_of = fetched(method)
            self._method = method
        return self._worker.evaluate(self._slices_of, items, partial(time_limit, limit))


def fetched(reference: Any) -> Any:
    """An object from the store.

    Raises:
        Exception: as raised in unpickling it; Ray would hide it behind one of its own.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RaySystemError as error:
        raise error.__cause__ or error from None
