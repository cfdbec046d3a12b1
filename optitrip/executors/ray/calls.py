"""Calls to workers that have ended."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from optitrip.executors.ray.actor import WorkerHandle


class Calls:
    """Watches calls; each has the ticket of its slice, or None if its answer makes a worker ready."""

    def __init__(self) -> None:
        self._ended: SimpleQueue[tuple[WorkerHandle, int | None, Future[Any]]] = SimpleQueue()

    def watch(self, worker: WorkerHandle, call: Any, ticket: int | None = None) -> Future[Any]:
        future: Future[Any] = call.future()
        # The callback runs in Ray's thread. `ray.wait` would examine all pending calls each time.
        future.add_done_callback(lambda ended: self._ended.put((worker, ticket, ended)))
        return future

    def ended(self, timeout: float) -> Iterator[tuple[WorkerHandle, int | None, Future[Any]]]:
        """Yield the calls that have ended since the last time; wait up to `timeout` seconds for the first."""
        with suppress(Empty):
            yield self._ended.get(timeout=timeout)
            while True:
                yield self._ended.get_nowait()
