"""Ray workers: one actor a slot. The only file that imports Ray's core; `ray_environment.prepare` comes before it.

Ray's own retries stay off: they would repeat a slice that kills its worker for ever, unseen. The driver's plan owns
every retry; here a lost actor is replaced, and that is all.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
import ray.exceptions

from optitrip.ahead import Ahead
from optitrip.errors import InputError, Stopped
from optitrip.executors import Done, Failed
from optitrip.executors.memory import peak_bytes
from optitrip.executors.ray_environment import joins_cluster
from optitrip.executors.said import heard
from optitrip.executors.worker import Worker
from optitrip.loading import use_import_paths

STARTS_ALLOWED = 3
ROOM_SECONDS = 10.0


def connect(address: str | None, cpus: int | None, over: threading.Event) -> None:
    """Start a local Ray, of so many logical CPUs or as many as there are, or join a cluster.

    A Ray that this process has already is used as it is. It is started in a thread of its own: in the main thread it
    would put a handler of SIGTERM in place that exits with status 15. The thread stays until Ray is `over`, for on
    Linux the kernel ends Ray's processes with the thread that started them.

    Raises:
        InputError: if the cluster cannot be joined.
    """
    if ray.is_initialized():
        return
    if address and address.startswith("ray://"):
        raise InputError(f"--address {address}: Ray Client is not supported; run on the cluster, or give its host:6379")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "optitrip"}
    if joins_cluster(address):
        where = address or os.environ.get("RAY_ADDRESS") or "auto"
        try:
            answers(where)
            Ahead(lambda: ray.init(address=where, **quiet), over).result()
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"no Ray cluster could be joined at {where}: {error}") from None
    else:
        try:
            local = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            Ahead(lambda: ray.init(**local, **quiet), over).result()
        except RuntimeError as error:
            raise InputError(f"Ray could not be started here: {error}; --executor serial does without") from None


def answers(address: str) -> None:
    """Try whether anything listens at host:port; Ray itself would try for two minutes.

    Raises:
        OSError: if nothing does.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def fitting(resources: Mapping[str, float], joins: bool) -> int:
    """How many workers with these resources the cluster holds now; at least one of a cluster that may yet grow.

    Raises:
        InputError: if the local machine cannot hold one.
    """
    there = ray.cluster_resources()
    count = min([int(there.get(name, 0) / need) for name, need in resources.items() if need > 0] or [1])
    if count < 1 and not joins:
        raise InputError(f"[run] resources: a worker wants {dict(resources)}, this machine has {there}")
    return max(1, count)


def await_room(resources: Mapping[str, float]) -> None:
    """Go on if this process's own Ray has room for one more worker; what is let go takes a moment to be free.

    Raises:
        InputError: if others, e.g. those of an open session, hold all of it: they would never let go.
    """
    end = time.monotonic() + ROOM_SECONDS
    while any(ray.available_resources().get(name, 0) < need for name, need in resources.items() if need > 0):
        if time.monotonic() > end:
            raise InputError(
                "all of the Ray in this process is in use, e.g. by an open optitrip.Session: use that one, or close it"
            )
        time.sleep(0.1)


@ray.remote(max_restarts=0, max_task_retries=0)
class Actor:
    """A worker in a process of Ray's."""

    def __init__(self, paths: Sequence[str]) -> None:
        use_import_paths(paths)
        self._objective: Any = None
        self._method: Any = None

    def ready(self) -> str:
        return f"{ray.util.get_node_ip_address()}:{os.getpid()}"

    def evaluate(self, objective: list[Any], method: list[Any], lo: int, hi: int) -> tuple[Any, ...] | str:
        """Evaluate a slice; what raises outside of the loss comes back as its traceback, in the words of this process.

        The references come inside lists: a bare one would be unpickled before the import paths are set, and a module of
        the user's would not be found.
        """
        try:
            with heard() as said:
                part, seconds = self._evaluate(objective, method, range(lo, hi))
            return part, seconds, said.text, peak_bytes()
        except Exception:
            return traceback.format_exc()

    def _evaluate(self, objective: list[Any], method: list[Any], items: range) -> tuple[Any, float]:
        if self._objective != objective[0]:
            self._worker: Any = None  # two data sets may not fit side by side
            self._worker = Worker(fetched(objective[0]))
            self._objective = objective[0]
        if self._method != method[0]:
            self._slices_of = fetched(method[0])
            self._method = method[0]
        return self._worker.evaluate(self._slices_of, items)


def fetched(reference: Any) -> Any:
    """An object from the store.

    Raises:
        Exception: as raised in unpickling it; Ray would hide it behind one of its own.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RaySystemError as error:
        raise error.__cause__ or error from None


class RayWorkers:
    """As many actors as there are slots; slices go to the one with the shortest queue.

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
        self._over = threading.Event()
        connect(address, math.ceil(workers * cpus) if workers else None, self._over)
        options = {
            "num_cpus": cpus,
            "num_gpus": wanted.pop("GPU", 0),
            "memory": wanted.pop("memory", None),
            "resources": wanted,
        }
        each = {"CPU": cpus, **(resources or {})}
        try:
            holds = fitting(each, joins_cluster(address))
            if not self._ours and not joins_cluster(address):
                await_room(each)
        except Exception:
            self._disconnect()
            raise
        self.wanted = workers or holds
        self._failed_starts = 0
        self._make = lambda: Actor.options(**options).remote(list(paths))
        self._queues: dict[Any, deque[Any]] = {}
        self._starting: dict[Any, Any] = {}
        self._tickets: dict[Any, int] = {}
        self._methods: dict[int, Any] = {}
        self._names: dict[Any, str] = {}
        for _ in range(self.wanted):
            self._hire()

    def _hire(self) -> None:
        actor: Any = self._make()
        self._starting[actor.ready.remote()] = actor

    @property
    def slots(self) -> int:
        return len(self._queues)

    def load(self, objective: Any) -> None:
        try:
            self._objective = ray.put(objective)
        except Exception as error:  # whatever the objects in it raise; Ray adds twenty lines on what it looked into
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            raise InputError(
                f"the objective cannot travel to Ray workers: {cause}. Make what cannot be pickled inside the loss, or "
                "use --executor serial"
            ) from None

    def stage(self, number: int, method: Any) -> None:
        self._methods[number] = ray.put(method)

    def submit(self, ticket: int, stage: int, items: range) -> None:
        actor = min(self._queues, key=lambda one: len(self._queues[one]))
        call = actor.evaluate.remote([self._objective], [self._methods[stage]], items.start, items.stop)
        self._queues[actor].append(call)
        self._tickets[call] = ticket

    def cancel(self, ticket: int) -> None:
        # Not `ray.cancel`: where it takes a call out of an actor's queue before it is sent, the actor waits 30 s for
        # the gap in its order (RAY_actor_scheduling_queue_max_reorder_wait_seconds). A slice is a second or two.
        for call in [call for call, its in self._tickets.items() if its == ticket]:
            self._forget(call)

    def wait(self, timeout: float) -> list[Done | Failed]:
        pending = [*self._tickets, *self._starting]
        ready, rest = ray.wait(pending, num_returns=1, timeout=timeout)
        if ready and rest:
            ready += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        for call in [call for call in ready if call in self._starting]:
            self._welcome(call)
        outcomes: list[Done | Failed] = []
        for call in [call for call in ready if call in self._tickets]:
            if call in self._tickets:  # not gone with its actor's first
                outcomes += self._outcome(call)
        return outcomes

    def _welcome(self, call: Any) -> None:
        actor = self._starting.pop(call)
        try:
            self._names[actor] = ray.get(call)
        except ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= STARTS_ALLOWED and not self._queues:
                raise Stopped(f"{self._failed_starts} Ray workers could not start: {error}") from None
            self._hire()
        else:
            self._queues[actor] = deque()
            self._failed_starts = 0

    def _outcome(self, call: Any) -> list[Done | Failed]:
        actor = next(one for one, queue in self._queues.items() if call in queue)
        try:
            answer = ray.get(call)
        except ray.exceptions.RayTaskError as error:
            return [Failed(self._forget(call), "raised", str(error))]
        except ray.exceptions.RayError as error:  # died, killed for its memory, or its node is gone
            return self._bury(actor, str(error).strip().splitlines()[-1])
        return [self._answered(self._forget(call), answer, actor)]

    def _answered(self, ticket: int, answer: Any, actor: Any) -> Done | Failed:
        if isinstance(answer, str):
            return Failed(ticket, "raised", answer)
        part, seconds, said, memory = answer
        return Done(ticket, part, seconds, self._names[actor], said, memory)

    def _bury(self, actor: Any, message: str) -> list[Done | Failed]:
        """What was queued at a lost actor. Slices run in order, so only the first unfinished one had begun."""
        outcomes: list[Done | Failed] = []
        began = True
        for call in self._queues.pop(actor):
            ticket = self._tickets.pop(call)
            try:
                outcomes.append(self._answered(ticket, ray.get(call, timeout=0), actor))
            except (ray.exceptions.RayError, TimeoutError):
                outcomes.append(Failed(ticket, "died" if began else "lost", message))
                began = False
        ray.kill(actor)
        self._hire()
        return outcomes

    def _forget(self, call: Any) -> int:
        for queue in self._queues.values():
            if call in queue:
                queue.remove(call)
        return self._tickets.pop(call)

    def close(self) -> None:
        for actor in [*self._queues, *self._starting.values()]:
            with suppress(Exception):  # somebody else may have shut Ray down already
                ray.kill(actor)
        self._queues.clear()
        self._starting.clear()
        self._tickets.clear()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._ours:
            self._ours = False
            ray.shutdown()
            self._over.set()
