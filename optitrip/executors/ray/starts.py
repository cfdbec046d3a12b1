"""Starts workers and checks each before its first slice; keeps as many wanted as the cluster can give."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import ray
import ray.exceptions

from optitrip.core.notice import Notice, info, warning
from optitrip.errors import NoAnswer, Stopped
from optitrip.executors.ray.actor import WorkerHandle
from optitrip.executors.ray.bootstrap import Actor
from optitrip.executors.ray.nodes import STARTS_ALLOWED, Nodes, room
from optitrip.executors.ray.objects import put
from optitrip.executors.ray.shipment import Proof, libraries_used, prove, shipment
from optitrip.executors.ray.waiting import View, node_of
from optitrip.runtime.fingerprint import MACHINE, differences, facts

REASON_SECONDS = 5.0
"""Time without a worker after which the user is told why."""


class Starts:
    """The workers that have been asked for and are not ready yet.

    On a cluster, there are always some more than it has room for: workers that wait for resources are the demand that
    its autoscaler sees, and get the room that another job leaves.
    """

    def __init__(
        self,
        needs: Mapping[str, float],
        imports: tuple[Sequence[str], Sequence[str], str],
        watch: Callable[[WorkerHandle, Any], Future[Any]],
        notices: list[Notice],
        *,
        proves: bool,
    ) -> None:
        self._proves = proves
        """True if workers prove before their first slice that they loaded what this process has."""
        self._needs, self._imports, self._watch, self._notices = dict(needs), imports, watch, notices
        self.nodes = Nodes()
        self.pending = set[WorkerHandle]()
        self.paused = False
        """True while no more workers are asked for, since there is nothing left to evaluate."""
        self._checked = set[WorkerHandle]()
        """Those of them that wait for the objective to be loaded."""
        self._machine: dict[str, str] = {}
        """Kind of processor of the first worker, which all others must match."""
        self._sent: tuple[Any, Any] | None = None
        """References to the user's files and to the objective; None before there is one."""
        self._files: str | None = None
        """Digest of these files."""
        self._proof = Proof({}, {}, "")
        self._proven, self._failed, self._trace = False, 0, ""
        self._alone_since, self._told = 0.0, ""

    def fill(self, wanted: int, ready: int) -> None:
        """Ask for workers until so many are ready or pending; without any left, also while that is paused."""
        self.paused = self.paused and ready > 0
        if not self.paused:
            for _ in range(wanted - ready - len(self.pending)):
                self._start()

    def _start(self) -> None:
        needs, excluded = dict(self._needs), ",".join(sorted(self.nodes.excluded))
        options: dict[str, Any] = {
            "num_cpus": needs.pop("CPU"),
            "num_gpus": needs.pop("GPU", 0),
            "memory": needs.pop("memory", None),
            "resources": needs,
            "enable_task_events": False,  # otherwise the head would receive and store an event for each slice
            "label_selector": {"ray.io/node-id": f"!in({excluded})"} if excluded else None,
        }
        made: Any = Actor
        actor = made.options(**options).remote(*self._imports)
        worker = WorkerHandle(actor)
        self.pending.add(worker)
        worker.awaited = self._watch(worker, actor.ready.remote())

    def load(self, objective: Any, data: Mapping[str, bytes]) -> bool:
        """Send the user's files and the objective to the workers that must prove what they load; return whether those
        that have loaded other files must be replaced."""
        sent = shipment(self._imports[0], data)
        replaced, self._files = self._files not in (None, sent.digest), sent.digest
        self._proof, self._proven = prove(libraries_used()), False
        self._sent = put(sent, "the user's modules", self._notices), objective
        checked, self._checked = self._checked, set()
        for worker in checked:
            self.check_load(worker)
        return replaced

    def check_load(self, worker: WorkerHandle) -> None:
        """Have a worker load the objective, once there is one; it is pending until it has."""
        self.pending.add(worker)
        if self._sent is None:
            self._checked.add(worker)
            return
        files, objective = self._sent
        call = worker.actor.load.remote([files], [objective], list(self._proof.libraries))
        worker.awaited = self._watch(worker, call)

    def answer(self, worker: WorkerHandle, future: Future[Any]) -> bool:
        """Handle what a pending worker answered; return whether it is ready now."""
        if worker not in self.pending or future is not worker.awaited:
            return False
        self.pending.discard(worker)
        try:
            answer = future.result()
        except ray.exceptions.RayError as error:
            self._not_started(worker, error)
            return False
        if not (self._checks(worker, answer) if isinstance(answer, tuple) else self._loads(worker, answer)):
            return False
        if self._proves and isinstance(answer, tuple):
            self.check_load(worker)
            return False
        self._failed = 0
        self.nodes.started(worker.node)
        worker.since = time.monotonic()
        return True

    def _not_started(self, worker: WorkerHandle, error: ray.exceptions.RayError) -> None:
        node = worker.node or node_of(worker.actor._actor_id.hex())
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # The last line of one that was killed for its memory is half a page of advice.
        cause = next((line for line in lines if "low on memory" in line), lines[-1])[:300]
        self._failed += 1
        if node and self.nodes.failed_start(node, cause):
            self._tell_excluded(node)
        elif not node and self._failed >= STARTS_ALLOWED and not self._machine:
            raise Stopped(f"{self._failed} Ray workers could not start: {error}")

    def _checks(self, worker: WorkerHandle, answer: tuple[str, str, Any]) -> bool:
        """Compare the numerical environment of a worker with that of the driver and the first worker."""
        worker.name, worker.node, found = answer
        self.nodes.note_address(worker.node, worker.name.rpartition(":")[0])
        if worker.node in self.nodes.excluded:  # its start was requested before
            ray.kill(worker.actor)
            return False
        if isinstance(found, str):
            self.exclude(worker, f"optitrip cannot be used there: {found}")
            return False
        own = {name: fact for name, fact in facts().items() if name not in MACHINE}
        if different := differences({**own, **self._machine}, found):
            self.exclude(worker, f"it would not reproduce results bit for bit: {'; '.join(different)}")
            return False
        self._machine = {name: found[name] for name in MACHINE}
        return True

    def _loads(self, worker: WorkerHandle, answer: Proof | str) -> bool:
        if isinstance(answer, str):
            self._trace = answer
            self.exclude(worker, f"the loss cannot be loaded there: {answer.strip().splitlines()[-1]}")
            return False
        if different := self._proof.differences(answer):
            self.exclude(worker, f"it would not reproduce results bit for bit: {'; '.join(different)}")
            return False
        self._proven = True
        return True

    def exclude(self, worker: WorkerHandle, cause: str) -> None:
        """Use a worker's node no more."""
        ray.kill(worker.actor)
        if worker.node not in self.nodes.excluded:
            self.nodes.excluded[worker.node] = cause
            self._tell_excluded(worker.node)

    def _tell_excluded(self, node: str) -> None:
        text = f"{self.nodes.name(node)} is not used: {self.nodes.excluded[node]}"
        self._notices.append(warning("worker-refused", text))

    def see(self, view: View, ready: int) -> int:
        """Return the number of workers that the nodes have room for; tell why there is none.

        Raise Stopped if no node can be used, or NoAnswer if none can load the loss.
        """
        possible = room(self.nodes.see(view.nodes), self._needs)
        if self.nodes.excluded and not ready and not possible:
            if self._trace and not self._proven:
                raise NoAnswer(self._trace)
            raise Stopped(f"no node can be used: {self.nodes.causes}")
        now = time.monotonic()
        self._alone_since = now if ready else self._alone_since or now
        if now - self._alone_since > REASON_SECONDS and view.reason != self._told:
            self._told = view.reason
            if view.reason:
                self._notices.append(info("no-workers", f"waiting for workers: {view.reason}"))
        return possible

    def drop(self, others: Iterable[WorkerHandle] = ()) -> None:
        """Withdraw the pending workers, and kill others."""
        for worker in [*self.pending, *others]:
            ray.kill(worker.actor)
        self.pending.clear()
        self._checked.clear()
