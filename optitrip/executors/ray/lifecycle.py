"""The life of Ray workers: started, accepted or rejected, replaced when lost, quarantined with their node."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Literal

import ray
import ray.exceptions

from optitrip.core.notice import Notice, warning
from optitrip.errors import Stopped
from optitrip.executors.ray.actor import Actor
from optitrip.executors.ray.cluster import await_room, capacity, check_listening, connect, is_alive
from optitrip.executors.ray.quarantine import PROVEN, Quarantine, Work
from optitrip.executors.ray.start import joins_cluster
from optitrip.runtime.fingerprint import MACHINE, differences, facts

STARTS_ALLOWED = 3
FROZEN_SECONDS, CHECK_SECONDS = 60.0, 1.0
HEAD_SECONDS = 20.0
"""Longest absence of the head in seconds; after 60 s Ray would end this process without a message."""


@dataclass(eq=False)
class WorkerHandle:
    """An actor and the slices that are queued at it."""

    actor: Any
    name: str = ""
    """Name of its slot; empty until it is ready."""
    node: str = ""
    calls: dict[int, tuple[Any, Work]] = field(default_factory=dict[int, tuple[Any, Work]])
    """References to the answers, and the work, by ticket in order of submission."""
    since: float = 0.0
    """Earliest moment at which the first of these calls can have started, by the monotonic clock in seconds."""
    taken: tuple[Any, Any] | None = None
    """References to the objective and the method that were sent to it last."""

    def forget(self, ticket: int) -> None:
        """Remove a call that has an outcome or needs none; the next one starts."""
        del self.calls[ticket]
        self.since = time.monotonic()


class Lifecycle:
    """The workers of a cluster that is joined or started here, with the fields of `RayPool` as arguments.

    Workers look for modules in `paths` first.
    """

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        paths: Sequence[str] = (),
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self._ours, self._over = not ray.is_initialized(), threading.Event()
        each = {"CPU": 1.0, **(resources or {})}
        connect(address, math.ceil(workers * each["CPU"]) if workers else None, self._over)
        try:
            held = capacity(each, joins_cluster(address))
            if not self._ours and not joins_cluster(address):
                await_room(each)
        except Exception:
            self._disconnect()
            raise
        self.wanted = workers or held
        self.slots: tuple[str, ...] = ()
        self._ready: dict[str, WorkerHandle] = {}
        self._notices: list[Notice] = []
        self._limit: float | None = None
        """Longest time of a slice in seconds."""
        self._quarantine = Quarantine()
        self._finished: SimpleQueue[tuple[WorkerHandle, int | None, Future[Any]]] = SimpleQueue()
        """Calls that returned or raised, with the ticket of their slice; None for the call that reports a start."""
        self._paths = list(paths)
        self._options = {
            "num_cpus": each.pop("CPU"),
            "num_gpus": each.pop("GPU", 0),
            "memory": each.pop("memory", None),
            "resources": each,
            "enable_task_events": False,  # the head of a cluster would receive each slice, and store it
        }
        self._head, self._head_seen = str(ray.get_runtime_context().gcs_address), time.monotonic()
        self._headless = False
        self._next_check = 0.0
        self._failed_starts = 0
        self._machine: dict[str, str] = {}
        """Kind of processor of the first worker."""
        self._quarantined: set[str] = set()
        """Nodes that are not used any more."""
        self._starting: set[WorkerHandle] = set()
        for _ in range(self.wanted):
            self._start_worker()

    def _start_worker(self) -> None:
        elsewhere = {"ray.io/node-id": f"!in({','.join(sorted(self._quarantined))})"} if self._quarantined else None
        worker = WorkerHandle(Actor.options(**self._options, label_selector=elsewhere).remote(self._paths))
        self._starting.add(worker)
        self._watch(worker, None, worker.actor.ready.remote())

    def _watch(self, worker: WorkerHandle, ticket: int | None, call: Any) -> None:
        """Put a call into `_finished` when it ends, in Ray's thread: `ray.wait` would look at all pending calls."""

        def report(future: Future[Any]) -> None:
            self._finished.put((worker, ticket, future))

        call.future().add_done_callback(report)

    def _on_ready(self, worker: WorkerHandle, future: Future[Any]) -> None:
        """Accept or reject a worker that has started, or start another one if it could not.

        Raises:
            Stopped: if workers cannot start, or the only one there is was rejected.
        """
        self._starting.discard(worker)
        try:
            worker.name, worker.node, fingerprint = future.result()
        except ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= STARTS_ALLOWED and not self._ready:
                raise Stopped(f"{self._failed_starts} Ray workers could not start: {error}") from None
            self._start_worker()
            return
        if worker.node in self._quarantined:  # the worker was on its way to the node before
            ray.kill(worker.actor)
            self._start_worker()
            return
        own = {name: fact for name, fact in facts().items() if name not in MACHINE}
        if different := differences({**own, **self._machine}, fingerprint):
            self._reject(worker, different)
            return
        self._machine = {name: fingerprint[name] for name in MACHINE}
        self._ready[worker.name] = worker
        self.slots = tuple(self._ready)
        self._failed_starts = 0

    def _reject(self, worker: WorkerHandle, different: list[str]) -> None:
        # It is not replaced: another worker would most likely start on the same machine.
        ray.kill(worker.actor)
        text = f"a Ray worker at {worker.name} would not reproduce results bit for bit: {'; '.join(different)}"
        if not self._ready and not self._starting:
            raise Stopped(f"{text}. There is no other worker; use nodes with the same libraries and kind of processor")
        self._notices.append(warning("worker-refused", f"{text}; it is not used"))

    def _quarantine_node(self, node: str) -> None:
        self._quarantined.add(node)
        text = (
            f"node {node[:8]} killed its workers under {PROVEN} slices that other nodes evaluated: it is not used any "
            "more. Check its disk, memory and drivers"
        )
        self._notices.append(warning("node-quarantined", text))
        for worker in self._ready.values():
            if worker.node == node:
                ray.kill(worker.actor)

    def _on_lost(self, worker: WorkerHandle) -> Literal["died", "timed out", "lost"]:
        """Replace a lost worker; return how the slice failed that it was evaluating."""
        del self._ready[worker.name]
        self.slots = tuple(self._ready)
        ray.kill(worker.actor)
        self._start_worker()
        if not is_alive(worker.node) or worker.node in self._quarantined:  # then the slice is hardly the cause
            return "lost"
        too_long = self._limit is not None and time.monotonic() - worker.since >= self._limit
        return "timed out" if too_long else "died"

    def _check(self) -> None:
        """Kill frozen workers and look for the head of the cluster, about once a second.

        Raises:
            Stopped: if the head is lost; nothing of the cluster can be used any more then.
        """
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        if self._limit is not None:
            for worker in self._ready.values():
                # Such a worker could not even end itself, e.g. because it was stopped by a signal.
                if worker.calls and now - worker.since > FROZEN_SECONDS + 2 * self._limit:
                    ray.kill(worker.actor)
        try:
            check_listening(self._head, CHECK_SECONDS)
            self._head_seen = time.monotonic()
        except OSError as error:
            if time.monotonic() - self._head_seen > HEAD_SECONDS:
                self._headless = True
                raise Stopped(f"the head of the Ray cluster, {self._head}, does not answer any more: {error}") from None

    def notices(self) -> list[Notice]:
        notices, self._notices = self._notices, []
        return notices

    def close(self) -> None:
        """Kill the workers, and Ray if it was started here."""
        if self._headless:  # whatever is asked of Ray now, it would wait for the head, and then end this process
            atexit.unregister(ray.shutdown)
            return
        for worker in [*self._ready.values(), *self._starting]:
            with suppress(Exception):  # the user may have shut Ray down already
                ray.kill(worker.actor)
        self._ready.clear()
        self._starting.clear()
        self.slots = ()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._ours:
            self._ours = False
            ray.shutdown()
            self._over.set()
