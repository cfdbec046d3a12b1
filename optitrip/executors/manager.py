"""The life of an executor: started early, exchanged for a larger one, kept from sweep to sweep, closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from optitrip.core.executor import Done, Executor
from optitrip.core.notice import Notice, info
from optitrip.errors import InputError
from optitrip.executors.ray.environment import joins_cluster, ray_installed
from optitrip.executors.serial import Serial
from optitrip.executors.start import NOTHING, Pool, RayPool, Start
from optitrip.runtime.background import BackgroundCall

if TYPE_CHECKING:
    from optitrip.config.tables import FailuresTable, RunTable


class ExecutorManager:
    """Evaluates in this process, on workers, or first here and then there: workers start while this process goes on.

    Args:
        here: makes the executor of this process; None to evaluate on workers only.
        pool: makes workers; None to evaluate in this process only.
    """

    def __init__(self, here: Callable[[], Executor] | None = Serial, pool: Pool | None = None) -> None:
        self._here, self._pool = here, pool
        self._executor: Executor | None = None
        self._on_workers = self._start_failed = False
        self._objective: Any = NOTHING
        self._loaded: Any = NOTHING
        self.paths: tuple[str, ...] = ()
        """Where workers look for modules first."""
        self._notify: Callable[[Notice], None] = lambda _: None
        self._starting: Start | None = None
        self._leaving: BackgroundCall[None] | None = None
        self.next_ticket = 0
        """Number of the next ticket; it counts on from sweep to sweep, since an executor may still hold slices."""
        self.memory: int | None = None
        """Highest resident memory of a worker, in bytes; None where all is in this process."""

    @property
    def begins_here(self) -> bool:
        """Whether items are evaluated in this process now, though there might be workers."""
        return self._here is not None and self._pool is not None and not self._on_workers

    @property
    def awaits_workers(self) -> bool:
        """Whether the next call of `executor` waits for workers."""
        return self._executor is None and self._here is None

    @property
    def may_start(self) -> bool:
        """Whether `start_workers` would start any."""
        return self.begins_here and self._starting is None and not self._start_failed

    def begin(self, paths: tuple[str, ...], notify: Callable[[Notice], None]) -> None:
        """Start workers early, if the next sweep begins on them; a failure shows when they are needed."""
        if self.awaits_workers and self._starting is None:
            self._notify, self.paths = notify, paths
            self._start(NOTHING)

    def use(self, objective: Any, paths: tuple[str, ...], notify: Callable[[Notice], None]) -> None:
        """Set what is evaluated from now on.

        Args:
            objective: another one than before, or the same.
            paths: where workers look for modules first; other ones than before need other workers.
            notify: called with notices for the user.
        """
        self._notify = notify
        if paths != self.paths and (self._executor or self._starting):
            self.close()
        self._objective, self.paths, self._start_failed = objective, paths, False

    def avoid_this_process(self) -> None:
        """Evaluate on workers only from now on, if there may be any."""
        if self.begins_here:
            self.close()
            self._here = None

    def executor(self) -> Executor:
        """Return the executor with the objective loaded; waits for workers where all is evaluated on them.

        Raises:
            InputError: if workers cannot be started, or the objective cannot travel.
        """
        if self._executor is None:
            # Kept before it is loaded, so that it is closed if that raises.
            self._executor = self._here() if self._here is not None else self._await_workers()
        if self._loaded is not self._objective:
            self._loaded = NOTHING
            self._executor.load(self._objective)
            self._loaded = self._objective
        return self._executor

    def start_workers(self) -> None:
        """Start workers in the background, to take over from this process."""
        if self.may_start:
            self._start(self._objective)

    def replacement(self) -> Executor | None:
        """Return workers that have become ready to take over, once; the executor before them is closed.

        Raises:
            Exception: if they could not be started; that is not tried again in this sweep.
        """
        if self._on_workers or self._starting is None or not self._starting.ready:
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
        self._executor, self._loaded = executor, self._objective
        self._on_workers, self._start_failed = True, False
        self._say_ready(executor)
        return executor

    def see(self, done: Done) -> None:
        """Note what a worker reports of itself."""
        if done.memory is not None:
            self.memory = max(done.memory, self.memory or 0)

    def _start(self, objective: Any) -> Start:
        assert self._pool is not None
        pool, paths = self._pool, self.paths
        self._notify(info("executor", pool.prepare()))
        self._starting = Start(lambda: pool.start(paths), objective)
        return self._starting

    def _await_workers(self) -> Executor:
        starting = self._starting or self._start(NOTHING)
        self._starting = None  # if they cannot be started, whoever asks again may have more luck
        try:
            executor = starting.result()
        except KeyboardInterrupt:
            starting.abandon()
            raise
        self._on_workers = True
        self._say_ready(executor)
        return executor

    def _say_ready(self, executor: Executor) -> None:
        assert self._pool is not None
        self._notify(info("executor", self._pool.describe(executor)))

    def leave(self) -> None:
        """Begin to let the executor go, while this thread goes on; `close` waits until it is gone.

        For workers that have not even started nobody waits.
        """
        if self._starting is not None:
            self._starting.abandon()
            self._starting = None
        if self._leaving is None:
            self._leaving = BackgroundCall(self._let_go)

    def _let_go(self) -> None:
        if self._executor is not None:
            self._executor.close()

    def close(self) -> None:
        """Let the executor go."""
        self.leave()
        assert self._leaving is not None
        self._leaving.result()
        self._executor = self._leaving = None
        self._loaded, self._on_workers = NOTHING, False

    def __enter__(self) -> ExecutorManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def executors(
    word: str = "auto",
    workers: int | None = None,
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
) -> ExecutorManager:
    """Return the executors that a sweep file asks for.

    Args:
        word: "auto", "serial" or "ray"; "auto" begins in this process, unless there is a cluster to join.
        workers: slots wanted of Ray; one a CPU by default.
        address: of a Ray cluster to join.
        resources: of each Ray worker.

    Raises:
        InputError: if Ray is asked for and not installed.
    """
    if word == "ray" and not ray_installed():
        raise InputError("--executor ray: Ray is not installed (it has no wheels for this platform?); use serial")
    if word == "serial" or not ray_installed():
        return ExecutorManager()
    only = word == "ray" or joins_cluster(address)
    return ExecutorManager(None if only else Serial, RayPool(workers, address, dict(resources or {})))


def executors_of(run: RunTable, failures: FailuresTable, address: str | None) -> ExecutorManager:
    """Return the executors that the tables of a sweep file ask for; `address` is that of a Ray cluster to join."""
    # A hanging loss can be ended in another process only.
    killable = run.executor == "auto" and failures.timeout_seconds is not None and ray_installed()
    return executors("ray" if killable else run.executor, run.workers, address, run.resources)
