"""Starts workers in the background, while this process evaluates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from optitrip.core.executor import Executor
from optitrip.executors.ray.environment import joins_cluster, prepare
from optitrip.runtime.background import BackgroundCall, await_abandoned

POLL_SECONDS = 0.1
SWITCH_SECONDS = 1e-4
"""Longest time in seconds for which another thread holds Python's lock while workers start, by default 5 ms. An import
releases the lock for every file that it reads; beside a loss that holds it, importing Ray took five times as long."""


@dataclass(frozen=True)
class RayPool:
    """Makes Ray workers; Ray is imported when they are started."""

    workers: int | None = None
    """Number of slots; None for one for each CPU of the cluster."""
    address: str | None = None
    """Address of a Ray cluster to join."""
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    """Resources of each worker, by Ray's names: CPU, GPU, memory, or a custom one."""

    def prepare(self) -> str:
        """Set the environment, in the main thread, before workers are started; return the text of a notice."""
        prepare(self.address)
        return "joining a Ray cluster" if joins_cluster(self.address) else "starting Ray"

    def start(self, paths: tuple[str, ...]) -> Executor:
        """Start workers, which look for modules in these paths first; called in a thread of its own."""
        from optitrip.executors.ray.pool import RayWorkers

        return RayWorkers(self.workers, self.address, paths, self.resources)

    def describe(self, executor: Executor) -> str:
        """Return the text of a notice that workers are ready."""
        where = "Ray workers of the cluster" if joins_cluster(self.address) else "local Ray workers"
        return f"evaluating on {getattr(executor, 'wanted', len(executor.slots))} {where}"


class Start(BackgroundCall[Executor]):
    """The start of workers in a background thread.

    Args:
        start: makes the executor.
        objective: loaded before the start is done, which it then is once there are slots, so that workers have proved
            that they can evaluate; with None it is done as soon as the executor is made.
    """

    def __init__(self, start: Callable[[], Executor], objective: Any = None) -> None:
        self._start, self.objective, self._cancelled = start, objective, Event()
        super().__init__(self._start_and_load)

    def _start_and_load(self) -> Executor:
        await_abandoned()  # a process has one Ray at a time
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            executor = self._start()
            try:
                if self.objective is not None and not self._cancelled.is_set():
                    executor.load(self.objective)
                    while not executor.slots and not self._cancelled.is_set():
                        executor.wait(POLL_SECONDS)
            except BaseException:
                executor.close()
                raise
            return executor
        finally:
            sys.setswitchinterval(before)

    def stop(self) -> None:
        """Close the executor once it is ready, without waiting; only the end of the process waits for that."""
        self._cancelled.set()
        self.abandon(lambda executor: executor.close())
