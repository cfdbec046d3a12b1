"""Evaluates slices on Ray workers, one actor a slot. `start.prepare` comes before Ray is imported.

Ray's own retries stay off: they would repeat a slice that kills its worker for ever, unseen. The scheduler decides
every retry; `lifecycle` replaces lost workers.
"""

from __future__ import annotations

import pickle
import time
from concurrent.futures import Future
from queue import Empty
from typing import Any

import ray
import ray.exceptions

from optitrip.core.executor import Done, Failed
from optitrip.errors import InputError, Stopped
from optitrip.executors.ray.cluster import put
from optitrip.executors.ray.lifecycle import Lifecycle, WorkerHandle


class RayWorkers(Lifecycle):
    """An executor with as many actors as there are slots."""

    def load(self, objective: Any) -> None:
        try:
            self._objective = put(objective, "the objective", self._notices)
        except Stopped:
            raise
        except Exception as error:  # whatever the objects in it raise; Ray adds twenty lines on where it looked
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            raise InputError(
                f"the objective cannot be sent to Ray workers: {cause}. Create what cannot be pickled inside the loss, "
                "or use --executor serial"
            ) from None

    def stage(self, number: int, method: Any) -> None:
        self._methods = {number: put(method, "the point", self._notices)}  # earlier ones leave the object store

    def set_time_limit(self, seconds: float | None) -> bool:
        self._limit = seconds
        return True

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        worker = self._ready[slot]
        objective, method = self._objective, self._methods[stage]
        if worker.taken != (objective, method):
            worker.actor.take.remote([objective], [method])
            worker.taken = objective, method
        call = worker.actor.evaluate.remote(items.start, items.stop, self._limit)
        if not worker.calls:
            worker.since = time.monotonic()
        worker.calls[ticket] = call, (stage, items)
        self._watch(worker, ticket, call)

    def cancel(self, ticket: int) -> None:
        # Not `ray.cancel`: where it takes a call out of an actor's queue before it is sent, the actor waits 30 s for
        # the gap in its order (RAY_actor_scheduling_queue_max_reorder_wait_seconds). A slice is a second or two.
        for worker in self._ready.values():
            if ticket in worker.calls:
                worker.forget(ticket)

    def wait(self, timeout: float) -> list[Done | Failed]:
        outcomes: list[Done | Failed] = []
        self._check()
        try:
            finished = self._finished.get(timeout=timeout)
            while True:
                outcomes += self._outcomes(*finished)
                finished = self._finished.get_nowait()
        except Empty:
            return outcomes

    def _outcomes(self, worker: WorkerHandle, ticket: int | None, future: Future[Any]) -> list[Done | Failed]:
        if ticket is None:
            self._on_ready(worker, future)
            return []
        if ticket not in worker.calls:  # cancelled, or lost with an earlier slice of its worker
            return []
        try:
            answer = future.result()
        except ray.exceptions.RayTaskError as error:
            worker.forget(ticket)
            return [Failed(ticket, "setup error", str(error))]
        except ray.exceptions.RayError as error:  # the worker died or was killed for its memory, or its node is lost
            return self._outcomes_of_lost(worker, str(error).strip().splitlines()[-1])
        _, work = worker.calls[ticket]
        worker.forget(ticket)
        for node in self._quarantine.done(worker.node, work):
            self._quarantine_node(node)
        return [outcome(ticket, answer, worker.name)]

    def _outcomes_of_lost(self, worker: WorkerHandle, message: str) -> list[Done | Failed]:
        """Replace a lost worker; return the outcomes of the slices that were queued at it.

        Slices run in order of submission, so only the first unfinished one had started.
        """
        kind = self._on_lost(worker)
        outcomes: list[Done | Failed] = []
        for ticket, (call, work) in list(worker.calls.items()):
            worker.forget(ticket)
            try:
                outcomes.append(outcome(ticket, ray.get(call, timeout=0), worker.name))
            except (ray.exceptions.RayError, TimeoutError):
                if kind == "died":
                    self._quarantine.died(worker.node, work)
                outcomes.append(Failed(ticket, kind, message))
                kind = "lost"
        return outcomes


def outcome(ticket: int, answer: Any, slot: str) -> Done | Failed:
    """Return the outcome of a slice from the answer of its actor."""
    if isinstance(answer, str):
        return Failed(ticket, "setup error", answer)
    part, seconds, output, memory = pickle.loads(answer)
    return Done(ticket, part, seconds, slot, output, memory)
