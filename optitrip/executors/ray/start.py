"""Starts Ray workers in the background while this process evaluates. Ray is imported only then."""

import importlib.util
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from optitrip.core.executor import Executor
from optitrip.executors.ray.address import joins_cluster
from optitrip.runtime.background import BackgroundCall, await_abandoned

POLL_SECONDS = 0.1
SWITCH_SECONDS = 1e-4
"""Python's thread switch interval in seconds while workers start; the default is 5 ms. An import releases the GIL for
every file it reads: with the default, importing Ray took five times as long next to a loss that holds the GIL."""


def ray_installed() -> bool:
    """Return whether Ray is installed: it has no wheels for Intel Macs or Windows on ARM."""
    return importlib.util.find_spec("ray") is not None


@dataclass(frozen=True)
class RayPool:
    """Starts Ray workers with fixed options."""

    workers: int | None = None
    """Number of slots; None for one per CPU of the cluster."""
    address: str | None = None
    """Address of a Ray cluster to join."""
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    """Resources of each worker by their Ray names: CPU, GPU, memory, or a custom name."""

    def prepare(self) -> str:
        """Set, in the main thread, variables that Ray reads at import, unless set; return the text of a notice."""
        # `ray.init` sends no usage reports anyway; this disables them in the processes it starts as well.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Workers' logs are not sent to the driver, so only Ray's own messages about lost workers remain; they would go
        # to stdout and mix with the result. The driver reports lost workers itself.
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        # Avoids a warning about a future default on machines without a GPU.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if joins_cluster(self.address):
            return "joining a Ray cluster"
        # Under `uv run`, Ray would copy the working directory and build the environment anew for each worker.
        enabled = os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0").lower() in ("1", "true")
        if (constants := sys.modules.get("ray._private.ray_constants")) is not None:  # it has read the variable by now
            vars(constants)["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = enabled
        # With the first workers, Ray would wait for them in `ray.init`: for ever, if one dies before it has registered.
        os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
        # Ray holds the GIL while it waits for its head, 30 s by default; starting one takes a second or two.
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "10")
        if "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
            # Ray enables token authentication for a local cluster; once imported, it has read the mode. A fresh token
            # keeps it enabled, without Ray's warning and the file that it would leave in the home directory.
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        return "starting Ray"

    def start(self, paths: tuple[str, ...], folder: Path, files: Mapping[str, bytes]) -> Executor:
        """Start workers in this folder, with `paths` first on their import path; called in a background thread.

        Those on other hosts get `files`, by relative path, with the user's imported modules.
        """
        from optitrip.executors.ray.launch import start_workers

        return start_workers(self.workers, self.address, paths, self.resources, folder, files)

    def describe(self, executor: Executor) -> str:
        """Return the text of the notice that workers are ready."""
        room = int(getattr(executor, "room", len(executor.slots)))
        if not joins_cluster(self.address):
            return f"evaluating on {room} local Ray workers"
        most = "" if self.workers is None else f", and uses at most {self.workers}"
        return f"evaluating on the Ray cluster, which has room for {room} workers now{most}"


class Start(BackgroundCall[Executor]):
    """Starts workers in a background thread.

    Given an objective, it finishes once that is loaded and slots exist, i.e. workers have passed their checks; without
    one, as soon as the executor is made.
    """

    def __init__(self, start: Callable[[], Executor], objective: Any = None) -> None:
        self._start, self.objective, self._cancelled = start, objective, Event()
        super().__init__(self._start_and_load)

    def _start_and_load(self) -> Executor:
        await_abandoned()  # wait for an earlier start: a process can have only one Ray
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
        """Close the executor once it is ready, without waiting here; the process waits for that before it exits."""
        self._cancelled.set()
        self.abandon(lambda executor: executor.close())
