"""Where sweeps are evaluated: in this process, on Ray workers, or first here and then there."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from optitrip.ahead import Ahead
from optitrip.core.notice import info
from optitrip.core.observer import Observer, Observers
from optitrip.driver.crew import Crew
from optitrip.driver.phases import Phases
from optitrip.errors import InputError
from optitrip.executors import Executor
from optitrip.executors.ray_environment import joins_cluster, prepare, ray_installed
from optitrip.executors.serial import Serial
from optitrip.objective import Objective

if TYPE_CHECKING:
    from optitrip.executors.ray_workers import RayWorkers

WORTH_RAY_SECONDS = 10.0
"""Below this the rest of a sweep is evaluated here: Ray takes five to ten seconds to start and one to stop."""


class Workplace:
    """Keeps an executor and its objective from one sweep to the next, until it is closed.

    Args:
        executor: "auto", "serial" or "ray".
        workers: slots wanted of Ray; one a CPU by default.
        address: of a Ray cluster to join.
        resources: of each Ray worker.

    Raises:
        InputError: if Ray is asked for and not installed.
    """

    def __init__(
        self,
        executor: str = "auto",
        workers: int | None = None,
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        if executor == "ray" and not ray_installed():
            raise InputError("--executor ray: Ray is not installed (it has no wheels for this platform?); use serial")
        self._joins = joins_cluster(address)
        self._ray_first = executor == "ray" or (executor == "auto" and self._joins and ray_installed())
        self._may_grow = executor == "auto" and ray_installed()
        self._workers, self._address, self._resources = workers, address, dict(resources or {})
        self._paths: tuple[str, ...] = ()
        self._starting: Ahead[RayWorkers] | None = None
        """Workers that nobody has yet."""
        self._leaving: Ahead[None] | None = None
        self._crew: Crew | None = None
        self._watch: Observer = Observers()
        self._phases = Phases()

    def begin(self, paths: tuple[str, ...], watch: Observer) -> None:
        """Start Ray meanwhile, if that is where the next sweep begins; a failure shows when a crew is wanted."""
        if self._ray_first and self._crew is None and self._starting is None:
            self._start(paths, watch)

    @property
    def begins_here(self) -> bool:
        """Whether the first items are evaluated in this process, though there might be workers."""
        return self._may_grow and not self._ray_first

    def apart(self) -> None:
        """From now on evaluate nothing in this process."""
        if self.begins_here:
            self.close()
            self._ray_first = True

    def crew(self, objective: Objective, paths: tuple[str, ...], watch: Observer, phases: Phases) -> Crew:
        """Those who evaluate this objective; they start when the first slice is to be evaluated.

        `paths` are where workers look for modules first; other ones than before need other workers.
        """
        self._watch, self._phases = watch, phases
        if paths != self._paths and (self._crew or self._starting):
            self.close()
        self._paths = paths
        if self._crew is None:
            begin = self._ray if self._ray_first else Serial
            grow = self._grow if self.begins_here else None
            self._crew = Crew(begin, objective, grow)
        self._crew.employ(objective)
        return self._crew

    def _start(self, paths: tuple[str, ...], watch: Observer) -> Ahead[RayWorkers]:
        watch.notice(info("executor", "joining a Ray cluster" if self._joins else "starting Ray"))
        prepare(self._address)
        self._paths = paths

        def start() -> RayWorkers:
            from optitrip.executors.ray_workers import RayWorkers

            return RayWorkers(self._workers, self._address, paths, self._resources)

        self._starting = Ahead(start)
        return self._starting

    def _ray(self) -> Executor:
        with self._phases.time("ray"):
            starting = self._starting or self._start(self._paths, self._watch)
            try:
                executor = starting.result()
            except Exception:
                self._starting = None  # whoever asks again may have more luck
                raise
            self._starting = None
            where = "Ray workers of the cluster" if self._joins else "local Ray workers"
            self._watch.notice(info("executor", f"evaluating on {executor.wanted} {where}"))
            return executor

    def _grow(self, seconds_left: float) -> Executor | None:
        if seconds_left < WORTH_RAY_SECONDS:
            self._watch.notice(
                info(
                    "executor",
                    f"evaluating in this process: about {seconds_left:.0f} s are left, less than Ray is worth",
                )
            )
            return None
        return self._ray()

    def leave(self) -> None:
        """Begin to let the executor go, while this thread goes on; `close` waits until it is gone."""
        if self._leaving is None:
            self._leaving = Ahead(self._let_go)

    def _let_go(self) -> None:
        if self._crew is not None:
            self._crew.close()
        if self._starting is not None:
            try:
                unused = self._starting.result()
            except Exception:  # there is nothing to let go
                return
            unused.close()

    def close(self) -> None:
        """Let the executor go."""
        self.leave()
        assert self._leaving is not None
        self._leaving.result()
        self._crew = self._starting = self._leaving = None

    def __enter__(self) -> Workplace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
