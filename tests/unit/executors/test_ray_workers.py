"""Tests of Ray workers: the objective is sent to them, and they die, are lost or differ."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from concurrent.futures import Future
from pathlib import Path
from pickle import PickleBuffer
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from examples import HERE, LOSSES, CannotPrepare, KillsOnce, search
from optitrip.core.executor import Done, Executor, Failed
from optitrip.errors import InputError, Stopped
from optitrip.executors.serial import Serial, with_read_only_arrays
from optitrip.loss.objective import Objective
from optitrip.runtime import fingerprint
from slices import await_slots, only_outcome, outcomes
from whole_sweeps import ITEMS, go, reference


@pytest.mark.daily
def test_an_objective_that_cannot_be_rebuilt_on_a_worker_is_raised(ray_workers: Executor) -> None:
    """The message of the worker's exception reaches the user."""
    outcome = only_outcome(ray_workers, Objective(CannotPrepare()), search(ITEMS), range(2))
    assert isinstance(outcome, Failed)
    assert outcome.kind == "setup error"
    assert "this worker lacks the simulator" in outcome.message


def test_an_objective_that_cannot_be_sent_is_refused(ray_workers: Executor) -> None:
    """An objective that cannot be pickled is reported before anything starts, with what to do."""
    import threading

    lock = threading.Lock()
    with pytest.raises(InputError, match="cannot be sent to Ray workers"):
        ray_workers.load(Objective(lambda x, k, c: float(bool(lock))))


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("size", [3, 200_000])
def test_a_class_that_pickles_its_own_buffer_gets_memory_wherever_it_is_loaded(size: int) -> None:
    """In a message, through the object store, and in this process: read-only memory, whose truth may be asked."""
    from optitrip.executors.ray.objects import fetch, put

    for loss in (fetch(put(OwnBuffer(bytes(size)), "it", [])), with_read_only_arrays(OwnBuffer(bytes(size)))):
        assert isinstance(loss.memory, memoryview)
        assert (loss.memory.readonly, loss.memory.nbytes, bool(loss.memory)) == (True, size, True)


def test_no_garbage_is_collected_while_ray_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle of objects lives until Ray is down, however much is allocated meanwhile; then it goes as ever."""
    from optitrip.executors.ray import local

    events: list[str] = []

    class Cycle:
        def __init__(self) -> None:
            self.itself = self
            weakref.finalize(self, events.append, "collected")

    def shutdown() -> None:
        Cycle()
        held = [[number] for number in range(100_000)]  # with these, the youngest generation is collected many times
        events.append(f"down, {len(held):,} allocated")

    monkeypatch.setattr(local.ray, "shutdown", shutdown)
    local.LocalRay().close()
    gc.collect()
    assert events == ["down, 100,000 allocated", "collected"]
    assert gc.isenabled()


@pytest.mark.parametrize("told", [False, True])
def test_logs_stay_only_if_a_message_names_them(told: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Ray that died while a sweep ran leaves its folder; one that died after the last result leaves nothing."""
    from optitrip.executors.ray import local

    monkeypatch.setattr(local.ray, "shutdown", lambda: None)
    session = tmp_path / "session"
    session.mkdir()
    head = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead = local.LocalRay()
    dead._vital, dead._session = {"gcs_server": local.psutil.Process(head.pid)}, session
    dead.check()
    head.communicate(b"end\n")
    if told:
        with pytest.raises(Stopped, match=f"gcs_server ended .*{session / 'logs'}"):
            dead.check()
    dead.close()
    assert session.exists() == told


def test_a_ray_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its head, Ray's own shutdown waits for ever: it is waited for a while, and not at the process's exit."""
    from optitrip.executors.ray import local

    over, unregistered, left = Event(), list[Any](), Event()
    monkeypatch.setattr(local, "SHUTDOWN_SECONDS", 0.01)
    monkeypatch.setattr(local, "LEFT", left)
    monkeypatch.setattr(local.ray, "shutdown", over.wait)
    monkeypatch.setattr(local.atexit, "unregister", unregistered.append)
    local.shut_down()
    assert left.is_set()
    assert unregistered == [over.wait]
    over.set()


def test_workers_that_cannot_be_killed_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was asked for when the head went is waited for by Ray: the sweep, which has its answer, is not."""
    from optitrip.executors.ray import local, pool

    over, left = Event(), Event()
    monkeypatch.setattr(local, "LEFT", left)
    monkeypatch.setattr(local.atexit, "unregister", lambda _: None)
    monkeypatch.setattr(pool, "SHUTDOWN_SECONDS", 0.01)
    workers: Any = object.__new__(pool.RayWorkers)
    workers._connection = SimpleNamespace(headless=False, closed=False)
    workers._local = workers._looking = None
    workers._ready, workers._starts = {}, SimpleNamespace(drop=lambda _: over.wait())
    workers.close()
    assert left.is_set()
    over.set()


def test_a_command_does_not_exit_through_what_was_left() -> None:
    """Ray's libraries crash at a normal exit while their shutdown still waits; the exit status is the sweep's."""
    program = """
import atexit, os, sys
from optitrip.cli.main import main
from optitrip.runtime.background import LEFT
atexit.register(os.abort)
LEFT.set()
sys.argv = ["optitrip", "--help"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


class OwnBuffer:
    """A loss with memory of its own, as tensors of some libraries have it."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory or b"none"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return OwnBuffer, (PickleBuffer(self.memory),)


@pytest.mark.daily
def test_a_killed_worker_costs_nothing_but_time(ray_workers: Executor, tmp_path: Path) -> None:
    """Law 1: SIGKILL of a worker in its slice changes no bit; the worker is replaced."""
    marker = tmp_path / "killed"
    assert go(Objective(KillsOnce(str(marker))), make=lambda: ray_workers)[0] == reference("scalar")
    assert marker.exists()


@pytest.mark.daily
def test_only_the_slice_that_had_begun_counts_as_a_death(ray_workers: Executor, tmp_path: Path) -> None:
    """Slices queued behind a killed one are lost, which counts against nobody."""
    ray_workers.load(Objective(KillsOnce(str(tmp_path / "killed"))))
    ray_workers.stage(0, search(ITEMS))
    await_slots(ray_workers)
    slot = ray_workers.slots[0]
    for ticket in range(3):
        ray_workers.submit(ticket, 0, range(100 * ticket, 100 * ticket + 100), slot)
    failed = outcomes(ray_workers, 3)
    assert [(o.ticket, o.kind) for o in failed if isinstance(o, Failed)] == [(0, "died"), (1, "lost"), (2, "lost")]


@pytest.mark.usefixtures("local_ray")
@pytest.mark.daily
def test_a_worker_killed_for_its_memory_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's memory monitor raises an error of its own kind, for every later call too; the worker is replaced."""
    from ray.exceptions import OutOfMemoryError

    from optitrip.executors.ray import pool as module

    workers = module.RayWorkers(1, paths=[HERE])
    workers.load(LOSSES["scalar"])
    workers.stage(0, search(ITEMS))
    await_slots(workers)

    def get(call: Any, **options: Any) -> Any:
        raise OutOfMemoryError("killed by the memory monitor")

    failed: Future[Any] = Future()
    failed.set_exception(OutOfMemoryError("killed by the memory monitor"))
    workers.submit(0, 0, range(5), *workers.slots)
    (worker,) = workers._ready.values()
    workers._calls._ended.put((worker, 0, failed))
    monkeypatch.setattr(module.ray, "get", get)
    (outcome,) = outcomes(workers, 1)
    monkeypatch.undo()
    assert isinstance(outcome, Failed)
    assert outcome.kind == "died"
    assert workers.slots == ()
    await_slots(workers)
    workers.submit(1, 0, range(5), *workers.slots)
    (outcome,) = outcomes(workers, 1)
    assert isinstance(outcome, Done)
    workers.close()


@pytest.mark.usefixtures("local_ray")
def test_a_worker_that_no_machine_can_hold_is_refused() -> None:
    """The message names the resources of a worker and those of the machine."""
    from optitrip.executors.ray.pool import RayWorkers

    with pytest.raises(InputError, match=r"a worker needs the resources .*'GPU': 64"):
        RayWorkers(None, resources={"GPU": 64})


@pytest.mark.daily
def test_the_memory_of_a_worker_comes_with_its_parts(ray_workers: Executor) -> None:
    """Only a worker in a process of its own reports its memory: that of this process is known."""
    method = search(20)
    for executor, elsewhere in ((Serial(), False), (ray_workers, True)):
        done = only_outcome(executor, LOSSES["scalar"], method, range(20))
        executor.close()
        assert isinstance(done, Done)
        assert (done.memory is not None) == elsewhere
        assert done.memory is None or 10**7 < done.memory < 10**11


@pytest.mark.daily
def test_a_worker_whose_numbers_may_have_other_bits_is_not_used(local_ray: None) -> None:
    """Another BLAS core rounds differently: its node is left out, with what differs, and the others stay in use."""
    from optitrip.executors.ray.actor import WorkerHandle
    from optitrip.executors.ray.bootstrap import Actor
    from optitrip.executors.ray.pool import RayWorkers

    workers = RayWorkers(1, paths=[HERE])
    try:
        await_slots(workers)
        here = fingerprint.facts()
        stranger = answers(workers, WorkerHandle(Actor.remote([HERE], [])), {**here, "numpy": "1.0"})
        assert len(workers.slots) == 1
        (notice,) = workers.notices()
        assert notice.code == "worker-refused"
        assert "would not reproduce results bit for bit: numpy is 1.0 there" in notice.text
        assert "is not used" in notice.text
        answers(workers, stranger, {**here, "SIMD": here["SIMD"] + " NEON"}, node="another")
        (notice,) = workers.notices()
        assert "SIMD is NEON there and less elsewhere" in notice.text
        answers(workers, stranger, {**here, "numpy": "1.0"}, node="another")
        assert workers.notices() == []  # each node is named once
    finally:
        workers.close()


def answers(workers: Any, worker: Any, found: object, node: str = "node") -> Any:
    """Have a pending worker answer with the fingerprint of its node."""
    answer: Future[Any] = Future()
    answer.set_result(("far:1", node, found))
    worker.awaited = answer
    workers._starts.pending.add(worker)
    workers._outcomes(worker, None, answer)
    return worker


@pytest.mark.daily
@pytest.mark.usefixtures("local_ray")
def test_without_any_node_left_the_sweep_stops_and_says_why() -> None:
    """Waiting would not help: every node of the cluster is named with its cause."""
    from optitrip.executors.ray.actor import WorkerHandle
    from optitrip.executors.ray.bootstrap import Actor
    from optitrip.executors.ray.pool import RayWorkers
    from optitrip.executors.ray.waiting import View

    workers = RayWorkers(1, paths=[HERE])
    try:
        await_slots(workers)
        node = next(iter(workers._ready.values())).node
        workers._forget(next(iter(workers._ready.values())))
        answers(workers, WorkerHandle(Actor.remote([HERE], [])), "No module named 'numpy'", node=node)
        with pytest.raises(Stopped, match=r"no node can be used: .*: optitrip cannot be used there: No module named"):
            workers._starts.see(View([{"NodeID": node, "Resources": {"CPU": 4.0}}], "", False), 0)
    finally:
        workers.close()
