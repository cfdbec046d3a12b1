"""Starts Ray workers in the background, while this process evaluates. This file imports nothing of Ray before that."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from optitrip.core.executor import Executor
from optitrip.runtime.background import BackgroundCall, await_abandoned

POLL_SECONDS = 0.1
SWITCH_SECONDS = 1e-4
"""Longest time in seconds for which another thread holds Python's lock while workers start, by default 5 ms. An import
releases the lock for every file that it reads; beside a loss that holds it, importing Ray took five times as long."""


def ray_installed() -> bool:
    """Return whether Ray is installed: it has no wheels for Macs with Intel processors nor for Windows on ARM."""
    return importlib.util.find_spec("ray") is not None


def joins_cluster(address: str | None) -> bool:
    """Return whether there is a cluster to join: by argument, by RAY_ADDRESS, or because this is a Ray job."""
    where = address or os.environ.get("RAY_ADDRESS")
    return where != "local" and bool(where or os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"))


@dataclass(frozen=True)
class RayPool:
    """Makes Ray workers."""

    workers: int | None = None
    """Number of slots; None for one for each CPU of the cluster."""
    address: str | None = None
    """Address of a Ray cluster to join."""
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    """Resources of each worker, by Ray's names: CPU, GPU, memory, or a custom one."""

    def prepare(self) -> str:
        """Set, in the main thread, what Ray reads when imported, where a user has not; return the text of a notice."""
        # Reports are off for `ray.init` anyway; this keeps them off in the processes it starts.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Without the workers' logs, which the driver does not receive, the rest is Ray's own comments on lost workers;
        # they would go to stdout, into the result. The driver itself reports what became of a worker.
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        # A warning about a future default, printed on machines without a GPU.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if joins_cluster(self.address):
            return "joining a Ray cluster"
        # Under `uv run`, Ray would copy the working directory and build the environment anew for each worker.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        if "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
            # Ray turns token authentication on for a local cluster; one that is imported has read its mode already. A
            # token of its own keeps it on, without the warning and the file that Ray would leave in the home directory.
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        return "starting Ray"

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

    With an objective it is done once that is loaded and there are slots, so that workers have proved that they can
    evaluate; without one as soon as the executor is made.
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
