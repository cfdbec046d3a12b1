"""A search that ends early ends at the same candidate, whatever the slices; it is a search of so many candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chaos import Chaos
from driver_setup import MEMORY, driver, settings
from examples import LOSSES, result_bits, search
from optitrip.core.executor import Done, Executor, Failed
from optitrip.driver.settings import Settings
from optitrip.errors import Stopped
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.methods.search.spec import search_route

ITEMS = 300


def found(loss: str, make: Callable[[], Executor] = Serial, journal: Journal | None = None, **options: Any) -> Any:
    """The result of a whole search."""
    items = options.pop("items", ITEMS)
    method = replace(search(items, keep_all=40), **options)
    objective = LOSSES[loss]
    return (
        driver(objective, make, journal, block=objective.capabilities.block)
        .run(search_route(method, objective.capabilities))
        .result
    )


def losses(loss: str, maximize: bool) -> Any:
    """Return the losses of all candidates, in a sign in which smaller is better."""
    method = replace(search(ITEMS, keep_all=ITEMS), maximize=maximize)
    whole = method.result(method.evaluate(LOSSES[loss], range(ITEMS))).loss
    return np.where(np.isfinite(whole), -whole if maximize else whole, np.inf)


@pytest.mark.mostly_daily
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("loss", ["scalar", "troubled", "batched", "beside"])
@hypothesis_settings(max_examples=15)
@given(seed=st.integers(0, 2**32), place=st.integers(0, ITEMS - 1))
def test_a_target_ends_a_search_at_the_first_that_meets_it(loss: str, maximize: bool, seed: int, place: int) -> None:
    """With everything before it evaluated: the answer is, to the bit, that of a search of so many candidates."""
    every = losses(loss, maximize)
    target = every[place] if np.isfinite(every[place]) else float(every.min())
    wanted = int(np.flatnonzero(every <= target)[0]) + 1
    said = -float(target) if maximize else float(target)
    ended = found(loss, lambda: Chaos(seed), target_loss=said, maximize=maximize)
    assert ended.items == wanted
    assert result_bits(ended) == result_bits(found(loss, items=wanted, maximize=maximize))


@pytest.mark.mostly_daily
@pytest.mark.parametrize("loss", ["scalar", "troubled", "batched"])
@hypothesis_settings(max_examples=20)
@given(seed=st.integers(0, 2**32), allowed=st.integers(1, 120))
def test_a_search_without_improvement_ends(loss: str, seed: int, allowed: int) -> None:
    """After so many candidates in a row that were no better, counted by index."""
    best, last, wanted = np.inf, -1, ITEMS
    for index, value in enumerate(losses(loss, maximize=False)):
        if value < best:
            best, last = value, index
        elif index - last == allowed:
            wanted = index + 1
            break
    ended = found(loss, lambda: Chaos(seed), no_improvement=allowed)
    assert ended.items == wanted
    assert result_bits(ended) == result_bits(found(loss, items=wanted))


@hypothesis_settings(max_examples=20)
@given(seed=st.integers(0, 2**32), ends=st.lists(st.tuples(st.integers(1, ITEMS), st.integers(5, 90)), max_size=5))
def test_a_journal_serves_any_end(seed: int, ends: list[tuple[int, int]]) -> None:
    """N raised and lowered, with one condition and another: each time what a new sweep would find."""
    journal = Journal(MEMORY)
    for items, allowed in ends:
        again = found("troubled", lambda: Chaos(seed), journal, items=items, no_improvement=allowed, best=2)
        assert result_bits(again) == result_bits(found("troubled", items=items, no_improvement=allowed, best=2))


def test_slices_in_flight_are_finished() -> None:
    """After a stop no new slices are submitted, and those in flight are stored."""
    journal, submitted = Journal(MEMORY), list[range]()

    class Noted(Serial):
        def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
            submitted.append(items)
            super().submit(ticket, stage, items, slot)

        def wait(self, timeout: float) -> list[Done | Failed]:
            return super().wait(timeout) if asked or len(submitted) < 5 else self.ask()

        def ask(self) -> list[Done | Failed]:
            asked.append(len(submitted))
            return []

    asked: list[int] = []

    def raise_if_stopped() -> None:
        if asked:
            raise Stopped("asked to", 15)

    method = search(9_000)
    with pytest.raises(Stopped) as caught:
        driver(LOSSES["scalar"], Noted, journal, raise_if_stopped=raise_if_stopped, settings=Settings()).run(
            search_route(method, LOSSES["scalar"].capabilities)
        )
    assert caught.value.signal == 15
    assert len(submitted) == asked[0]
    assert journal.tiling(0, method.digest(), 9_000) == sorted(submitted, key=lambda items: items.start)


def test_a_slice_that_never_ends_is_abandoned() -> None:
    """After `drain_seconds` the sweep stops without it."""

    class NeverDone(Serial):
        def wait(self, timeout: float) -> list[Done | Failed]:
            return []

    def raise_if_stopped() -> None:
        raise Stopped("asked to")

    with pytest.raises(Stopped, match="asked to"):
        driver(
            LOSSES["scalar"], NeverDone, raise_if_stopped=raise_if_stopped, settings=settings(drain_seconds=0.05)
        ).run(search_route(search(9), LOSSES["scalar"].capabilities))


def test_a_sweep_without_workers_stops() -> None:
    """After `wait_seconds` the sweep stops and can be resumed."""

    class Nobody(Serial):
        slots = ()

    with pytest.raises(Stopped, match=r"no workers for 0\.05 s") as caught:
        driver(LOSSES["scalar"], Nobody, settings=settings(wait_seconds=0.05)).run(
            search_route(search(9), LOSSES["scalar"].capabilities)
        )
    assert caught.value.signal is None
