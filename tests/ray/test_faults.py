"""Real faults on real workers: each is shown to have fired, and the answer is that of a sweep without it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver_setup import driver, settings
from faulty_losses import DEADLY, HANGING, RAISING, UNUSUAL, Faulty, Loud
from long_lived_workers import long_lived_workers
from optitrip.core.executor import Executor
from optitrip.core.observer import Observers
from optitrip.executors.serial import Serial
from optitrip.loss.objective import Objective
from optitrip.methods.search.method import Search, SearchResult
from optitrip.methods.search.spec import search_route
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

ITEMS = 40
DRAWS = Candidates(Space.parse({"x": {"uniform": [-5, 5]}}), 14)


@pytest.fixture(scope="module")
def workers(local_ray: None) -> Iterator[Executor]:
    """Start two workers for all of these tests; the dead are replaced."""
    del local_ray
    with long_lived_workers(2) as executor:
        yield executor


SMALL = settings(target_seconds=1e-3)
"""Small slices: halving a long one takes as many workers as it has bits; `test_plan` does that without any."""


def searched(loss: Any, executor: Executor, **options: Any) -> SearchResult:
    objective = Objective(loss)
    return (
        driver(objective, lambda: executor, settings=replace(SMALL, **options))
        .run(search_route(Search(DRAWS, ITEMS), objective.capabilities))
        .result
    )


def fired(folder: Path) -> dict[float, int]:
    """Count how often a fault fired, by x."""
    return {float(path.name.removeprefix("fired ")): path.stat().st_size for path in folder.glob("fired *")}


def clean(folder: Path) -> SearchResult:
    return searched(Faulty("", str(folder)), Serial())


def faulty_items(loss: Faulty) -> list[int]:
    return [n for n in range(ITEMS) if loss.faulty(float(DRAWS.point(n)["x"][0]))]


def failed(result: SearchResult, kind: str) -> list[int]:
    return [n for lo, hi in result.failures.runs.get(kind, ()) for n in range(lo, hi)]


def daily_but(always: str, faults: Iterable[str]) -> list[Any]:
    """Run one of the faults, and the others once a day: each costs some workers, which take seconds to start."""
    return [fault if fault == always else pytest.param(fault, marks=pytest.mark.daily) for fault in faults]


@pytest.mark.daily
@pytest.mark.parametrize("fault", daily_but("SIGKILL", DEADLY))
def test_a_worker_that_dies_once_costs_nothing(fault: str, tmp_path: Path, workers: Executor) -> None:
    """The slice runs again; nothing is recorded, and the answer is the same to the bit."""
    result = searched(Faulty(fault, str(tmp_path), once=True), workers)
    assert len(fired(tmp_path)) == len(faulty_items(Faulty(fault, ""))) == 2
    assert result.loss.tobytes() == clean(tmp_path).loss.tobytes()
    assert result.failures.count == 0


@pytest.mark.thorough
def test_an_item_that_always_kills_is_recorded_and_no_other(tmp_path: Path, workers: Executor) -> None:
    """All others have the bits of a sweep without it; it killed no more than 3 (log2(slice) + 1) workers."""
    loss = Faulty("SIGKILL", str(tmp_path))
    poison = faulty_items(loss)
    result = searched(loss, workers)
    assert len(poison) == len(fired(tmp_path)) == 2
    assert failed(result, "died") == poison
    assert max(fired(tmp_path).values()) <= 3 * (np.ceil(np.log2(ITEMS)) + 1)
    others = ~np.isin(result.index, poison)
    assert result.loss[others].tobytes() == clean(tmp_path).loss[others].tobytes()
    assert "3 workers died" in result.failures.records["died"][0].message


@pytest.mark.parametrize("fault", daily_but("child process", HANGING))
@pytest.mark.daily
def test_an_item_that_hangs_is_a_timeout_and_no_other(fault: str, tmp_path: Path, workers: Executor) -> None:
    """The worker is killed with all that it started; the item is recorded when it was alone."""
    loss = Faulty(fault, str(tmp_path))
    result = searched(loss, workers, item_seconds=1.0)
    assert failed(result, "timeout") == faulty_items(loss)
    others = ~np.isin(result.index, faulty_items(loss))
    assert result.loss[others].tobytes() == clean(tmp_path).loss[others].tobytes()
    if fault == "child process":
        pid = int((tmp_path / "child").read_text())
        end = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("fault", UNUSUAL)
def test_a_loss_may_do_with_its_process_what_it_wants(fault: str, tmp_path: Path, workers: Executor) -> None:
    """Forks, threads and signal handlers of a loss disturb no other item."""
    loss = Faulty(fault, str(tmp_path))
    result = searched(loss, workers)
    assert len(fired(tmp_path)) == 2
    assert result.failures.count == 0
    expected = clean(tmp_path).loss.copy()
    expected[np.isin(result.index, faulty_items(loss))] = 1.0
    assert result.loss.tobytes() == expected.tobytes()


@pytest.mark.parametrize("fault", RAISING)
def test_what_a_loss_raises_or_returns_is_recorded_alike_everywhere(
    fault: str, tmp_path: Path, workers: Executor
) -> None:
    """Each failure has its index and is evaluated once, on a worker as in this process."""
    loss = Faulty(fault, str(tmp_path))
    result = searched(loss, workers)
    assert set(fired(tmp_path).values()) == {1}
    (kind,) = result.failures.runs
    assert failed(result, kind) == faulty_items(loss)
    here = searched(loss, Serial())
    assert here.loss.tobytes() == result.loss.tobytes()
    assert here.failures.runs == result.failures.runs
    assert [r.message for r in here.failures.records[kind]] == [r.message for r in result.failures.records[kind]]


def test_a_flood_of_output_disturbs_nothing(tmp_path: Path, workers: Executor) -> None:
    """Ten megabytes an item, from Python: every item is evaluated, with the same bits."""
    result = searched(Loud(str(tmp_path)), workers)
    assert (tmp_path / "fired").stat().st_size == ITEMS
    assert result.loss.tobytes() == clean(tmp_path).loss.tobytes()


@pytest.mark.daily
def test_a_killed_worker_that_was_in_the_middle_costs_its_slice(tmp_path: Path, workers: Executor) -> None:
    """SIGKILL from outside, e.g. by the system for its memory."""
    killed: list[int] = []

    class Kills(Observers):
        def parts(self, written: Any, *, new: bool) -> None:
            pids = [int(slot.rpartition(":")[2]) for slot in workers.slots]
            fresh = [pid for pid in pids if pid not in killed]  # a killed worker has its slot until that is noticed
            if len(killed) < 3 and fresh:
                killed.append(fresh[0])
                os.kill(fresh[0], signal.SIGKILL)

    objective = Objective(Faulty("", str(tmp_path)))
    result = (
        driver(objective, lambda: workers, observer=Kills(), settings=SMALL)
        .run(search_route(Search(DRAWS, ITEMS), objective.capabilities))
        .result
    )
    assert len(killed) >= 2
    assert result.loss.tobytes() == clean(tmp_path).loss.tobytes()
