"""The executor `auto`: begins in this process, and asks once whether the rest is worth more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples import draws, search
from optitrip.core.method import Route
from optitrip.core.notice import Notice
from optitrip.core.observer import Observers, Times
from optitrip.driver.journal import Journal
from optitrip.driver.phases import Phases
from optitrip.driver.run import Crew, Driver
from optitrip.errors import InputError
from optitrip.executors import Done, Executor, Failed
from optitrip.executors.serial import Serial
from optitrip.methods.search.progress import SearchProgress
from optitrip.methods.shared.agreement import Agreement
from optitrip.objective import Objective

SECONDS = 0.3


class Timed(Serial):
    """A serial executor on which every item is said to take so long."""

    def wait(self, timeout: float) -> list[Done | Failed]:
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


class Says(Observers):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def notice(self, notice: Notice) -> None:
        self.said.append(notice.text)


class Rows:
    """A batched loss with blocks of one."""

    block = 1

    def losses(self, x: Any, k: Any, c: Any) -> Any:
        return x.sum(axis=1) * k + c


def go(grow: Callable[[float], Executor | None], watch: Observers | None = None) -> Any:
    """An agreement stage, then a search of 100, as a batched objective with blocks of one has them."""

    def route() -> Route:
        yield Agreement(draws(), 2)
        return (yield search(100))

    crew = Crew(Timed, Objective(Rows()), grow)
    return Driver(crew, 1, Journal(Path(":memory:")), watch or Observers(), Phases()).run(route())


def test_the_question_is_asked_once_and_of_the_search() -> None:
    """Not of the two candidates of the agreement stage, however long they take."""
    asked: list[float] = []

    def grow(seconds: float) -> None:
        asked.append(seconds)

    go(grow)
    assert len(asked) == 1
    assert asked[0] > SECONDS * 90


def test_the_answer_is_the_same_wherever_the_rest_goes() -> None:
    """Slices that were queued at the first executor are not lost with it."""
    stays, moves = go(lambda _: None), go(lambda _: Serial())
    assert stays.loss.tobytes() == moves.loss.tobytes()
    assert len(moves.loss) == 75


def test_an_objective_that_cannot_travel_stays() -> None:
    """One line says why, and the larger executor is let go."""
    watch = Says()
    assert len(go(lambda _: Refuses(), watch).loss) == 75
    assert watch.said == ["going on in this process: the objective cannot travel"]
    assert Refuses.closed


@pytest.mark.parametrize("slots", [0, 1])
def test_waiting_for_workers_is_said(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and only if there are none."""
    from optitrip.driver import loop

    monkeypatch.setattr(loop, "PATIENCE_SECONDS", -1.0)

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

    watch = Says()

    def route() -> Route:
        return (yield search(20))

    Driver(Crew(Late, Objective(Rows())), 1, Journal(Path(":memory:")), watch, Phases()).run(route())
    assert watch.said == ([] if slots else ["waiting for workers: there are none; for up to inf s"])


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
