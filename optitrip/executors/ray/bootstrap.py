"""The actor that Ray makes on each slot. Ray ships this file's class by value, so that a node without optitrip says so
itself: a class that cannot be imported there would only be a worker that dies at its start, without a node."""

import sys
from collections.abc import Sequence
from typing import Any

import ray
from ray import cloudpickle


# Ray's own retries stay off: they would silently repeat a slice that kills its worker, forever.
@ray.remote(max_restarts=0, max_task_retries=0)
class Actor:
    """Makes a worker in a Ray process once the import path is set. Ray itself puts the driver's working directory first
    on it, so nothing may be imported before."""

    def __init__(self, paths: Sequence[str], libraries: Sequence[str], folder: str = ".") -> None:
        self._worker: Any = None
        try:
            from optitrip.runtime.libraries import put_first

            put_first(paths, libraries)
            from optitrip.executors.ray.actor import RayWorker

            self._worker = RayWorker(folder)
        except Exception as error:
            self._cause = f"{type(error).__name__}: {error}"

    def ready(self) -> tuple[str, str, dict[str, str] | str]:
        """Return the worker's name, its node, and the fingerprint of its numerical environment, or why it has none."""
        import os

        import ray

        name = f"{ray.util.get_node_ip_address()}:{os.getpid()}"
        return name, ray.get_runtime_context().get_node_id(), self._worker.facts() if self._worker else self._cause

    def load(self, files: Sequence[Any], objective: Sequence[Any], libraries: Sequence[str]) -> Any:
        return self._worker.load(files, objective, libraries)

    def set_references(self, objective: Sequence[Any], method: Sequence[Any]) -> None:
        self._worker.set_references(objective, method)

    def evaluate(self, lo: int, hi: int, limit: float | None) -> bytes | str:
        return self._worker.evaluate(lo, hi, limit)


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # pyright: ignore[reportPrivateImportUsage]
