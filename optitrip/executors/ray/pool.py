"""Ray workers: one actor a slot. `ray_environment.prepare` comes before Ray is imported.

Ray's own retries stay off: they would repeat a slice that kills its worker for ever, unseen. The driver's plan owns
every retry; here a lost actor is replaced, and that is all.
"""

from __future__ import annotations

import atexit
import math
import pickle
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import ray
import ray.exceptions
from ray.experimental import get_local_object_locations

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice, warning
from optitrip.errors import InputError, Stopped
from optitrip.executors.ray.actor import Actor
from optitrip.executors.ray.cluster import alive, answers, await_room, connect, fitting, store_bytes
from optitrip.executors.ray.environment import joins_cluster
from optitrip.executors.ray.quarantine import PROVEN, Quarantine, Work
from optitrip.runtime.fingerprint import MACHINE, differences, facts

STARTS_ALLOWED = 3
FROZEN_SECONDS, LOOK_SECONDS = 60.0, 1.0
HEAD_SECONDS = 20.0
"""The head may be away for so long; after 60 s Ray would end this process without a word."""


@dataclass(eq=False)
class WorkerHandle:
    """An actor, and the slices that it was given."""

    actor: Any
    name: str = ""
    """Empty until it is there."""
    node: str = ""
    calls: dict[int, tuple[Any, Work]] = field(default_factory=dict[int, tuple[Any, Work]])
    """References to what will come of them, and what they are, by ticket, in order of submission."""
    since: float = 0.0
    """When the first of them began, by the monotonic clock, or might have."""
    taken: tuple[Any, Any] | None = None
    """References to the objective and the method that it works on."""


class RayWorkers:
    """As many actors as there are slots.

    Each call tells of its end by itself, in a thread of Ray's: `ray.wait` looks at all that is pending, every time.

    Args:
        workers: slots wanted; by default one for each CPU of the cluster.
        address: of a cluster to join.
        paths: where workers look for modules first.
        resources: of each worker, by Ray's names: CPU, GPU, memory, or a custom one.
    """

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        paths: Sequence[str] = (),
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self._ours = not ray.is_initialized()
        wanted = dict(resources or {})
        cpus = wanted.pop("CPU", 1.0)
        self._notices: list[Notice] = []
        self._machine: dict[str, str] = {}
        """The kind of processor of the first worker."""
        self._limit: float | None = None
        self._look_at = 0.0
        self._over = threading.Event()
        connect(address, math.ceil(workers * cpus) if workers else None, self._over)
        options = {
            "num_cpus": cpus,
            "num_gpus": wanted.pop("GPU", 0),
            "memory": wanted.pop("memory", None),
            "resources": wanted,
            "enable_task_events": False,  # the head of a cluster would be told of each slice, and keep it
        }
        each = {"CPU": cpus, **(resources or {})}
        try:
            holds = fitting(each, joins_cluster(address))
            if not self._ours and not joins_cluster(address):
                await_room(each)
        except Exception:
            self._disconnect()
            raise
        self._head, self._head_at = str(ray.get_runtime_context().gcs_address), time.monotonic()
        self._headless = False
        self.wanted = workers or holds
        self._failed_starts = 0
        self._options, self._paths = options, list(paths)
        self._quarantine, self._quarantined = Quarantine(), set[str]()
        """Nodes that are not used any more."""
        self._starting: set[WorkerHandle] = set()
        self._there: dict[str, WorkerHandle] = {}
        self._slots: tuple[str, ...] = ()
        self._at: dict[int, WorkerHandle] = {}
        """Who has a slice, by ticket."""
        self._ended: SimpleQueue[tuple[WorkerHandle, int | None, Future[Any]]] = SimpleQueue()
        """Calls that are done or failed, with the ticket of their slice; None is the one that tells of a start."""
        self._methods: dict[int, Any] = {}
        for _ in range(self.wanted):
            self._start_worker()

    def _start_worker(self) -> None:
        elsewhere = {"ray.io/node-id": f"!in({','.join(sorted(self._quarantined))})"} if self._quarantined else None
        worker = WorkerHandle(Actor.options(**self._options, label_selector=elsewhere).remote(self._paths))
        self._starting.add(worker)
        self._expect(worker, None, worker.actor.ready.remote())

    def _expect(self, worker: WorkerHandle, ticket: int | None, call: Any) -> None:
        def tell(future: Future[Any]) -> None:
            self._ended.put((worker, ticket, future))

        call.future().add_done_callback(tell)

    @property
    def slots(self) -> tuple[str, ...]:
        return self._slots

    def load(self, objective: Any) -> None:
        try:
            self._objective = self._put(objective, "the objective")
        except Stopped:
            raise
        except Exception as error:  # whatever the objects in it raise; Ray adds twenty lines on what it looked into
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            raise InputError(
                f"the objective cannot travel to Ray workers: {cause}. Make what cannot be pickled inside the loss, or "
                "use --executor serial"
            ) from None

    def stage(self, number: int, method: Any) -> None:
        self._methods[number] = self._put(method, "the point")

    def _put(self, thing: Any, name: str) -> Any:
        """Bring something to the store of this node, from which the others fetch it.

        Raises:
            Stopped: if there is no room for it.
        """
        try:
            reference = ray.put(thing)
        except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
            raise Stopped(
                f"{name} does not fit into Ray's object store of {store_bytes() / 1e6:,.0f} MB, nor on the disk behind "
                f"it ({str(error).splitlines()[0]}); make room there, give Ray a larger store, or use --executor serial"
            ) from None
        size: int = get_local_object_locations([reference]).get(reference, {}).get("object_size") or 0
        if size > store_bytes():
            self._notices.append(
                warning(
                    "object-store",
                    f"{name} takes {size / 1e6:,.0f} MB, more than Ray's object store of {store_bytes() / 1e6:,.0f} "
                    "MB: what does not fit is kept on the disk, which takes longer",
                )
            )
        return reference

    def set_time_limit(self, seconds: float | None) -> bool:
        self._limit = seconds
        return True

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        worker = self._there[slot]
        work = (self._objective, self._methods[stage])
        if worker.taken != work:
            worker.actor.take.remote([work[0]], [work[1]])
            worker.taken = work
        call = worker.actor.evaluate.remote(items.start, items.stop, self._limit)
        if not worker.calls:
            worker.since = time.monotonic()
        worker.calls[ticket] = call, (stage, items)
        self._at[ticket] = worker
        self._expect(worker, ticket, call)

    def cancel(self, ticket: int) -> None:
        # Not `ray.cancel`: where it takes a call out of an actor's queue before it is sent, the actor waits 30 s for
        # the gap in its order (RAY_actor_scheduling_queue_max_reorder_wait_seconds). A slice is a second or two.
        if ticket in self._at:
            self._forget(ticket)

    def wait(self, timeout: float) -> list[Done | Failed]:
        outcomes: list[Done | Failed] = []
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._kill_frozen()
            self._look_at_head()
        try:
            ended = self._ended.get(timeout=timeout)
            while True:
                outcomes += self._take_in(*ended)
                ended = self._ended.get_nowait()
        except Empty:
            return outcomes

    def _kill_frozen(self) -> None:
        """A worker that could not even end itself, e.g. because it was stopped by a signal."""
        if self._limit is None:
            return
        for worker in self._there.values():
            if worker.calls and time.monotonic() - worker.since > FROZEN_SECONDS + 2 * self._limit:
                ray.kill(worker.actor)

    def _look_at_head(self) -> None:
        """Go on if the head of the cluster is there, or was a while ago.

        Raises:
            Stopped: if it is gone; nothing of the cluster can be used any more then.
        """
        try:
            answers(self._head, LOOK_SECONDS)
        except OSError as error:
            if time.monotonic() - self._head_at > HEAD_SECONDS:
                self._headless = True
                raise Stopped(f"the head of the Ray cluster, {self._head}, is gone: {error}") from None
        else:
            self._head_at = time.monotonic()

    def _take_in(self, worker: WorkerHandle, ticket: int | None, future: Future[Any]) -> list[Done | Failed]:
        if ticket is None:
            self._on_ready(worker, future)
            return []
        if self._at.get(ticket) is not worker:  # cancelled, or gone with its actor's first
            return []
        try:
            answer = future.result()
        except ray.exceptions.RayTaskError as error:
            self._forget(ticket)
            return [Failed(ticket, "setup error", str(error))]
        except ray.exceptions.RayError as error:  # died, killed for its memory, or its node is gone
            return self._on_lost(worker, str(error).strip().splitlines()[-1])
        _, work = worker.calls[ticket]
        self._forget(ticket)
        for node in self._quarantine.done(worker.node, work):
            self._quarantine_node(node)
        return [answered(ticket, answer, worker.name)]

    def _quarantine_node(self, node: str) -> None:
        """Use a node no more."""
        self._quarantined.add(node)
        workers = [worker for worker in self._there.values() if worker.node == node]
        self._notices.append(
            warning(
                "node-quarantined",
                f"node {node[:8]} killed its workers under {PROVEN} slices that others evaluated: it is not used any "
                "more",
            )
        )
        for worker in workers:
            ray.kill(worker.actor)

    def _on_ready(self, worker: WorkerHandle, future: Future[Any]) -> None:
        self._starting.discard(worker)
        try:
            worker.name, worker.node, there = future.result()
            if worker.node in self._quarantined:  # it was on its way there before
                ray.kill(worker.actor)
                self._start_worker()
                return
        except ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= STARTS_ALLOWED and not self._there:
                raise Stopped(f"{self._failed_starts} Ray workers could not start: {error}") from None
            self._start_worker()
        else:
            own = {name: fact for name, fact in facts().items() if name not in MACHINE}
            if other := differences({**own, **self._machine}, there):
                self._reject(worker, other)
                return
            self._machine = {name: there[name] for name in MACHINE}
            self._there[worker.name] = worker
            self._slots = tuple(self._there)
            self._failed_starts = 0

    def _reject(self, worker: WorkerHandle, other: list[str]) -> None:
        """A worker whose numbers might have other bits; another one would most likely come to the same machine.

        Raises:
            Stopped: if there is no other.
        """
        ray.kill(worker.actor)
        text = f"a Ray worker at {worker.name} would give other bits: {'; '.join(other)}"
        if not self._there and not self._starting:
            raise Stopped(f"{text}. There is no other worker; wanted the same libraries and kind of processor")
        self._notices.append(warning("worker-refused", f"{text}; it is not used"))

    def notices(self) -> list[Notice]:
        notices, self._notices = self._notices, []
        return notices

    def _on_lost(self, worker: WorkerHandle, message: str) -> list[Done | Failed]:
        """What was queued at a lost actor. Slices run in order, so only the first unfinished one had begun."""
        del self._there[worker.name]
        self._slots = tuple(self._there)
        outcomes: list[Done | Failed] = []
        began = alive(worker.node) and worker.node not in self._quarantined  # then it was hardly the slice
        timed_out = self._limit is not None and time.monotonic() - worker.since >= self._limit
        for ticket, (call, work) in list(worker.calls.items()):
            self._forget(ticket)
            try:
                outcomes.append(answered(ticket, ray.get(call, timeout=0), worker.name))
            except (ray.exceptions.RayError, TimeoutError):
                kind = "lost" if not began else "timed out" if timed_out else "died"
                if kind == "died":
                    self._quarantine.died(worker.node, work)
                outcomes.append(Failed(ticket, kind, message))
                began = False
        ray.kill(worker.actor)
        self._start_worker()
        return outcomes

    def _forget(self, ticket: int) -> None:
        worker = self._at.pop(ticket)
        del worker.calls[ticket]
        worker.since = time.monotonic()

    def close(self) -> None:
        if self._headless:  # whatever is asked of Ray now, it would wait for the head, and then end this process
            atexit.unregister(ray.shutdown)
            return
        for worker in [*self._there.values(), *self._starting]:
            with suppress(Exception):  # somebody else may have shut Ray down already
                ray.kill(worker.actor)
        self._there.clear()
        self._starting.clear()
        self._at.clear()
        self._slots = ()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._ours:
            self._ours = False
            ray.shutdown()
            self._over.set()


def answered(ticket: int, answer: Any, slot: str) -> Done | Failed:
    """The outcome of a slice, of what an actor said to it."""
    if isinstance(answer, str):
        return Failed(ticket, "setup error", answer)
    part, seconds, said, memory = pickle.loads(answer)
    return Done(ticket, part, seconds, slot, said, memory)
