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
from optitrip.executors.ray.quarantine import PROVEN, Suspects, Work
from optitrip.runtime.fingerprint import MACHINE, differences, facts

STARTS_ALLOWED = 3
FROZEN_SECONDS, LOOK_SECONDS = 60.0, 1.0
HEAD_SECONDS = 20.0
"""The head may be away for so long; after 60 s Ray would end this process without a word."""


@dataclass(eq=False)
class Hired:
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
        self._news: list[Notice] = []
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
        self._suspects, self._avoided = Suspects(), set[str]()
        """Nodes that are not used any more."""
        self._starting: set[Hired] = set()
        self._there: dict[str, Hired] = {}
        self._slots: tuple[str, ...] = ()
        self._at: dict[int, Hired] = {}
        """Who has a slice, by ticket."""
        self._ended: SimpleQueue[tuple[Hired, int | None, Future[Any]]] = SimpleQueue()
        """Calls that are done or failed, with the ticket of their slice; None is the one that tells of a start."""
        self._methods: dict[int, Any] = {}
        for _ in range(self.wanted):
            self._hire()

    def _hire(self) -> None:
        elsewhere = {"ray.io/node-id": f"!in({','.join(sorted(self._avoided))})"} if self._avoided else None
        hired = Hired(Actor.options(**self._options, label_selector=elsewhere).remote(self._paths))
        self._starting.add(hired)
        self._expect(hired, None, hired.actor.ready.remote())

    def _expect(self, hired: Hired, ticket: int | None, call: Any) -> None:
        def tell(future: Future[Any]) -> None:
            self._ended.put((hired, ticket, future))

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
            self._news.append(
                warning(
                    "object-store",
                    f"{name} takes {size / 1e6:,.0f} MB, more than Ray's object store of {store_bytes() / 1e6:,.0f} "
                    "MB: what does not fit is kept on the disk, which takes longer",
                )
            )
        return reference

    def limit(self, seconds: float | None) -> bool:
        self._limit = seconds
        return True

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        hired = self._there[slot]
        work = (self._objective, self._methods[stage])
        if hired.taken != work:
            hired.actor.take.remote([work[0]], [work[1]])
            hired.taken = work
        call = hired.actor.evaluate.remote(items.start, items.stop, self._limit)
        if not hired.calls:
            hired.since = time.monotonic()
        hired.calls[ticket] = call, (stage, items)
        self._at[ticket] = hired
        self._expect(hired, ticket, call)

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
        for hired in self._there.values():
            if hired.calls and time.monotonic() - hired.since > FROZEN_SECONDS + 2 * self._limit:
                ray.kill(hired.actor)

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

    def _take_in(self, hired: Hired, ticket: int | None, future: Future[Any]) -> list[Done | Failed]:
        if ticket is None:
            self._welcome(hired, future)
            return []
        if self._at.get(ticket) is not hired:  # cancelled, or gone with its actor's first
            return []
        try:
            answer = future.result()
        except ray.exceptions.RayTaskError as error:
            self._forget(ticket)
            return [Failed(ticket, "raised", str(error))]
        except ray.exceptions.RayError as error:  # died, killed for its memory, or its node is gone
            return self._bury(hired, str(error).strip().splitlines()[-1])
        _, work = hired.calls[ticket]
        self._forget(ticket)
        for node in self._suspects.done(hired.node, work):
            self._avoid(node)
        return [answered(ticket, answer, hired.name)]

    def _avoid(self, node: str) -> None:
        """Use a node no more."""
        self._avoided.add(node)
        workers = [hired for hired in self._there.values() if hired.node == node]
        self._news.append(
            warning(
                "node-quarantined",
                f"node {node[:8]} killed its workers under {PROVEN} slices that others evaluated: it is not used any "
                "more",
            )
        )
        for hired in workers:
            ray.kill(hired.actor)

    def _welcome(self, hired: Hired, future: Future[Any]) -> None:
        self._starting.discard(hired)
        try:
            hired.name, hired.node, there = future.result()
            if hired.node in self._avoided:  # it was on its way there before
                ray.kill(hired.actor)
                self._hire()
                return
        except ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= STARTS_ALLOWED and not self._there:
                raise Stopped(f"{self._failed_starts} Ray workers could not start: {error}") from None
            self._hire()
        else:
            own = {name: fact for name, fact in facts().items() if name not in MACHINE}
            if other := differences({**own, **self._machine}, there):
                self._refuse(hired, other)
                return
            self._machine = {name: there[name] for name in MACHINE}
            self._there[hired.name] = hired
            self._slots = tuple(self._there)
            self._failed_starts = 0

    def _refuse(self, hired: Hired, other: list[str]) -> None:
        """A worker whose numbers might have other bits; another one would most likely come to the same machine.

        Raises:
            Stopped: if there is no other.
        """
        ray.kill(hired.actor)
        text = f"a Ray worker at {hired.name} would give other bits: {'; '.join(other)}"
        if not self._there and not self._starting:
            raise Stopped(f"{text}. There is no other worker; wanted the same libraries and kind of processor")
        self._news.append(warning("worker-refused", f"{text}; it is not used"))

    def news(self) -> list[Notice]:
        news, self._news = self._news, []
        return news

    def _bury(self, hired: Hired, message: str) -> list[Done | Failed]:
        """What was queued at a lost actor. Slices run in order, so only the first unfinished one had begun."""
        del self._there[hired.name]
        self._slots = tuple(self._there)
        outcomes: list[Done | Failed] = []
        began = alive(hired.node) and hired.node not in self._avoided  # then it was hardly the slice
        overstayed = self._limit is not None and time.monotonic() - hired.since >= self._limit
        for ticket, (call, work) in list(hired.calls.items()):
            self._forget(ticket)
            try:
                outcomes.append(answered(ticket, ray.get(call, timeout=0), hired.name))
            except (ray.exceptions.RayError, TimeoutError):
                kind = "lost" if not began else "overstayed" if overstayed else "died"
                if kind == "died":
                    self._suspects.died(hired.node, work)
                outcomes.append(Failed(ticket, kind, message))
                began = False
        ray.kill(hired.actor)
        self._hire()
        return outcomes

    def _forget(self, ticket: int) -> None:
        hired = self._at.pop(ticket)
        del hired.calls[ticket]
        hired.since = time.monotonic()

    def close(self) -> None:
        if self._headless:  # whatever is asked of Ray now, it would wait for the head, and then end this process
            atexit.unregister(ray.shutdown)
            return
        for hired in [*self._there.values(), *self._starting]:
            with suppress(Exception):  # somebody else may have shut Ray down already
                ray.kill(hired.actor)
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
        return Failed(ticket, "raised", answer)
    part, seconds, said, memory = pickle.loads(answer)
    return Done(ticket, part, seconds, slot, said, memory)
