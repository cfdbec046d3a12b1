"""Tests of every executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from examples import LOSSES, bits, scalar, search
from optitrip.core.arrays import Array
from optitrip.core.executor import Done, Executor, Failed
from optitrip.core.part import Part
from optitrip.executors.isolated.executor import Isolated
from optitrip.executors.serial import Serial, Worker
from optitrip.loss.objective import Objective
from slices import await_slots, only_outcome, outcomes
from whole_sweeps import ITEMS

Make = Callable[[], Executor]


@pytest.fixture(
    params=["serial", pytest.param("isolated", marks=pytest.mark.daily), pytest.param("ray", marks=pytest.mark.ray)]
)
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "ray":
        workers = request.getfixturevalue("ray_workers")
        return lambda: workers
    return Serial if request.param == "serial" else lambda: Isolated(2)


@pytest.fixture
def executor(make: Make) -> Iterator[Executor]:
    executor = make()
    yield executor
    executor.close()


def test_each_ticket_has_one_outcome_with_its_part(executor: Executor) -> None:
    """Slices come back under their tickets with the bits of an evaluation on the spot."""
    method = search(ITEMS)
    executor.load(LOSSES["batched"])
    executor.stage(3, method)
    await_slots(executor)
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
    await_slots(executor)
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
    assert outcome.kind == "setup error"
    assert "no scores at this point" in outcome.message


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

    def __init__(self, size: int) -> None:
        self.scratch = np.zeros(size)

    def __call__(self, x: Any, k: int, c: float) -> float:
        if k > 4:
            self.scratch[:3] = x
        return float(x.sum())


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_arrays_of_the_objective_are_read_only_everywhere(make: Make, size: int) -> None:
    """Law 1: what fails on a Ray worker, whose arrays are shared if they are large, fails in this process too."""
    executor = make()
    outcome = only_outcome(executor, Objective(Scribbles(size)), search(ITEMS), range(50))
    executor.close()
    assert isinstance(outcome, Done)
    ks = search(ITEMS).points.values(range(50))["k"]
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


def test_a_loss_that_changes_the_random_state_of_its_process_is_reported() -> None:
    """Its result may then depend on what its worker evaluated before."""

    def careless(x: Array, k: int, c: float) -> float:
        return float(np.random.random())  # noqa: NPY002

    def careful(x: Array, k: int, c: float) -> float:
        return float(np.random.default_rng(k).random())

    for loss, reported in ((careful, False), (careless, True)):
        worker = Worker(Objective(loss))
        worker.evaluate(search(5), range(5))
        assert worker.changes is not None
        assert any("random state" in name for name in worker.changes) == reported
