"""The laws of CONTRIBUTING.md, over whole runs: routes, driver, journal and every executor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chaos import Chaos
from driver_setup import MEMORY, Recording, driver
from driver_setup import settings as with_settings
from examples import CASES, HERE, LOSSES, bits, draws, result_bits, search
from long_lived_workers import long_lived_workers
from optitrip.core.executor import Done, Executor, Failed
from optitrip.core.failures import Failures, Record
from optitrip.core.method import Method, Route, merged
from optitrip.core.notice import Notice
from optitrip.core.observer import Observer, Observers, Written
from optitrip.driver.settings import Settings
from optitrip.errors import NoAnswer, Stopped
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.ray.start import RayPool
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.loss.objective import Objective
from optitrip.methods.search.spec import search_route
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space
from whole_sweeps import ITEMS, go, reference


class Interrupted(Exception):
    """Stands for a crash."""


class Crash(Observer):
    """An observer at which the driver dies after so many parts."""

    def __init__(self, after: int) -> None:
        self.left = after

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        self.left -= len(written) if new else 0
        if self.left < 0:
            raise Interrupted


RARELY = {
    "descent with troubles",
    "descent in batches",
    "descent by estimates",
    "local search with troubles",
    "local search in batches",
    "trip in batches",
    "sensitivity with troubles",
    "gaussian",
    "automatic estimate",
    "adaptive with troubles",
    "adaptive in batches",
    "the largest, halved in batches",
    "halved in brackets",
    "largest troubled",
    "largest batched beside",
    "the largest, screened",
    "backward beside",
    "constrained batches",
    "drawn again",
    "central batched",
}
"""Cases that take long and have a sibling: once a day."""
EVERY = [pytest.param(case, marks=pytest.mark.daily if case in RARELY else ()) for case in CASES]


@pytest.mark.parametrize("case", EVERY)
@hypothesis_settings(max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_same_answer_in_any_order_and_with_any_faults(case: str, seed: int) -> None:
    """Law 1: slicing, order of arrival, duplicates, stale outcomes, deaths and losses change no bit."""
    assert go(case, make=lambda: Chaos(seed))[0] == reference(case)


@pytest.mark.mostly_daily
@pytest.mark.parametrize("case", EVERY)
@hypothesis_settings(max_examples=3)
@given(seed=st.integers(0, 2**32), poison=st.sets(st.integers(5, ITEMS // 2), min_size=1, max_size=3))
def test_an_item_that_kills_its_workers_costs_no_other_item_a_bit(case: str, seed: int, poison: set[int]) -> None:
    """It is recorded with its index; all others have the values of a sweep without it."""
    chaos = Chaos(seed, poison=frozenset(poison))
    (method, found), *_ = main_stages(case, lambda: chaos)
    died = poison & set(range(method.items))
    assert chaos.wasted or not died
    assert {n for lo, hi in found.failures.runs.get("died", ()) for n in range(lo, hi)} == died
    context, edges = method.prepare(CASES[case][0]), sorted({0, method.items, *died, *(item + 1 for item in died)})
    parts = [
        method.failed_part(items, [("died", Record(items.start, "", "", ""))])
        if items.start in died
        else method.evaluate(context, items)
        for items in (range(lo, hi) for lo, hi in pairwise(edges))
    ]
    whole = merged(parts, method.merge)
    assert result_bits(method.result(whole)).replace(words(whole.failures), words(found.failures)) == result_bits(found)


def words(failures: Failures) -> bytes:
    """Failures as they stand in the bits of a result: each death is told in the words of the executor."""
    return repr(failures).encode()


def main_stages(case: str, make: Callable[[], Executor]) -> list[tuple[Method, Any]]:
    """The stages that the sweep is for, with their results."""
    objective, route = CASES[case]
    found: list[tuple[Method, Any]] = []

    def watched(inner: Route) -> Route:
        result: Any = None
        while True:
            try:
                method = inner.send(result)
            except StopIteration as end:
                return end.value
            result = yield method
            found.extend([(method, result)] if method.main else [])

    driver(objective, make, block=objective.capabilities.block).run(watched(route(ITEMS, 5)))
    return found


@pytest.mark.parametrize("case", EVERY)
@hypothesis_settings(max_examples=4)
@given(seed=st.integers(0, 2**32), after=st.lists(st.integers(0, 12), max_size=3))
def test_same_answer_after_any_crashes(case: str, seed: int, after: list[int]) -> None:
    """Law 1: a driver that dies and is started again, with other slices each time, gives the same bits."""
    journal = Journal(MEMORY)
    for number, parts in enumerate(after):
        try:
            go(case, make=lambda n=number: Chaos(seed + n), journal=journal, watch=Crash(parts))
        except Interrupted:
            continue
    assert go(case, make=lambda: Chaos(seed - 1), journal=journal)[0] == reference(case)


@pytest.mark.mostly_daily(2)
@pytest.mark.parametrize("case", EVERY)
@hypothesis_settings(max_examples=4)
@given(sizes=st.lists(st.integers(1, ITEMS), min_size=2, max_size=3), seed=st.integers(0, 2**32))
def test_prefix(case: str, sizes: list[int], seed: int) -> None:
    """Law 2: raising and lowering N, across the border where losses thin out and with the report behind it, gives what
    a sweep of that size alone gives."""
    journal = Journal(MEMORY)
    for items in sizes:
        assert go(case, items, make=lambda: Chaos(seed), journal=journal)[0] == go(case, items)[0]


def test_raising_n_runs_only_the_new_candidates() -> None:
    """Law 2: what was evaluated once is never evaluated again, whether N rises or falls to a border of slices."""
    journal = Journal(MEMORY)
    assert go("scalar", 200, journal=journal)[1] == {"search": 200}
    assert go("scalar", 300, journal=journal)[1] == {"search": 100}
    assert go("scalar", 200, journal=journal)[1] == {}
    assert go("scalar", 300, journal=journal)[1] == {}


def test_a_changed_winner_is_reported_anew_and_an_old_one_is_found_again() -> None:
    """The report's key holds the winner; raising N until another wins runs one report, lowering it again none."""
    journal = Journal(MEMORY)
    first = go("batched", 16, journal=journal)[1]
    assert first == {"agreement": 2, "search": 16, "report": 1}
    more = go("batched", ITEMS, journal=journal)[1]
    assert more == {"search": ITEMS - 16, "report": 1}
    assert go("batched", 16, journal=journal)[1] == {}


@hypothesis_settings(max_examples=30)
@given(order=st.permutations(["x", "k", "z", "c"]), present=st.sets(st.sampled_from(["x", "k", "z", "c"]), min_size=1))
def test_named_streams(order: list[str], present: set[str]) -> None:
    """Law 3: adding, removing or reordering variables moves no other variable's values."""
    entries: dict[str, Any] = {
        "x": {"shape": [3], "normal": [0, 1]},
        "k": {"integer": [1, 9]},
        "z": {"choice": ["a", "b"]},
        "c": 2.5,
    }
    whole = Candidates(Space.parse(entries), 5).values(range(7, 20))
    some = Candidates(Space.parse({name: entries[name] for name in order if name in present}), 5).values(range(7, 20))
    assert {name: values.tolist() for name, values in some.items()} == {name: whole[name].tolist() for name in present}


def test_an_incomplete_stage_is_never_finished() -> None:
    """Law 4: if a part is missing from the journal at the end of a stage, there is no answer."""

    class Forgetful(Journal):
        def write(self, stage: int, digest: bytes, parts: Any, *more: Any) -> list[range]:  # pyright: ignore[reportIncompatibleMethodOverride]
            return super().write(stage, digest, [p for p in parts if 100 not in p[0].items], *more)

    with pytest.raises(RuntimeError, match="missing"):
        go("scalar", journal=Forgetful(MEMORY))


def test_nothing_is_silent() -> None:
    """Law 5: every exception, NaN, infinity and non-number is recorded with its index, and only those."""
    journal = Journal(MEMORY)
    go("troubled", journal=journal)
    digest = search(ITEMS).digest()
    recorded: dict[int, str] = {}
    for part, _ in journal.parts(0, digest, journal.tiling(0, digest, ITEMS)):
        for kind, runs in part.failures.runs.items():
            recorded |= {n: kind for lo, hi in runs for n in range(lo, hi)}
    expected: dict[int, str] = {}
    user: Any = LOSSES["troubled"].loss
    for n in range(ITEMS):
        point = draws().point(n)
        try:
            value = user(x=point["x"][0], k=int(point["k"][0]), c=2.5)
        except ValueError:
            expected[n] = "raised"
            continue
        if isinstance(value, str):
            expected[n] = "invalid"
        elif not np.isfinite(value):
            expected[n] = "nan" if np.isnan(value) else "infinite"
    assert recorded == expected
    assert set(expected.values()) == {"raised", "invalid", "nan", "infinite"}


def test_durable_first(tmp_path: Path) -> None:
    """Law 6: a watcher is told of a part only when another process could read it from the journal."""
    journal = Journal(tmp_path / "journal")
    checked: list[range] = []

    class Looks(Crash):
        def parts(self, written: Sequence[Written], *, new: bool) -> None:
            other = Journal(tmp_path / "journal", reading=True)
            for part, times in written:
                digest = search(ITEMS).digest()
                found = [(bits(p), t) for p, t in other.parts(0, digest, [part.items])]
                assert found == [(bits(part), times.at(part.items.start))]
                checked.append(part.items)
            other.close()

    go("scalar", journal=journal, watch=Looks(0), make=lambda: Chaos(3))
    assert sorted(n for items in checked for n in items) == list(range(ITEMS))


def test_parameters_are_untouched() -> None:
    """Law 8: a loss that writes to its parameters fails, by index, and spoils nothing for others."""

    def writes(x: Any, k: int, c: float) -> float:
        if k > 4:
            x += 1
        return float(x.sum())

    def reads(x: Any, k: int, c: float) -> float:
        return float("nan") if k > 4 else float(x.sum())

    one = search(ITEMS)
    wrote = one.result(one.evaluate(Objective(writes), range(ITEMS)))
    read = one.result(one.evaluate(Objective(reads), range(ITEMS)))
    assert wrote.loss.tobytes() == read.loss.tobytes()
    assert wrote.failures.runs["raised"] == read.failures.runs["nan"]
    assert wrote.failures.records["raised"][0].type == "ValueError"


def test_a_loss_whose_first_hundred_all_fail_ends_early() -> None:
    """A broken loss does not cost a whole sweep, and its first traceback is in the reason."""

    def broken(x: Any, k: int, c: float) -> float:
        raise KeyError("weights")

    with pytest.raises(NoAnswer, match="first 100 items all failed") as caught:
        go(Objective(broken), 100_000)
    failures = caught.value.failures
    assert failures is not None
    first = failures.first()
    assert first is not None
    assert first[1].index == 0
    assert "KeyError: 'weights'" in first[1].traceback


def test_a_batch_that_differs_from_the_plain_call_ends_the_sweep() -> None:
    """The ladder never switches silently: both values are named."""

    class Wrong:
        block = 4

        def __call__(self, x: Any, k: int, c: float) -> float:
            return 1.0

        def losses(self, x: Any, k: Any, c: Any) -> Any:
            return np.full(len(k), 1.0 + 1e-9)

    with pytest.raises(NoAnswer, match=r"losses gives 1\.000000001 where the plain call gives 1\.0"):
        go(Objective(Wrong()))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((1, 1.0), id="1 worker", marks=pytest.mark.daily),
        pytest.param((2, 0.001), id="2 workers", marks=pytest.mark.daily),
        pytest.param((3, 0.02), id="3 workers"),
    ],
)
def on_ray(request: pytest.FixtureRequest, local_ray: None) -> Iterator[tuple[Executor, Settings]]:
    """Workers that outlive a run, since a new actor takes two seconds, with slices of a length of their own."""
    del local_ray
    workers, target = request.param
    with long_lived_workers(workers) as executor:
        yield executor, with_settings(target_seconds=target)


@pytest.mark.parametrize("case", EVERY)
def test_same_answer_on_ray(case: str, on_ray: tuple[Executor, Settings]) -> None:
    """Law 1: 1, 2 and 3 Ray workers with slices of several sizes give the bits of the serial executor."""
    workers, settings = on_ray
    assert go(case, make=lambda: workers, settings=settings)[0] == reference(case)


@pytest.mark.daily
@pytest.mark.parametrize("case", ["batched", "central batched"])
def test_same_answer_when_ray_takes_over(case: str, local_ray: None) -> None:
    """Law 1: some slices are evaluated in this process while Ray starts, the rest on its workers."""

    class InProcessClient(Serial):
        """Says that it is slow; it goes on after some slices only when the workers are there."""

        waits = 0

        def wait(self, timeout: float) -> list[Done | Failed]:
            self.waits += 1
            while self.waits == 8 and (starting := executors._starting) is not None and not starting.done():
                time.sleep(0.01)
            return [replace(o, seconds=5.0) if isinstance(o, Done) else o for o in super().wait(timeout)]

    executors = ExecutorManager(InProcessClient, RayPool(2))
    try:
        objective, _ = CASES[case]
        executors.use(objective, (HERE,), lambda _: None)
        assert go(case, make=executors, settings=with_settings(target_seconds=0.01))[0] == reference(case)
        assert not executors.starts_here
    finally:
        executors.close()


@hypothesis_settings(max_examples=5)
@given(sizes=st.lists(st.integers(1, ITEMS), min_size=1, max_size=3), case=st.sampled_from(sorted(CASES)))
def test_prefix_on_ray_and_serial_in_turn(sizes: list[int], case: str, on_ray: tuple[Executor, Settings]) -> None:
    """Laws 1 and 2: a sweep of which some was done in this process and some on workers is the sweep of either."""
    journal, (workers, settings) = Journal(MEMORY), on_ray
    for turn, items in enumerate([*sizes, ITEMS]):
        answer = go(case, items, make=Serial if turn % 2 else lambda: workers, journal=journal, settings=settings)[0]
        assert answer == go(case, items)[0]


@pytest.mark.parametrize("stop", [Stopped("asked to"), KeyboardInterrupt()], ids=["stopped", "interrupted"])
def test_a_stop_keeps_all_that_is_done(stop: BaseException) -> None:
    """Parts that wait for the next write are written before the driver lets go, so none is evaluated again."""
    journal, done = Journal(MEMORY), list[range]()

    class Recorded(Serial):
        def wait(self, timeout: float) -> list[Done | Failed]:
            outcomes = super().wait(timeout)
            done.extend(outcome.part.items for outcome in outcomes if isinstance(outcome, Done))
            return outcomes

    def raise_if_stopped() -> None:
        if len(done) == 3:
            raise stop

    one = driver(
        LOSSES["scalar"], Recorded, journal, raise_if_stopped=raise_if_stopped, settings=Settings(write_seconds=1e9)
    )
    with pytest.raises(type(stop)):
        one.run(search_route(search(ITEMS), LOSSES["scalar"].capabilities))
    digest = search(ITEMS).digest()
    assert sum(map(len, done)) < ITEMS
    assert journal.tiling(0, digest, ITEMS) == sorted(done, key=lambda items: items.start)


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """A failed write is retried; once there is room, nothing is missing."""
    journal = Journal(tmp_path / "j")
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")

    class Cleared(Recording):
        def notice(self, notice: Notice) -> None:
            super().notice(notice)
            journal._database.execute("PRAGMA max_page_count = 100000")

    watch = Cleared()
    one = driver(LOSSES["scalar"], Serial, journal, watch, settings=with_settings(disk_wait_seconds=5))
    assert one.run(search_route(search(9_000), LOSSES["scalar"].capabilities)).result.items == 9_000
    assert watch.codes == ["journal-unwritable"]
    assert "database or disk is full" in watch.notices[0].text
    assert one.evaluated["search"] == 9_000


def test_a_directory_that_is_moved_away_stops_the_sweep_and_can_be_resumed(tmp_path: Path) -> None:
    """Parts written before are whole where they are now, and resuming evaluates the rest."""
    (tmp_path / "before").mkdir()
    journal = Journal(tmp_path / "before" / "j")
    seen: list[range] = []

    class Takes(Observers):
        def parts(self, written: Any, *, new: bool) -> None:
            seen.extend(part.items for part, _ in written)
            if len(seen) == 3:
                (tmp_path / "before").rename(tmp_path / "after")

    objective, route = CASES["scalar"]
    one = driver(objective, Serial, journal, Takes(), settings=with_settings(disk_wait_seconds=0.1))
    with pytest.raises(Stopped, match="journal cannot be written") as stopped:
        one.run(route(9_000, 5))
    assert stopped.value.signal is None
    journal.close()
    again = Journal(tmp_path / "after" / "j")
    kept = sum(map(len, seen))
    answer, evaluated = go("scalar", 9_000, journal=again)
    assert evaluated["search"] == 9_000 - kept
    assert answer == go("scalar", 9_000)[0]
