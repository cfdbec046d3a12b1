"""Starting workers in the background, while this process goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

from optitrip.core.executor import Executor
from optitrip.executors.ray.environment import joins_cluster, prepare
from optitrip.runtime.background import BackgroundCall, await_abandoned

NOTHING = object()
"""In place of an objective: none."""
LOOK_SECONDS = 0.1
SWITCH_SECONDS = 1e-4
"""Longest time for which another thread keeps Python's lock while workers start, by default 5 ms. An import gives the
lock up for every file that it reads; beside a loss that keeps it, importing Ray took five times as long."""


class Pool(Protocol):
    """Makes executors that evaluate on workers."""

    def prepare(self) -> str:
        """Do what must be done in the main thread before workers are started; return what a notice says of it."""
        ...

    def start(self, paths: tuple[str, ...]) -> Executor:
        """Start workers, which look for modules in these paths first; called in a thread of its own."""
        ...

    def describe(self, executor: Executor) -> str:
        """Return what a notice says once they are there."""
        ...


@dataclass(frozen=True)
class RayPool:
    """Makes Ray workers; Ray is imported when they are started."""

    workers: int | None = None
    """Number of slots; None for one a CPU."""
    address: str | None = None
    """Address of a Ray cluster to join."""
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    """Resources of each worker, by Ray's names."""

    def prepare(self) -> str:
        prepare(self.address)
        return "joining a Ray cluster" if joins_cluster(self.address) else "starting Ray"

    def start(self, paths: tuple[str, ...]) -> Executor:
        from optitrip.executors.ray.pool import RayWorkers

        return RayWorkers(self.workers, self.address, paths, self.resources)

    def describe(self, executor: Executor) -> str:
        where = "Ray workers of the cluster" if joins_cluster(self.address) else "local Ray workers"
        return f"evaluating on {getattr(executor, 'wanted', len(executor.slots))} {where}"


class Start:
    """Workers on their way.

    Args:
        start: makes the executor.
        objective: loaded into it before it counts as ready, which it then does when it has slots, so that workers have
            proved that they can evaluate; with `NOTHING` it is ready as soon as it is made.
    """

    def __init__(self, start: Callable[[], Executor], objective: Any = NOTHING) -> None:
        self._start, self.objective = start, objective
        self._unwanted = Event()
        self._call = BackgroundCall(self._run)

    def _run(self) -> Executor:
        await_abandoned()  # a process has one Ray at a time
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            return self._ready()
        finally:
            sys.setswitchinterval(before)

    def _ready(self) -> Executor:
        """Make the executor, and wait until it is ready."""
        executor = self._start()
        try:
            if self.objective is not NOTHING and not self._unwanted.is_set():
                executor.load(self.objective)
                while not executor.slots and not self._unwanted.is_set():
                    executor.wait(LOOK_SECONDS)
        except BaseException:
            executor.close()
            raise
        return executor

    @property
    def ready(self) -> bool:
        """Whether they are there, or could not be started."""
        return self._call.done

    def result(self) -> Executor:
        """Return the executor once it is ready.

        Raises:
            Exception: if it could not be started.
        """
        return self._call.result()

    def abandon(self) -> None:
        """Close the executor once it is there; nobody waits for that but the end of the process."""
        self._unwanted.set()
        self._call.abandon(lambda executor: executor.close())
