"""Failed items are retried, no others, and the answer is as if they had not failed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import Chaos
from driver_setup import MEMORY, driver
from examples import Batched, draws, gradient, result_bits, route_of, search
from optitrip.core.arrays import Array
from optitrip.core.observer import MetricPoint, Observers, Times, Written
from optitrip.core.part import Part
from optitrip.journal.journal import Journal
from optitrip.loss.objective import Objective
from optitrip.methods.search.method import Search
from optitrip.methods.search.progress import SearchCurve, SearchProgress
from optitrip.methods.search.spec import search_route
from quick_tests import examples

ITEMS = 200


class Interrupted(BaseException):
    """The driver dies."""


class Flaky(Batched):
    """A loss that fails at some points until a file exists, which its copies in other processes see as well."""

    def __init__(self, office: Path, entries: int = 3) -> None:
        super().__init__(entries)
        self.office = office

    def __call__(self, x: Array, k: int, c: float) -> float:
        if not self.office.exists() and int(abs(x @ np.arange(len(x))) * 1e4) % 3 == 2:
            raise OSError("no license")
        return super().__call__(x, k, c)

    losses = None  # type: ignore[assignment]


def run(
    loss: Any, method: Any, journal: Journal | None = None, seed: int = 0, watch: Any = None, **options: Any
) -> Any:
    objective = Objective(loss)
    route = (
        search_route(method, objective.capabilities)
        if isinstance(method, Search)
        else route_of(method, objective.capabilities, seed)
    )
    one = driver(objective, lambda: Chaos(seed), journal, watch, block=8, **options)
    return one.run(route), one.evaluated


@contextmanager
def dying(journal: Journal, after: int) -> Generator[None]:
    """Have the driver die in here, after so many writes."""
    write, left = journal.write, [after]

    def die(*row: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted
        return write(*row)

    journal.write = die  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        yield
    journal.write = write  # type: ignore[method-assign]


METHODS = {"search": lambda: search(ITEMS), "gradient": lambda: gradient(100, "central", 150)}


@pytest.mark.parametrize("kind", METHODS)
@examples(4)
@given(seed=st.integers(0, 2**32))
def test_failed_items_are_retried_and_no_others(kind: str, tmp_path: Path, seed: int) -> None:
    """`--retry-failed` evaluates the failed items alone; then the answer has the bits of a sweep that never failed."""
    office, method = tmp_path / "open", METHODS[kind]()
    office.unlink(missing_ok=True)
    loss = Flaky(office, 150 if kind == "gradient" else 3)
    journal = Journal(MEMORY)
    first, _ = run(loss, method, journal, seed)
    failed = first.result.failures.count
    assert 0 < failed < method.items
    office.touch()
    again, evaluated = run(loss, method, journal, seed, retry_failed=True)
    assert evaluated[kind] == failed
    assert result_bits(again.result) == result_bits(run(loss, method)[0].result)
    later, evaluated = run(loss, method, journal, seed)
    assert kind not in evaluated
    assert result_bits(later.result) == result_bits(again.result)


@pytest.mark.parametrize("retries", [1, 3])
def test_retries_end(tmp_path: Path, retries: int) -> None:
    """An item that always fails is retried `retries` times, then recorded; running again retries no more."""
    loss = Flaky(tmp_path / "closed")
    journal = Journal(MEMORY)
    plain, _ = run(loss, search(ITEMS))
    answer, evaluated = run(loss, search(ITEMS), journal, retries=retries)
    failed = plain.result.failures.count
    assert evaluated["search"] == ITEMS + retries * failed
    assert result_bits(answer.result) == result_bits(plain.result)
    assert "search" not in run(loss, search(ITEMS), journal, retries=retries)[1]
    assert run(loss, search(ITEMS), journal, retries=retries, retry_failed=True)[1]["search"] == failed


def test_an_interrupted_attempt_is_resumed(tmp_path: Path) -> None:
    """Killed in the middle of an attempt, what is done by then is stored."""
    office = tmp_path / "open"
    loss, journal = Flaky(office), Journal(MEMORY)
    first, _ = run(loss, search(ITEMS), journal)
    failed = first.result.failures.count
    office.touch()
    with dying(journal, after=3):
        run(loss, search(ITEMS), journal, retry_failed=True)
    answer, evaluated = run(loss, search(ITEMS), journal, retry_failed=True)
    assert 0 < evaluated["search"] < failed
    assert result_bits(answer.result) == result_bits(run(loss, search(ITEMS))[0].result)


def test_failures_are_counted_as_they_were_last_tried(tmp_path: Path) -> None:
    """Without a result, failures are counted from the journal, without the items that a broken-off attempt repaired."""
    office = tmp_path / "open"
    objective, journal = Objective(Flaky(office)), Journal(MEMORY)
    first = driver(objective, lambda: Chaos(0), journal, block=8)
    failed = first.run(search_route(search(ITEMS), objective.capabilities)).result.failures.count
    assert first.failures() == {"raised": failed}
    office.touch()
    broken = driver(objective, lambda: Chaos(0), journal, block=8, retry_failed=True)
    with dying(journal, after=3):
        broken.run(search_route(search(ITEMS), objective.capabilities))
    assert 0 < broken.evaluated["search"] < failed
    assert broken.failures() == {"raised": failed - broken.evaluated["search"]}
    last = driver(objective, lambda: Chaos(0), journal, block=8, retry_failed=True)
    last.run(search_route(search(ITEMS), objective.capabilities))
    assert last.failures() == {}


class Moody(Flaky):
    """A loss that fails the first time at some points; it remembers each in a file."""

    def __call__(self, x: Array, k: int, c: float) -> float:
        mood = self.office.with_name(f"tried {float(x[0])!r}")
        if int(abs(x @ np.arange(len(x))) * 1e4) % 3 == 2 and not mood.exists():
            mood.touch()
            raise OSError("not now")
        return Batched.__call__(self, x, k, c)


@pytest.mark.parametrize("ends", ["target_loss", "no_improvement"])
@examples(10)
@given(seed=st.integers(0, 2**32), place=st.integers(0, ITEMS - 1))
def test_a_later_attempt_counts_for_where_a_search_ends(ends: str, tmp_path: Path, seed: int, place: int) -> None:
    """A search with retries ends where a search ends in which nothing ever failed."""
    for mood in tmp_path.glob("tried *"):
        mood.unlink()
    office = tmp_path / "open"
    office.touch()
    every = run(Flaky(office), search(ITEMS, keep_all=ITEMS))[0].result.loss
    limit = {"target_loss": float(every[place])} if ends == "target_loss" else {"no_improvement": 1 + place // 4}
    method = replace(search(ITEMS), **limit)
    wanted, _ = run(Flaky(office), method)
    journal = Journal(MEMORY)
    answer, _ = run(Moody(office), method, journal, seed, retries=1)
    assert result_bits(answer.result) == result_bits(wanted.result)
    again, _ = run(Moody(office), method, journal, seed, retries=1)
    assert result_bits(again.result) == result_bits(wanted.result)


def test_a_later_attempt_is_in_the_curve_and_the_progress(tmp_path: Path) -> None:
    """The progress has its losses, and the chart no later point above the best of all."""
    office, journal = tmp_path / "open", Journal(Path(":memory:"))
    progress, curve = SearchProgress(ITEMS, draws()), SearchCurve()
    points: list[MetricPoint] = []

    class Drawn(Observers):
        def retried(self, part: Part, times: Times) -> None:
            super().retried(part, times)
            curve.retried(part)

        def parts(self, written: Sequence[Written], *, new: bool) -> None:
            super().parts(written, new=new)
            of_search = [one for one in written if "loss" in one[0].columns]  # beside them is that of the report
            for part, times in sorted(of_search, key=lambda one: one[0].items.start):
                points.extend(curve.points(part, times))

    first, _ = run(Flaky(office), search(ITEMS, keep_all=ITEMS), journal)
    office.touch()
    answer, _ = run(Flaky(office), search(ITEMS, keep_all=ITEMS), journal, watch=Drawn(progress), retry_failed=True)
    assert first.result.best_loss[0] > answer.result.best_loss[0]  # the best one is among those that failed
    assert (progress.done, progress.index) == (ITEMS, answer.result.best_index[0])
    assert min(point.value for point in points) == first.result.best_loss[0]
    later = Part(range(ITEMS, ITEMS + 1), {"low_index": np.array([ITEMS]), "low_loss": first.result.best_loss[:1]})
    assert curve.points(later, Times([ITEMS], [1])) == []
