"""The executor `auto`: begins in this process, and goes on there while workers start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from driver_setup import Recording, driver, settings
from examples import draws, search
from optitrip.core.executor import Done, Executor, Failed
from optitrip.core.method import Route
from optitrip.core.observer import Observer, Times
from optitrip.errors import InputError, Stopped
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.ray.start import RayPool
from optitrip.executors.serial import Serial
from optitrip.loss.objective import Objective
from optitrip.methods.checks import Agreement
from optitrip.methods.search.progress import SearchProgress
from optitrip.runtime.background import abandoned, await_abandoned

SECONDS = 0.3
MOMENTS = 45
"""The search is over after fewer waits."""


class Fleet(RayPool):
    """A pool whose workers are there once `go` is set."""

    def __init__(self, make: Callable[[], Executor] = Serial) -> None:
        super().__init__()
        self.make, self.go, self.asked = make, threading.Event(), 0

    def prepare(self) -> str:
        self.asked += 1
        return "starting"

    def start(self, paths: tuple[str, ...], folder: Path, files: Mapping[str, bytes]) -> Executor:
        assert self.go.wait(60)
        return self.make()

    def describe(self, executor: Executor) -> str:
        return "evaluating on workers"


class Timed(Serial):
    """A serial executor on which every item is said to take so long; at a moment, counted in waits, workers come."""

    def __init__(self, moment: int = 0, fleet: Fleet | None = None) -> None:
        super().__init__()
        self.moment, self.fleet, self.waits = moment, fleet, 0
        self.executors: ExecutorManager | None = None

    def wait(self, timeout: float) -> list[Done | Failed]:
        self.waits += 1
        if self.waits == self.moment and self.fleet and self.executors:
            self.fleet.go.set()
            come(self.executors)
        return [
            Done(o.ticket, o.part, SECONDS * len(o.part.items), o.worker) if isinstance(o, Done) else o
            for o in super().wait(timeout)
        ]


class Refuses(Serial):
    """An executor to which the objective cannot go."""

    closed = False

    def load(self, objective: Any) -> None:
        raise InputError("the objective cannot travel")

    def close(self) -> None:
        Refuses.closed = True


class Rows:
    """A batched loss with blocks of one."""

    block = 1

    def losses(self, x: Any, k: Any, c: Any) -> Any:
        return x.sum(axis=1) * k + c


def come(executors: ExecutorManager) -> None:
    """Wait until workers on their way are there."""
    while executors._starting is not None and not executors._starting.done():
        time.sleep(1e-3)


def managed(fleet: Fleet | None, moment: int = 0) -> ExecutorManager:
    """Executors that begin in this process; workers are there at a moment."""
    here = Timed(moment, fleet)
    here.executors = ExecutorManager(lambda: here, fleet)
    return here.executors


ROWS = Objective(Rows())


def go(executors: ExecutorManager, watch: Observer | None = None, items: int = 100, **changes: Any) -> Any:
    """An agreement stage, then a search, as a batched objective with blocks of one has them."""

    def route() -> Route:
        yield Agreement(draws(), 2)
        return (yield search(items))

    raise_if_stopped = changes.pop("raise_if_stopped", lambda: None)
    return driver(ROWS, executors, observer=watch, settings=settings(**changes), raise_if_stopped=raise_if_stopped).run(
        route()
    )


@pytest.mark.mostly_daily
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_the_answer_is_the_same_whenever_workers_take_over(moment: int) -> None:
    """Law 1: between any two slices; what was queued here is not lost. In the last moments the sweep is done before."""
    fleet, watch = Fleet(), Recording()
    executors = managed(fleet, moment)
    moved = go(executors, watch)
    assert moved.loss.tobytes() == go(managed(None)).loss.tobytes()
    assert fleet.asked == 1
    took_over = "evaluating on workers" in watch.texts("executor")
    assert took_over == (not executors.starts_here)
    assert took_over or moment < 3 or moment > 30
    fleet.go.set()
    executors.close()
    await_abandoned()


def test_workers_are_wanted_only_where_the_rest_is_worth_it() -> None:
    """Not for the two candidates of the agreement stage, however long they take, nor for a search that is short."""
    fleet, watch = Fleet(), Recording()
    go(managed(fleet), watch, items=20)
    assert fleet.asked == 0
    assert watch.codes == ["executor"]
    assert "6 s" in watch.notices[0].text
    executors = managed(fleet)
    go(executors, items=20, ray_threshold_seconds=1.0)
    assert fleet.asked == 1
    fleet.go.set()
    executors.close()
    await_abandoned()


def test_a_sweep_that_is_done_before_waits_for_no_workers() -> None:
    """They are let go once they are there, by a thread of their own; a later start waits until they are gone."""
    closed = threading.Event()

    class Closes(Serial):
        def close(self) -> None:
            closed.set()

    fleet = Fleet(Closes)
    executors = managed(fleet)
    go(executors)
    executors.close()
    assert fleet.asked == 1
    assert not closed.is_set()
    assert abandoned()
    fleet.go.set()
    await_abandoned()
    assert closed.is_set()
    assert not abandoned()


def test_who_stops_while_workers_start_does_not_wait_for_them() -> None:
    """A request to stop is heeded between slices, as if nothing were starting."""
    fleet = Fleet()
    executors = managed(fleet)

    def raise_if_stopped() -> None:
        if fleet.asked:
            raise Stopped("asked to")

    with pytest.raises(Stopped, match="asked to"):
        go(executors, raise_if_stopped=raise_if_stopped)
    executors.close()
    assert not fleet.go.is_set()
    fleet.go.set()
    await_abandoned()


def test_an_objective_that_cannot_travel_stays() -> None:
    """One line says why, the workers are let go, and it is not tried again."""
    watch, fleet = Recording(), Fleet(Refuses)
    assert len(go(managed(fleet, 5), watch).loss) == 75
    assert watch.codes == ["executor", "ray-failed"]
    assert "the objective cannot travel" in watch.notices[1].text
    assert Refuses.closed
    assert fleet.asked == 1


def test_workers_that_came_too_late_evaluate_the_next_sweep() -> None:
    """Whoever keeps executors from sweep to sweep keeps those on their way; the new objective goes to them."""
    fleet, watch = Fleet(), Recording()
    executors = managed(fleet)
    first = go(executors)
    fleet.go.set()
    come(executors)
    assert go(executors, watch).loss.tobytes() == first.loss.tobytes()
    assert watch.texts("executor") == ["evaluating on workers"]
    assert not executors.starts_here
    executors.close()


@pytest.mark.parametrize("slots", [0, 1])
def test_waiting_for_workers_is_said(slots: int) -> None:
    """Once, and only if there are none."""

    class Late(Serial):
        def __init__(self) -> None:
            super().__init__()
            self.left = 3

        @property
        def slots(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
            return Serial.slots if slots or self.left <= 0 else ()

        def wait(self, timeout: float) -> list[Done | Failed]:
            self.left -= 1
            return super().wait(timeout)

    watch = Recording()

    def route() -> Route:
        return (yield search(20))

    driver(Objective(Rows()), Late, observer=watch, settings=settings(no_workers_notice_seconds=-1.0)).run(route())
    assert watch.codes == ([] if slots else ["no-workers"])


def test_progress_counts_parts_in_which_all_failed() -> None:
    """A part without a single finite loss counts its candidates and leaves the smallest loss as it was."""
    one, progress = search(20), SearchProgress(20, draws())
    progress.stage(one)
    fails = one.evaluate(Objective(lambda x, k, c: float("nan")), range(10))
    counts = one.evaluate(Objective(lambda x, k, c: float(k)), range(10, 20))
    progress.parts([(fails, Times([0], [0]))], new=True)
    assert (progress.done, progress.index) == (10, -1)
    progress.parts([(counts, Times([10], [0]))], new=True)
    ks = draws().values(range(10, 20))["k"]
    assert (progress.done, progress.loss, progress.index) == (20, float(ks.min()), 10 + int(ks.argmin()))


class Waits:
    """A loss that takes until workers are asked for; it cannot be copied, so that it is called in this process."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.waited = fleet, False

    def __call__(self, x: Any, k: int, c: float) -> float:
        until = time.monotonic() + 30
        while not self.fleet.asked and time.monotonic() < until:
            time.sleep(0.01)
        self.waited = bool(self.fleet.asked)
        return float(x.sum()) * k + c

    def __reduce__(self) -> Any:
        raise TypeError("it stays here")


def test_workers_are_started_before_a_slow_first_call_has_ended() -> None:
    """This process does nothing else meanwhile, so another thread starts them; a quick call has none started."""
    fleet = Fleet()
    loss = Waits(fleet)
    with ExecutorManager(Serial, fleet) as executors:
        made = driver(Objective(loss), executors, settings=settings(ray_threshold_seconds=0.1))
        result = made.run(one_stage(search(3)))
    assert loss.waited
    assert fleet.asked == 1
    assert result.items == 3
    quick = Fleet()
    with ExecutorManager(Serial, quick) as executors:
        driver(ROWS, executors, settings=settings(ray_threshold_seconds=30.0)).run(one_stage(search(3)))
    assert quick.asked == 0


def one_stage(method: Any) -> Route:
    return (yield method)
