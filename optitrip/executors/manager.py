"""The life cycle of executors: start early, switch to workers, reuse across sweeps, close."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from optitrip.core.executor import Executor
from optitrip.core.notice import Notice, info, warning
from optitrip.errors import InputError, Stopped
from optitrip.executors.isolated.executor import Isolated
from optitrip.executors.programs import Programs
from optitrip.executors.ray.address import joins_cluster, unprotected
from optitrip.executors.ray.start import POLL_SECONDS, RayPool, Start, ray_installed
from optitrip.executors.serial import Serial
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.clock import Stopwatch
from optitrip.runtime.files import working_folder
from optitrip.runtime.posix import processors

if TYPE_CHECKING:
    from optitrip.config.run import RunTable
    from optitrip.config.sweep import Draft, FailuresTable


WAIT_NOTICE_SECONDS = 10.0
"""Pause between notices while workers are waited for."""


class ExecutorManager(AbstractContextManager["ExecutorManager"]):
    """Owns the executor: this process, workers, or this process until the workers are ready.

    `here` makes the executor of this process, None to evaluate on workers only; without a `pool` there are no workers.
    """

    def __init__(self, here: Callable[[], Executor] | None = Serial, pool: RayPool | None = None) -> None:
        self._here, self._pool = here, pool
        self._executor: Executor | None = None
        self._on_workers = self._start_failed = False
        self._objective: Any = None
        self._loaded: Any = None
        self.paths: tuple[str, ...] = ()
        """Folders that workers put first on their import path."""
        self.folder = working_folder()
        """Folder in which workers start: a loss may change into another one, relative to it, when it is imported."""
        self.files: Mapping[str, bytes] = {}
        """Files that the loss needs on other hosts, beside its imported modules, by relative path."""
        self._notify: Callable[[Notice], None] = lambda _: None
        self._starting: Start | None = None
        self._closing: BackgroundCall[None] | None = None
        self.next_ticket = 0
        """Number of the next ticket. The next sweep continues the count, since an executor may still hold slices."""
        self.memory: int | None = None
        """Highest resident memory of a worker in bytes; None where everything runs in this process."""

    @property
    def joins_cluster(self) -> bool:
        """True if workers are those of a cluster, on other hosts."""
        return self._pool is not None and joins_cluster(self._pool.address)

    @property
    def evaluates_here(self) -> bool:
        """True if items are evaluated in this process now, where a loss that crashes ends the driver."""
        return self._here is Serial and not self._on_workers

    @property
    def has_processes(self) -> bool:
        """True if items are evaluated in other processes of this machine, which die of nothing but their items."""
        return self._here not in (None, Serial) and not self._on_workers

    @property
    def starts_here(self) -> bool:
        """True if items are evaluated in this process now and workers may take over."""
        return self._here is not None and self._pool is not None and not self._on_workers

    @property
    def awaits_workers(self) -> bool:
        """True if the next call of `executor` waits for workers."""
        return self._executor is None and self._here is None

    @property
    def may_start(self) -> bool:
        """True if workers can be started to take over from this process."""
        return self.starts_here and self._starting is None and not self._start_failed

    def use(self, objective: Any, paths: tuple[str, ...], notify: Callable[[Notice], None]) -> None:
        """Set the objective and the receiver of notices; close workers that are lost or have other `paths`."""
        self._notify = notify
        if paths != self.paths and (self._executor or self._starting):
            self.close()
        if self._executor is not None and not self._executor.reuse():
            self.close()
        self._objective, self.paths, self._start_failed = objective, paths, False

    def leave_process(self) -> str:
        """Evaluate outside of this process from now on; return where."""
        self.close()
        self._here = None if self._pool is not None else partial(Isolated, 1)
        return "in a process of its own" if self._pool is None else "on Ray workers only"

    @contextmanager
    def workers_after(self, seconds: float) -> Generator[None]:
        """Start workers, if they `may_start`, once the body has taken so long."""
        if not self.may_start:
            yield
            return
        timer = threading.Timer(seconds, self.start_workers)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def executor(self, raise_if_stopped: Callable[[], None] = lambda: None) -> Executor:
        """Return the executor with the objective loaded; wait for workers if needed, unless a stop is requested.

        Raise InputError or Stopped if no workers start.
        """
        if self._executor is None:
            # Stored before the objective is loaded, so that the executor is closed if that raises.
            self._executor = self._here() if self._here is not None else self._await_workers(raise_if_stopped)
        if self._loaded is not self._objective:
            self._loaded = None
            self._executor.load(self._objective)
            self._loaded = self._objective
        return self._executor

    def start_workers(self) -> None:
        """Start workers in the background, to take over from this process, if they `may_start`."""
        self._starting = self._start(self._objective)

    def replacement(self) -> Executor | None:
        """Switch to workers once they are ready, and return them; None otherwise. Raise if they could not start."""
        if self._starting is None or not self._starting.done():
            return None
        starting, self._starting, self._start_failed = self._starting, None, True
        executor = starting.result()
        if starting.objective is not self._objective:
            try:
                executor.load(self._objective)
            except BaseException:
                executor.close()
                raise
        if self._executor is not None:
            self._executor.close()
        self._executor, self._loaded, self._start_failed = executor, self._objective, False
        return self._take_over(executor)

    def _start(self, objective: Any) -> Start:
        assert self._pool is not None
        pool, paths, folder, files = self._pool, self.paths, self.folder, self.files
        self._notify(info("executor", pool.prepare()))
        return Start(lambda: pool.start(paths, folder, files), objective)

    def _await_workers(self, raise_if_stopped: Callable[[], None]) -> Executor:
        starting, waited, told = self._start(None), Stopwatch(), 0.0
        try:
            while not wait([starting], POLL_SECONDS).done:
                raise_if_stopped()
                if waited.total - told > WAIT_NOTICE_SECONDS:
                    told = waited.total
                    self._notify(info("executor", f"still waiting for Ray to start, after {told:.0f} s"))
        except (KeyboardInterrupt, Stopped):
            starting.stop()
            raise
        return self._take_over(starting.result())

    def _take_over(self, workers: Executor) -> Executor:
        assert self._pool is not None
        self._on_workers = True
        self._notify(info("executor", self._pool.describe(workers)))
        if text := unprotected(self._pool.address):
            self._notify(warning("no-token", text))
        return workers

    def start_closing(self) -> None:
        """Close the executor in the background, for `close` to wait for; abandon workers that are still starting."""
        if self._starting is not None:
            self._starting.stop()
            self._starting = None
        if self._closing is None and self._executor is not None:
            self._closing = BackgroundCall(self._executor.close)

    def close(self) -> None:
        self.start_closing()
        if self._closing is not None:
            self._closing.result()
        self._executor = self._closing = self._loaded = None
        self._on_workers = False

    def __exit__(self, *_: object) -> None:
        self.close()


def executors(
    word: str = "auto",
    workers: int | None = None,
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    *,
    isolate: bool = False,
) -> ExecutorManager:
    """Make the manager for "ray", "serial", or "auto", which starts in this process unless it joins a cluster, or is to
    `isolate` the loss."""
    here = word != "ray" and not joins_cluster(address)
    if here and (reserved := reserved_by_ray(resources or {})):
        check_reserved(reserved, refused=isolate or word == "serial")
        word = "ray"
    if isolate and here:
        return ExecutorManager(partial(Isolated, count_of(word, workers, (resources or {}).get("CPU", 1.0))))
    if word == "ray" and not ray_installed():
        text = "Ray is not installed (it has no wheels for some platforms); use the executor serial"
        raise InputError(text, ("run", "executor"))
    if word == "serial" or not ray_installed():
        return ExecutorManager()
    workers_only = word == "ray" or joins_cluster(address)
    return ExecutorManager(None if workers_only else Serial, RayPool(workers, address, dict(resources or {})))


def executors_of(sweep: Draft, address: str | None) -> ExecutorManager:
    """Make the manager that a sweep file asks for; `address` is that of a Ray cluster to join. A program needs no Ray
    on this machine, and neither does a loss in a process of its own."""
    run = sweep.run
    if sweep.program is not None and programs_here(run.executor, address):
        return executors_of_programs(run.executor, run.workers, run.needs, sweep.program.threads)
    word = executor_word(run, sweep.failures)
    return executors(word, run.workers, address, run.needs, isolate=isolated(sweep))


def programs_here(word: str, address: str | None) -> bool:
    """Return whether programs are children of this process, rather than of Ray's workers."""
    return word != "ray" and not joins_cluster(address)


def executors_of_programs(
    word: str, workers: int | None, resources: Mapping[str, float], threads: int
) -> ExecutorManager:
    """Make the manager for programs that are children of this process, each with so many threads."""
    check_reserved(reserved_by_ray(resources), refused=True)
    cpus = max(resources.get("CPU", 1.0), float(threads))
    return ExecutorManager(partial(Programs, count_of(word, workers, cpus)))


def reserved_by_ray(resources: Mapping[str, float]) -> list[str]:
    """Return the names of resources that only Ray can reserve."""
    return [name for name, amount in resources.items() if amount and name != "CPU"]


def check_reserved(names: Sequence[str], *, refused: bool) -> None:
    """Raise InputError with the key of the first of some resources, if they are to be refused."""
    if names and refused:
        key = {"GPU": "num_gpus", "memory": "memory"}.get(names[0], "resources")
        raise InputError(f"{key}: only Ray reserves it, and nothing here would; wanted --executor ray", ("run", key))


def isolated(sweep: Draft) -> bool:
    """Return whether the loss is to have processes of its own on this machine: it is asked for, or it is the only way
    to end an item that takes too long."""
    return sweep.objective.isolate or (sweep.run.executor == "serial" and sweep.failures.timeout_seconds is not None)


def count_of(word: str, workers: int | None, cpus: float) -> int:
    """Return the number of processes on this machine, each of which takes so many of its processors."""
    return workers or (1 if word == "serial" else max(1, int(processors() / max(cpus, 1e-9))))


def executor_word(run: RunTable, failures: FailuresTable) -> str:
    """Return the executor of a sweep file: Ray if items have a time limit, since only a loss in another process can be
    ended when it hangs."""
    killable = run.executor == "auto" and failures.timeout_seconds is not None and ray_installed()
    return "ray" if killable else run.executor
