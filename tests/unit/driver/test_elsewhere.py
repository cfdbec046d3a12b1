"""Tests of the last guard: the item that decides an answer is evaluated again on other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from driver_setup import driver
from optitrip.core.executor import Done, Failed
from optitrip.core.point import Point
from optitrip.errors import StateError
from optitrip.executors.serial import Serial, Worker
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.method import gradient_of
from optitrip.methods.search.method import Search
from optitrip.methods.search.spec import search_route
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

SPACE = Space.parse({"x": {"uniform": [-5, 5]}})


def loss(x: float) -> float:
    return x * x


def summed(x: Any) -> float:
    return float(np.sum(x * x))


def other(x: float) -> float:
    """Stand for an older copy of the loss on another node: it finds a better best, at the same place or not."""
    return x * x - 1.0


class TwoNodes(Serial):
    """A slot on each of some nodes; the last one computes another loss."""

    def __init__(self, last: Any = loss, nodes: int = 2) -> None:
        super().__init__()
        self.slots = tuple(f"slot {n}" for n in range(nodes))
        self.workers = {slot: Worker(Objective(loss)) for slot in self.slots}
        self.workers[self.slots[-1]] = Worker(Objective(last))
        self.given: list[tuple[str, range]] = []
        self.queued: list[tuple[int, int, range, str]] = []

    @property
    def nodes(self) -> Mapping[str, str]:
        return {slot: f"node of {slot}" for slot in self.slots}

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        self.given.append((slot, items))
        self.queued.append((ticket, stage, items, slot))

    def cancel(self, ticket: int) -> None:
        self.queued = [entry for entry in self.queued if entry[0] != ticket]

    def wait(self, timeout: float) -> list[Done | Failed]:
        if not self.queued:
            return []
        ticket, stage, items, slot = self.queued.pop(0)
        return [Done(ticket, *self.workers[slot].evaluate(self._methods[stage], items), slot)]


def search(executor: Serial, **options: Any) -> Any:
    objective = Objective(loss)
    one = driver(objective, lambda: executor, checked_since=options.pop("checked_since", 0), **options)
    return one.run(search_route(Search(Candidates(SPACE, 3), 40), objective.capabilities))


def test_the_winner_is_evaluated_on_two_nodes() -> None:
    """Where they agree with what is stored, nothing is said."""
    executor = TwoNodes()
    best = int(search(executor).result.best_index[0])
    again = [slot for slot, items in executor.given if items == range(best, best + 1)]
    assert len(set(again[-2:])) == 2


def test_a_node_that_computes_another_loss_ends_the_sweep() -> None:
    """The message names the item, both losses and the node; a wrong answer with exit status 0 is the worst."""
    with pytest.raises(StateError, match=r"candidate \d+ decides .* again it is .* on node of slot"):
        search(TwoNodes(other))


@pytest.mark.parametrize("executor", [TwoNodes(nodes=1), Serial()], ids=["one node", "this process"])
def test_where_there_is_no_other_node_nothing_is_evaluated_again(executor: Serial) -> None:
    """A laptop pays nothing for it."""
    assert search(executor).result.items == 40
    given = getattr(executor, "given", [])
    assert sum(len(items) for _, items in given) in (0, 40)


def test_a_loss_that_is_random_on_purpose_is_not_compared() -> None:
    """Its file says so, and then no row is ever checked."""
    assert search(TwoNodes(other), checked_since=None).result.items == 40


@pytest.mark.parametrize("scheme", ["forward", "central"])
def test_the_loss_at_x_decides_a_gradient(scheme: Any) -> None:
    """It is the item that every node can be compared by, whichever the scheme."""
    method = gradient_of(Point({"x": np.array([3.0])}, ("x",)), np.arange(1), scheme, 0.25)
    context = method.prepare(Objective(summed))
    whole = method.evaluate(context, range(method.items))
    assert method.witness(whole) == method.witness(method.evaluate(context, range(1))) == (0, 9.0)
