"""How plain losses are called: by position where that is safe, and no item is lost to what another raises."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np
import pytest

from optitrip.core.arrays import Array
from optitrip.loss.evaluation import (
    NUMBERS_AT_ONCE,
    Evaluation,
    call_one_by_one,
    evaluate_range,
    stretches,
)
from optitrip.loss.passing import positional_order

COUNT = 12
VALUES: dict[str, Array] = {
    "a": np.arange(COUNT, dtype=np.float64),
    "b": np.arange(2 * COUNT, dtype=np.float64).reshape(COUNT, 2),
    "kind": np.array(["x", "y", "z"] * (COUNT // 3), dtype=object),
}
WANTED = [a + 10 * row[1] + "xyz".index(kind) for a, row, kind in zip(*VALUES.values(), strict=True)]


def in_order(a: float, b: Array, kind: str) -> float:
    return a + 10 * float(b[1]) + "xyz".index(kind)


def disordered(kind: str, b: Array, a: float) -> float:
    return in_order(a, b, kind)


def by_name_only(*, b: Array, kind: str, a: float) -> float:
    return in_order(a, b, kind)


def with_default(a: float, scale: float = 10.0, *, b: Array, kind: str) -> float:
    return a + scale * float(b[1]) + "xyz".index(kind)


def bound_ahead(scale: float, a: float, b: Array, kind: str) -> float:
    return a + scale * float(b[1]) + "xyz".index(kind)


def bound_between(a: float, scale: float, b: Array, kind: str) -> float:
    return a + scale * float(b[1]) + "xyz".index(kind)


def with_any(**values: Any) -> float:
    return in_order(**values)


@wraps(in_order)
def wrapped(**values: Any) -> float:
    """Takes names only, whatever it says of itself."""
    return in_order(**values)


class Object:
    def __call__(self, b: Array, a: float, kind: str) -> float:
        return in_order(a, b, kind)

    def method(self, kind: str, a: float, b: Array) -> float:
        return in_order(a, b, kind)

    @staticmethod
    def static(b: Array, kind: str, a: float) -> float:
        return in_order(a, b, kind)


LOSSES: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "in order": (in_order, ["a", "b", "kind"]),
    "another order": (disordered, ["kind", "b", "a"]),
    "names only": (by_name_only, []),
    "a default between": (with_default, []),
    "bound ahead by position": (partial(bound_ahead, 10.0), ["a", "b", "kind"]),
    "bound ahead by name": (partial(bound_ahead, scale=10.0), []),
    "bound between": (partial(bound_between, scale=10.0), []),
    "any names": (with_any, []),
    "wrapped": (wrapped, []),
    "object": (Object(), ["b", "a", "kind"]),
    "method": (Object().method, ["kind", "a", "b"]),
    "static method": (Object.static, ["b", "kind", "a"]),
}


def losses(call: Callable[..., Any], items: range = range(COUNT)) -> Evaluation:
    found = Evaluation(items)
    call_one_by_one(call, {name: column[items.start : items.stop] for name, column in VALUES.items()}, items, found)
    return found


@pytest.mark.parametrize(("call", "order"), LOSSES.values(), ids=LOSSES)
def test_every_kind_of_function_gets_its_parameters_by_name(call: Any, order: list[str] | None) -> None:
    """Parameters go by position only where a function's signature can be trusted; the losses are the same."""
    assert positional_order(call, list(VALUES)) == order
    assert losses(call).losses.tolist() == WANTED


def test_scalars_are_pythons_own_and_arrays_cannot_be_written() -> None:
    """A loss gets the types that it would get in any call."""
    seen: list[Any] = []

    def spy(a: Any, b: Any, kind: Any) -> float:
        seen.append((type(a), type(kind), b.flags.writeable, b.shape))
        return 0.0

    for column in VALUES.values():
        column.flags.writeable = False
    losses(spy)
    assert set(seen) == {(float, str, False, (2,))}


@pytest.mark.parametrize("error", [ValueError, StopIteration, SystemExit, KeyError])
def test_an_item_that_raises_costs_no_other_its_loss(error: type[BaseException]) -> None:
    """First, middle, two in a row and last; a StopIteration looks like the end of the items."""
    bad = {0, 4, 5, COUNT - 1}
    called: list[float] = []

    def loss(a: float, b: Array, kind: str) -> float:
        called.append(a)
        if a in bad:
            raise error("no loss")
        return in_order(a, b, kind)

    found = losses(loss)
    assert called == list(range(COUNT))
    assert {record.index: record.type for _, record in found.problems} == dict.fromkeys(bad, error.__name__)
    assert [n for n in range(COUNT) if np.isnan(found.losses[n])] == sorted(bad)
    assert [loss for n, loss in enumerate(found.losses.tolist()) if n not in bad] == [
        wanted for n, wanted in enumerate(WANTED) if n not in bad
    ]


def test_whatever_is_returned_is_stored_in_its_place() -> None:
    """Floats, whole numbers, NumPy's scalars, dicts and what is no number at all, mixed."""
    given: list[Any] = [
        1.5,
        2,
        np.float32(0.25),
        {"loss": 4.0, "k": 1},
        "five",
        None,
        np.array(7.0),
        True,
        *range(8, COUNT),
    ]
    answers = iter(given)
    found = losses(lambda a, b, kind: next(answers))
    assert found.losses[:4].tolist() == [1.5, 2, 0.25, 4]
    assert [found.losses[6], *found.losses[8:].tolist()] == [7, *range(8, COUNT)]
    assert [record.index for _, record in found.problems] == [4, 5, 7]
    assert found.extras["k"][3] == 1


@pytest.mark.parametrize("block", [1, 3, 64, 1000])
@pytest.mark.parametrize("items", [range(0, 10), range(5, 777), range(999, 1000), range(64, 640), range(3, 3)])
def test_stretches_tile_a_range_and_cut_no_block(items: range, block: int) -> None:
    """Wherever a range begins and ends."""
    cut = list(stretches(items, block, 100))
    assert [n for stretch in cut for n in stretch] == list(items)
    assert all(stretch.stop % block == 0 for stretch in cut[:-1])
    assert all(len(stretch) <= max(100, block) for stretch in cut)


def test_a_million_cheap_items_are_drawn_in_long_ranges() -> None:
    """A new stream costs 8 us: with one a block of 256 it would take longer than the numbers themselves."""
    drawn: list[int] = []

    def draw(items: range) -> dict[str, Array]:
        drawn.append(len(items))
        return {"x": np.zeros((len(items), 10))}

    evaluate_range(draw, range(1_000_000), 256, lambda values, items, found: found.losses.fill(0))
    assert len(drawn) < 1_000_000 / (NUMBERS_AT_ONCE / 10) * 1.1 + 2
