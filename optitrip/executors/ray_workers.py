"""Ray workers: one actor a slot. The only file that imports Ray's core; `ray_environment.prepare` comes before it.

Ray's own retries stay off: they would repeat a slice that kills its worker for ever, unseen. The driver's plan owns
every retry; here a lost actor is replaced, and that is all.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import ray.exceptions

from optitrip.errors import InputError
from optitrip.executors import Done, Failed
from optitrip.executors.ray_environment import joins_cluster
from optitrip.executors.worker import Worker
from optitrip.loading import use_import_paths


def connect(address: str | None, slots: int | None) -> None:
    """Start a local Ray or join a cluster; a Ray that this process has is used as it is.

    Raises:
        InputError: if the cluster cannot be joined.
    """
    if ray.is_initialized():
        return
    if address and address.startswith("ray://"):
        raise InputError(f"--address {address}: Ray Client is not supported; run on the cluster, or give its host:6379")
    handler = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "optitrip"}
    if joins_cluster(address):
        where = address or os.environ.get("RAY_ADDRESS") or "auto"
        try:
            ray.init(address=where, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"no Ray cluster could be joined at {where}: {error}") from None
    else:
        ray.init(address="local", num_cpus=slots or os.cpu_count(), include_dashboard=False, **quiet)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray puts its own in place, which exits with status 15


@ray.remote(max_restarts=0, max_task_retries=0)
class Actor:
    """A worker in a process of Ray's."""

    def __init__(self, paths: Sequence[str]) -> None:
        use_import_paths(paths)
        self._objective: Any = None
        self._method: Any = None

    def ready(self) -> str:
        return f"{ray.util.get_node_ip_address()}:{os.getpid()}"

    def evaluate(self, objective: list[Any], method: list[Any], lo: int, hi: int) -> tuple[Any, float]:
        """Evaluate a slice. The references come inside lists: a bare one would be unpickled before the import paths are
        set, and a module of the user's would not be found."""
        if self._objective != objective[0]:
            self._worker: Any = None  # two data sets may not fit side by side
            self._worker = Worker(ray.get(objective[0]))
            self._objective = objective[0]
        if self._method != method[0]:
            self._slices_of = ray.get(method[0])
            self._method = method[0]
        return self._worker.evaluate(self._slices_of, range(lo, hi))


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
        connect(address, workers)
        wanted = dict(resources or {})
        cpus = wanted.pop("CPU", 1.0)
        options = {
            "num_cpus": cpus,
            "num_gpus": wanted.pop("GPU", 0),
            "memory": wanted.pop("memory", None),
            "resources": wanted,
        }
        total = ray.cluster_resources().get("CPU", 1)
        self.wanted = workers or max(1, int(total / max(cpus, 1e-9)))
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
        except TypeError as error:
            raise InputError(
                f"the objective cannot travel to Ray workers: {error}. Make what cannot be pickled inside the loss, or "
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
        except ray.exceptions.RayError:
            self._hire()
        else:
            self._queues[actor] = deque()

    def _outcome(self, call: Any) -> list[Done | Failed]:
        actor = next(one for one, queue in self._queues.items() if call in queue)
        try:
            part, seconds = ray.get(call)
        except (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
            return self._bury(actor, str(error).strip().splitlines()[-1])
        except ray.exceptions.RayTaskError as error:
            return [Failed(self._forget(call), "raised", str(error.cause or error))]
        except ray.exceptions.RayError as error:
            return [Failed(self._forget(call), "lost", str(error))]
        return [Done(self._forget(call), part, seconds, self._names[actor])]

    def _bury(self, actor: Any, message: str) -> list[Done | Failed]:
        """What was queued at a lost actor. Slices run in order, so only the first unfinished one had begun."""
        outcomes: list[Done | Failed] = []
        began = True
        for call in self._queues.pop(actor):
            ticket = self._tickets.pop(call)
            try:
                part, seconds = ray.get(call, timeout=0)
                outcomes.append(Done(ticket, part, seconds, self._names[actor]))
            except (ray.exceptions.RayError, TimeoutError):
                outcomes.append(Failed(ticket, "died" if began else "lost", message))
                began = False
        self._hire()
        return outcomes

    def _forget(self, call: Any) -> int:
        for queue in self._queues.values():
            if call in queue:
                queue.remove(call)
        return self._tickets.pop(call)

    def close(self) -> None:
        for actor in [*self._queues, *self._starting.values()]:
            ray.kill(actor)
        self._queues.clear()
        self._starting.clear()
        self._tickets.clear()
        if self._ours:
            ray.shutdown()
