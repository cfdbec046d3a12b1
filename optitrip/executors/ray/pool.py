"""Evaluates slices on Ray workers, one actor per slot. Call `RayPool.prepare` before Ray is imported.

The scheduler decides every retry; this file only replaces lost workers.
"""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ray
import ray.exceptions

from optitrip.core.executor import Done, Failed
from optitrip.core.notice import Notice, warning
from optitrip.executors.ray.actor import WorkerHandle, outcome
from optitrip.executors.ray.address import joins_cluster
from optitrip.executors.ray.calls import Calls
from optitrip.executors.ray.cluster import capacity, connect, is_alive
from optitrip.executors.ray.local import SHUTDOWN_SECONDS, LocalRay, leave, shut_down, stopped_if_dead
from optitrip.executors.ray.objects import put, put_objective
from optitrip.executors.ray.quarantine import PROVEN, Quarantine
from optitrip.executors.ray.shared import Connection, holds_all_cpus, user_imports_ray
from optitrip.executors.ray.starts import Starts
from optitrip.executors.ray.variables import RayVariables
from optitrip.executors.ray.waiting import View, look
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.shadowing import shadowing_files

FROZEN_SECONDS, CHECK_SECONDS = 60.0, 1.0
BUSY_SECONDS = 2.0
"""Longest wait before a sweep for slices that the last one cancelled."""
IDLE_SECONDS = 5.0
"""Time without a slice after which a worker's resources are given back, if another job waits for some."""


class RayWorkers:
    """An executor on a Ray cluster that it joins or starts; takes the fields of `RayPool`, import paths, and the folder
    in which workers start. It raises Stopped once the `local` Ray that it uses has died."""

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        paths: Sequence[str] = (),
        resources: Mapping[str, float] | None = None,
        local: LocalRay | None = None,
        folder: Path | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self._ours, self._local = not ray.is_initialized(), local
        self._variables = RayVariables()
        self._needs = {"CPU": 1.0, **(resources or {})}
        imports = list(paths), sorted(shadowing_files(paths)), str(folder or ".")
        # One CPU more, for a loss that uses Ray itself.
        cpus = math.ceil(workers * self._needs["CPU"]) + 1 if workers else None
        connect(address, cpus, libraries_first=bool(imports[1]))
        self._cluster = joins_cluster(address)
        try:
            held = capacity(self._needs, self._cluster, self._ours)
        except Exception:
            self._disconnect()
            raise
        self._ceiling, self.room = workers, held  # most workers to use; the number that there is room for now
        self._may_spare, self._user_imports_ray = workers is None and held > 1, False
        self.slots: tuple[str, ...] = ()
        self._ready: dict[str, WorkerHandle] = {}
        self._notices: list[Notice] = []
        self._limit: float | None = None
        """Time limit of a slice in seconds."""
        self._quarantine, self._calls = Quarantine(), Calls()
        self._connection, self._next_check = Connection(), 0.0
        self._looking: BackgroundCall[View] | None = None
        self._files = dict(files or {})
        self._job = ray.get_runtime_context().get_job_id()
        self._starts = Starts(self._needs, imports, self._calls.watch, self._notices, proves=self._cluster)
        self._starts.fill(self.wanted, 0)

    @property
    def wanted(self) -> int:
        """Number of workers to be ready or pending. Where the cluster may grow, they are more than it has room for."""
        if self._ceiling is not None or not self._cluster:
            return self._ceiling or self.room
        return self.room + max(1, len(self._ready) // 2)

    @property
    def nodes(self) -> Mapping[str, str]:
        return {slot: self._starts.nodes.name(worker.node) for slot, worker in self._ready.items()}

    def _quarantine_node(self, node: str) -> None:
        cause = f"its workers died on {PROVEN} slices that other nodes evaluated. Check its disk, memory and drivers"
        self._starts.nodes.excluded[node] = cause
        text = f"{self._starts.nodes.name(node)} is no longer used: {cause}"
        self._notices.append(warning("node-quarantined", text))
        for worker in self._ready.values():
            if worker.node == node:
                ray.kill(worker.actor)

    def _check(self) -> None:
        """Kill frozen workers, about once a second; raise Stopped if the head, and with it the cluster, is lost."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        self.check_local()
        if self._limit is not None:
            for worker in self._ready.values():
                # A frozen worker could not enforce its own time limit, e.g. because a signal stopped it.
                if worker.calls and now - worker.since > FROZEN_SECONDS + 2 * self._limit:
                    ray.kill(worker.actor)
        self._connection.check_head(CHECK_SECONDS)
        if self._looking is None and (self._cluster or self._starts.nodes.excluded):
            self._looking = BackgroundCall(
                partial(look, self._needs, self._starts.nodes, self._job, waits=not self._ready)
            )
        elif self._looking is not None and self._looking.done():
            looking, self._looking = self._looking, None
            if looking.exception() is None:  # what Ray raises while a head goes is told by the checks of the head
                self._adapt(looking.result(), now)
        since = min((worker.since for worker in self._ready.values() if worker.calls), default=now)
        if self._user_imports_ray and (text := holds_all_cpus(now - since)):
            self._user_imports_ray = False
            self._notices.append(warning("ray-is-full", text))

    def _adapt(self, view: View, now: float) -> None:
        """Ask for as many workers as there is room for, or give idle ones back if another job waits."""
        room = self._starts.see(view, len(self._ready))
        self.room = room if self._cluster else self.room
        idle = [worker for worker in self._ready.values() if not worker.calls and now - worker.since > IDLE_SECONDS]
        if self._cluster and view.others_wait and 0 < len(idle) < len(self._ready):
            self._starts.paused = True
            self._starts.drop()
            for worker in idle:
                self._forget(worker)
        self._starts.fill(self.wanted, len(self._ready))

    def check_local(self) -> None:
        self._variables.put_back()
        if self._local is not None:
            self._local.check()

    def reuse(self) -> bool:
        """Replace workers that are still busy with a cancelled slice, e.g. one that hangs."""
        if self._connection.closed or self._connection.headless or (self._local and self._local.dead):
            return False
        stale = [call for worker in self._ready.values() for call in worker.stale.values()]
        busy = set(ray.wait(stale, num_returns=len(stale), timeout=BUSY_SECONDS)[1]) if stale else set[Any]()
        for worker in list(self._ready.values()):
            if not busy.isdisjoint(worker.stale.values()):
                self._replace(worker)
            worker.stale.clear()
        return True

    def load(self, objective: Any) -> None:
        self.check_local()
        self._user_imports_ray = user_imports_ray()
        if self._user_imports_ray and self._may_spare:
            self._may_spare, self._ceiling = False, self.room - 1
            if self._starts.pending:
                ray.kill(self._starts.pending.pop().actor)
            else:
                self._forget(next(reversed(self._ready.values())))
        self._objective = put_objective(objective, self._notices, self.check_local)
        if self._cluster:
            replaced = self._starts.load(self._objective, self._files)
            for worker in list(self._ready.values()):
                if replaced:
                    self._replace(worker)
                else:
                    self._leave_slot(worker)
                    self._starts.check_load(worker)

    @stopped_if_dead
    def stage(self, number: int, method: Any) -> None:
        self.check_local()
        self._starts.paused = False
        self._methods = {number: put(method, "the point", self._notices)}  # so that the object store frees earlier ones

    def set_time_limit(self, seconds: float | None) -> bool:
        self._limit = seconds
        return True

    @stopped_if_dead
    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        worker = self._ready[slot]
        objective, method = self._objective, self._methods[stage]
        if worker.references != (objective, method):
            worker.actor.set_references.remote([objective], [method])
            worker.references = objective, method
        call = worker.actor.evaluate.remote(items.start, items.stop, self._limit)
        if not worker.calls:
            worker.since = time.monotonic()
        worker.calls[ticket] = call, (stage, items)
        self._calls.watch(worker, call, ticket)

    def cancel(self, ticket: int) -> None:
        # Not `ray.cancel`: if it removes a call before that is sent, the actor waits 30 s for the missing sequence
        # number (RAY_actor_scheduling_queue_max_reorder_wait_seconds). A slice takes only a second or two.
        for worker in self._ready.values():
            if ticket in worker.calls:
                worker.stale[ticket] = worker.calls[ticket][0]
                worker.forget(ticket)

    @stopped_if_dead
    def wait(self, timeout: float) -> list[Done | Failed]:
        self._check()
        return [found for ended in self._calls.ended(timeout) for found in self._outcomes(*ended)]

    def _outcomes(self, worker: WorkerHandle, ticket: int | None, future: Future[Any]) -> list[Done | Failed]:
        if ticket is None:
            self.check_local()
            if self._starts.answer(worker, future):
                self._ready[worker.name] = worker
                self.slots = tuple(self._ready)
            self._starts.fill(self.wanted, len(self._ready))
            return []
        if ticket not in worker.calls:  # cancelled, or lost with its worker
            worker.stale.pop(ticket, None)
            return []
        try:
            answer = future.result()
        except ray.exceptions.RayTaskError as error:
            worker.forget(ticket)
            return [Failed(ticket, "setup error", str(error))]
        except ray.exceptions.RayError as error:  # the worker died, ran out of memory, or lost its node
            self.check_local()
            return self._outcomes_of_lost(worker, str(error).strip().splitlines()[-1])
        _, work = worker.calls[ticket]
        worker.forget(ticket)
        for node in self._quarantine.done(worker.node, work):
            self._quarantine_node(node)
        return [outcome(ticket, answer, worker.name)]

    def _outcomes_of_lost(self, worker: WorkerHandle, message: str) -> list[Done | Failed]:
        """Replace a lost worker; return the outcomes of the slices queued at it."""
        self._replace(worker)
        kind: Literal["died", "timed out", "lost"] = "died"
        if not is_alive(worker.node):
            kind = "lost"
            if text := self._starts.nodes.lost(worker.node):
                self._notices.append(warning("node-lost", text))
        elif worker.node in self._starts.nodes.excluded:  # the node, not the slice, is to blame
            kind = "lost"
        elif self._limit is not None and time.monotonic() - worker.since >= self._limit:
            kind = "timed out"
        outcomes: list[Done | Failed] = []
        for ticket, (call, work) in list(worker.calls.items()):
            worker.forget(ticket)
            try:
                outcomes.append(outcome(ticket, ray.get(call, timeout=0), worker.name))
            except (ray.exceptions.RayError, TimeoutError):
                if kind == "died":
                    self._quarantine.died(worker.node, work)
                outcomes.append(Failed(ticket, kind, message))
                kind = "lost"  # slices run in order of submission, so only the first unfinished one had started
        return outcomes

    def _replace(self, worker: WorkerHandle) -> None:
        self._forget(worker)
        self._starts.fill(self.wanted, len(self._ready))

    def _forget(self, worker: WorkerHandle) -> None:
        self._leave_slot(worker)
        ray.kill(worker.actor)

    def _leave_slot(self, worker: WorkerHandle) -> None:
        del self._ready[worker.name]
        self.slots = tuple(self._ready)

    def notices(self) -> list[Notice]:
        notices = self._notices.copy()
        self._notices.clear()  # `Starts` has the same list
        return notices

    def close(self) -> None:
        """Kill the workers, and Ray if it was started here."""
        if self._connection.headless:
            return leave()
        if self._connection.closed:
            self._local = self._local and self._local.forget()
            return None
        if self._looking is not None:
            wait([self._looking], BUSY_SECONDS)
        if not (self._local and self._local.dead):
            ready = list(self._ready.values())
            killing = BackgroundCall(lambda: self._starts.drop(ready))  # without a head, Ray may wait for it
            if not wait([killing], SHUTDOWN_SECONDS).done and self._local is None:
                return leave()
        self._ready.clear()
        self.slots = ()
        return self._disconnect()

    def _disconnect(self) -> None:
        if self._ours:
            self._ours = False
            (self._local.close if self._local else shut_down)()
