"""Tests of every executor, and of Ray workers that die or differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import HERE, LOSSES, CannotPrepare, KillsOnce, bits, scalar, search
from lasting import lasting_workers
from optitrip.core.arrays import Array
from optitrip.core.executor import Done, Executor, Failed
from optitrip.core.part import Part
from optitrip.errors import InputError, Stopped
from optitrip.executors.serial import Serial
from optitrip.executors.worker import Worker
from optitrip.loss.objective import Objective
from optitrip.runtime import fingerprint as sameness
from whole_sweeps import ITEMS, go, reference

Make = Callable[[], Executor]


@pytest.fixture(scope="module")
def ray_workers(local_ray: None) -> Iterator[Executor]:
    """Start two workers for all of these tests."""
    del local_ray
    with lasting_workers(2) as executor:
        yield executor


@pytest.fixture(params=["serial", pytest.param("ray", marks=pytest.mark.ray)])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "ray":
        workers = request.getfixturevalue("ray_workers")
        return lambda: workers
    return Serial


@pytest.fixture
def executor(make: Make) -> Iterator[Executor]:
    executor = make()
    yield executor
    executor.close()


def outcomes(executor: Executor, count: int) -> list[Done | Failed]:
    collected: list[Done | Failed] = []
    end = time.monotonic() + 60
    while len(collected) < count and time.monotonic() < end:
        collected += executor.wait(0.5)
    return collected


def ready(executor: Executor) -> None:
    end = time.monotonic() + 60
    while not executor.slots and time.monotonic() < end:
        executor.wait(0.1)


def only_outcome(executor: Executor, objective: Any, method: Any, items: range) -> Done | Failed:
    """Evaluate one slice, and return its outcome."""
    executor.load(objective)
    executor.stage(0, method)
    ready(executor)
    executor.submit(0, 0, items, executor.slots[0])
    (outcome,) = outcomes(executor, 1)
    return outcome


def test_each_ticket_has_one_outcome_with_its_part(executor: Executor) -> None:
    """Slices come back under their tickets with the bits of an evaluation on the spot."""
    method = search(ITEMS)
    executor.load(LOSSES["batched"])
    executor.stage(3, method)
    ready(executor)
    ranges = {7: range(0, 11), 9: range(11, 100), 8: range(250, 300)}
    for ticket, items in ranges.items():
        executor.submit(ticket, 3, items, executor.slots[-1])
    done = {outcome.ticket: outcome for outcome in outcomes(executor, 3)}
    assert done.keys() == ranges.keys()
    for ticket, items in ranges.items():
        outcome = done[ticket]
        assert isinstance(outcome, Done)
        assert bits(outcome.part) == bits(method.evaluate(LOSSES["batched"], items))
        assert outcome.seconds > 0


def test_a_cancelled_slice_has_no_outcome(executor: Executor) -> None:
    """A cancelled slice is dropped, and the others are evaluated."""
    executor.load(LOSSES["scalar"])
    executor.stage(0, search(ITEMS))
    ready(executor)
    for ticket in range(3):
        executor.submit(ticket, 0, range(ticket, ticket + 1), executor.slots[0])
    executor.cancel(1)
    assert {outcome.ticket for outcome in outcomes(executor, 2)} == {0, 2}
    assert executor.wait(0.2) == []


def test_an_error_outside_the_loss_is_raised_not_recorded(executor: Executor) -> None:
    """A method that cannot be prepared is the kind of failure that ends a sweep, with its message."""

    class Unprepared:
        preparation = b"u"

        def prepare(self, objective: Any) -> None:
            raise RuntimeError("no scores at this point")

    outcome = only_outcome(executor, LOSSES["scalar"], Unprepared(), range(2))
    assert isinstance(outcome, Failed)
    assert outcome.kind == "raised"
    assert "no scores at this point" in outcome.message


def test_an_objective_that_cannot_be_rebuilt_on_a_worker_is_raised(ray_workers: Executor) -> None:
    """The message of the worker's exception reaches the user."""
    outcome = only_outcome(ray_workers, Objective(CannotPrepare()), search(ITEMS), range(2))
    assert isinstance(outcome, Failed)
    assert outcome.kind == "raised"
    assert "this worker lacks the simulator" in outcome.message


def test_an_objective_that_cannot_be_sent_is_refused(ray_workers: Executor) -> None:
    """An objective that cannot be pickled is reported before anything starts, with what to do."""
    import threading

    lock = threading.Lock()
    with pytest.raises(InputError, match="cannot be sent to Ray workers"):
        ray_workers.load(Objective(lambda x, k, c: float(bool(lock))))


def test_a_killed_worker_costs_nothing_but_time(ray_workers: Executor, tmp_path: Path) -> None:
    """Law 1: SIGKILL of a worker in its slice changes no bit; the worker is replaced."""
    marker = tmp_path / "killed"
    assert go(Objective(KillsOnce(str(marker))), make=lambda: ray_workers)[0] == reference("scalar")
    assert marker.exists()


def test_only_the_slice_that_had_begun_counts_as_a_death(ray_workers: Executor, tmp_path: Path) -> None:
    """Slices queued behind a killed one are lost, which counts against nobody."""
    ray_workers.load(Objective(KillsOnce(str(tmp_path / "killed"))))
    ray_workers.stage(0, search(ITEMS))
    ready(ray_workers)
    slot = ray_workers.slots[0]
    for ticket in range(3):
        ray_workers.submit(ticket, 0, range(100 * ticket, 100 * ticket + 100), slot)
    failed = outcomes(ray_workers, 3)
    assert [(o.ticket, o.kind) for o in failed if isinstance(o, Failed)] == [(0, "died"), (1, "lost"), (2, "lost")]


def test_the_objective_finds_read_only_arrays(make: Make) -> None:
    """Law 8, on workers too: parameters cannot be written to."""
    executor = make()
    outcome = only_outcome(executor, Objective(writes), search(ITEMS), range(10))
    executor.close()
    assert isinstance(outcome, Done)
    assert outcome.part.failures.counts() == {"raised": 10}


def writes(x: Any, k: int, c: float) -> float:
    x[0] = 0
    return scalar(x, k, c)


class CountsThreads:
    """A method whose parts hold the largest number of threads that any BLAS or OpenMP library may use."""

    preparation = b"threads"

    def prepare(self, objective: Any) -> int:
        return self._most()

    def evaluate(self, context: int, items: range) -> Part:
        return Part(items, {"threads": np.array([context, self._most()])})

    def _most(self) -> int:
        from scipy import linalg  # SciPy brings a BLAS of its own
        from threadpoolctl import threadpool_info

        assert linalg
        return max(library["num_threads"] for library in threadpool_info())


def test_blas_has_one_thread_a_slot(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparing and evaluating: the bits of a product differ between one thread and two."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    executor = make()
    outcome = only_outcome(executor, LOSSES["scalar"], CountsThreads(), range(1))
    executor.close()
    assert isinstance(outcome, Done)
    assert outcome.part.columns["threads"].tolist() == [1, 1]


class Scribbles:
    """A loss that keeps a scratch array, as vectorised code does."""

    def __init__(self) -> None:
        self.scratch = np.zeros(1_000)

    def __call__(self, x: Any, k: int, c: float) -> float:
        if k > 4:
            self.scratch[:3] = x
        return float(x.sum())


def test_arrays_of_the_objective_are_read_only_everywhere(make: Make) -> None:
    """Law 1: what fails on a Ray worker, whose arrays are shared, fails in this process too."""
    executor = make()
    outcome = only_outcome(executor, Objective(Scribbles()), search(ITEMS), range(50))
    executor.close()
    assert isinstance(outcome, Done)
    ks = search(ITEMS).draws.values(range(50))["k"]
    assert outcome.part.failures.counts() == {"raised": int((ks > 4).sum())}
    assert "read-only" in outcome.part.failures.records["raised"][0].message


def test_what_cannot_be_pickled_is_evaluated_as_it_is() -> None:
    """The serial executor evaluates a loss that could not be sent to a worker."""
    import threading

    lock = threading.Lock()
    executor = Serial()
    executor.load(Objective(lambda x, k, c: float(lock.locked())))
    executor.stage(0, search(ITEMS))
    executor.submit(0, 0, range(3), *executor.slots)
    (outcome,) = executor.wait(1)
    assert isinstance(outcome, Done)
    assert outcome.part.columns["loss"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.usefixtures("local_ray")
def test_a_worker_killed_for_its_memory_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's memory monitor raises an error of its own kind, for every later call too; the worker is replaced."""
    from ray.exceptions import OutOfMemoryError

    from optitrip.executors.ray import pool as module

    workers = module.RayWorkers(1, paths=[HERE])
    workers.load(LOSSES["scalar"])
    workers.stage(0, search(ITEMS))
    ready(workers)

    def get(call: Any, **options: Any) -> Any:
        raise OutOfMemoryError("killed by the memory monitor")

    failed: Future[Any] = Future()
    failed.set_exception(OutOfMemoryError("killed by the memory monitor"))
    workers.submit(0, 0, range(5), *workers.slots)
    (worker,) = workers._ready.values()
    workers._finished.put((worker, 0, failed))
    monkeypatch.setattr(module.ray, "get", get)
    (outcome,) = outcomes(workers, 1)
    monkeypatch.undo()
    assert isinstance(outcome, Failed)
    assert outcome.kind == "died"
    assert workers.slots == ()
    ready(workers)
    workers.submit(1, 0, range(5), *workers.slots)
    (outcome,) = outcomes(workers, 1)
    assert isinstance(outcome, Done)
    workers.close()


@pytest.mark.usefixtures("local_ray")
def test_a_worker_that_no_machine_can_hold_is_refused() -> None:
    """The message names the resources of a worker and those of the machine."""
    from optitrip.executors.ray.pool import RayWorkers

    with pytest.raises(InputError, match=r"a worker wants .*'GPU': 64"):
        RayWorkers(None, resources={"GPU": 64})


def test_the_memory_of_a_worker_comes_with_its_parts(ray_workers: Executor) -> None:
    """Only a worker in a process of its own reports its memory: that of this process is known."""
    method = search(20)
    for executor, elsewhere in ((Serial(), False), (ray_workers, True)):
        done = only_outcome(executor, LOSSES["scalar"], method, range(20))
        executor.close()
        assert isinstance(done, Done)
        assert (done.memory is not None) == elsewhere
        assert done.memory is None or 10**7 < done.memory < 10**11


def test_a_worker_whose_numbers_may_have_other_bits_is_not_used(local_ray: None) -> None:
    """Another BLAS core rounds differently: the worker is rejected, with what differs, and the others stay in use."""
    from optitrip.executors.ray.lifecycle import Actor, WorkerHandle
    from optitrip.executors.ray.pool import RayWorkers

    workers = RayWorkers(1, paths=[HERE])
    try:
        ready(workers)
        here = sameness.facts()
        start = Future[tuple[str, str, dict[str, str]]]()
        start.set_result(("far:1", "node", {**here, "numpy": "1.0", "SIMD": here["SIMD"] + " NEON"}))
        stranger = WorkerHandle(Actor.remote([HERE]))
        workers._outcomes(stranger, None, start)
        assert len(workers.slots) == 1
        (notice,) = workers.notices()
        assert notice.code == "worker-refused"
        assert "far:1 would not reproduce results bit for bit: numpy is 1.0 there" in notice.text
        assert "SIMD is NEON there and less elsewhere" in notice.text
        workers._ready.clear()
        with pytest.raises(Stopped, match="no other worker"):
            workers._outcomes(stranger, None, start)
    finally:
        workers.close()


def test_a_loss_that_changes_the_random_state_of_its_process_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    """Its result may then depend on what its worker evaluated before."""

    def careless(x: Array, k: int, c: float) -> float:
        return float(np.random.random())  # noqa: NPY002

    def careful(x: Array, k: int, c: float) -> float:
        return float(np.random.default_rng(k).random())

    for loss, reported in ((careful, False), (careless, True)):
        Worker(Objective(loss)).evaluate(search(5), range(5))
        assert ("random state" in capfd.readouterr().err) == reported
