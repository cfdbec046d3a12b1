"""Full blocks, answers that do not depend on the cut, and failures that hurt no other item."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batched_losses
import optitrip.loss.evaluation as ladder
from batched_losses import (
    ITEMS,
    Batched,
    Plain,
    Poisonous,
    X,
    blocks,
    by_place,
    cuts,
    draw,
    failed,
    joined,
    outcome,
    ranges,
    shows_optitrip,
)
from optitrip.core.arrays import Array
from optitrip.loss.objective import Objective


@given(ranges, blocks)
def test_only_full_blocks_are_called(items: range, block: int) -> None:
    """Item n stands at place n mod block, and every other place holds a copy of a wanted item of that block."""
    batched = Batched(by_place, block)
    outcome(Objective(batched), items)
    seen: list[int] = []
    for call in batched.calls:
        n = call["n"].tolist()
        assert len(n) == block
        assert set(n) <= set(items)
        assert len({item // block for item in n}) == 1
        assert all(n[item % block] == item for item in n)
        seen += sorted(set(n))
    assert seen == list(items)


@given(ranges, blocks)
def test_every_place_holds_one_whole_candidate(items: range, block: int) -> None:
    """All parameters of a place belong to the same item, have the leading axis of the block, and are read-only."""
    batched = Batched(by_place, block)
    outcome(Objective(batched), items)
    whole = draw(range(ITEMS))
    for call in batched.calls:
        for name, column in call.items():
            assert not column.flags.writeable
            assert np.array_equal(column, whole[name][call["n"]])


def test_a_whole_block_is_not_copied() -> None:
    """A full block of wanted items is a view of what was drawn: memory is not spent twice."""
    values = draw(range(16))
    batched = Batched(by_place, 8)
    Objective(batched).evaluate(lambda items: {k: v[items.start : items.stop] for k, v in values.items()}, range(16))
    assert all(np.shares_memory(call["W"], values["W"]) for call in batched.calls)


@given(cuts, blocks)
def test_any_cut_gives_the_same_bits(at: list[int], block: int) -> None:
    """Ranges evaluated apart are slices of the whole, although the loss depends on the place."""
    objective = Objective(Batched(by_place, block))
    whole, failures = outcome(objective, range(ITEMS))
    places = np.arange(ITEMS) % block
    assert whole.tolist() == (X + draw(range(ITEMS))["W"].sum(axis=1) + places / 1000).tolist()
    assert joined(objective, at) == (whole.tobytes(), failures.to_bytes())


@given(cuts)
def test_any_cut_of_plain_calls_gives_the_same_bits(at: list[int]) -> None:
    """One by one, too."""
    objective = Objective(Plain({5, 6, 77}))
    assert joined(objective, at) == joined(objective, [0, ITEMS])


@given(ranges)
def test_a_range_is_the_slice_of_the_whole(items: range) -> None:
    """Arbitrary ranges, empty ones included."""
    objective = Objective(Poisonous({3, 90, 91}, 16))
    whole, _ = outcome(objective, range(ITEMS))
    losses, failures = outcome(objective, items)
    assert losses.dtype == np.float64
    assert losses.tobytes() == whole[items.start : items.stop].tobytes()
    assert failed(failures) == {3, 90, 91} & set(items)


@pytest.mark.parametrize("block", [1, 7, 16])
@pytest.mark.parametrize("at_once", [1, 30, 100, 2**20])
def test_how_much_is_drawn_at_once_is_no_part_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, block: int, at_once: int
) -> None:
    """Draws are as long as memory allows and no longer, and the losses are the same."""
    wanted = outcome(Objective(Batched(by_place, block)), range(5, ITEMS))[0]
    monkeypatch.setattr(ladder, "NUMBERS_AT_ONCE", at_once)
    drawn: list[range] = []

    def recorded(items: range) -> dict[str, Array]:
        drawn.append(items)
        return draw(items)

    batched = Batched(by_place, block)
    losses = Objective(batched).evaluate(recorded, range(5, ITEMS)).losses
    assert losses.tobytes() == wanted.tobytes()
    assert len(batched.calls) == len({n // block for n in range(5, ITEMS)})  # no block is cut in two
    assert max(len(items) for items in drawn) <= max(block, at_once / 5)  # x, three of W, kind; and n, which is free


# Poison


@given(st.sets(st.integers(0, ITEMS - 1), max_size=12), cuts, blocks)
def test_exactly_the_poisonous_items_fail(poison: set[int], at: list[int], block: int) -> None:
    """Whatever the cut: they and no others, with the others' bits unchanged."""
    objective = Objective(Poisonous(poison, block))
    losses, failures = outcome(objective, range(ITEMS))
    healthy, _ = outcome(Objective(Poisonous(set(), block)), range(ITEMS))
    spared = [n for n in range(ITEMS) if n not in poison]
    assert failed(failures) == poison
    assert set(failures.runs) <= {"raised"}
    assert losses[spared].tobytes() == healthy[spared].tobytes()
    assert np.isnan(losses[sorted(poison)]).all()
    assert joined(objective, at) == (losses.tobytes(), failures.to_bytes())


MANY: dict[str, set[int]] = {
    "every second": set(range(0, ITEMS, 2)),
    "all but one": set(range(ITEMS)) - {100},
    "all": set(range(ITEMS)),
    "two thirds": {n for n in range(ITEMS) if n % 3},
    "a long run": set(range(10, 200)),
}


@pytest.mark.mostly_daily
@pytest.mark.parametrize("poison", MANY.values(), ids=list(MANY))
@pytest.mark.parametrize("block", [16, 256])
@pytest.mark.parametrize("at", [[0, ITEMS], [0, 100, ITEMS], [0, 1, 99, 101, 255, 257, ITEMS], list(range(ITEMS + 1))])
def test_many_poisonous_items_hurt_no_other(poison: set[int], block: int, at: list[int]) -> None:
    """Beyond 64 bisections of a block, too, exactly the poisonous items fail, with the same bits for any cut."""
    objective = Objective(Poisonous(poison, block))
    losses, failures = outcome(objective, range(ITEMS))
    healthy, _ = outcome(Objective(Poisonous(set(), block)), range(ITEMS))
    spared = [n for n in range(ITEMS) if n not in poison]
    assert failed(failures) == poison
    assert losses[spared].tobytes() == healthy[spared].tobytes()
    assert joined(objective, at) == (losses.tobytes(), failures.to_bytes())


def test_a_failure_is_recorded_in_its_own_words() -> None:
    """Index, type, message, and the user's traceback from the first frame of theirs."""
    _, failures = outcome(Objective(Poisonous({70, 9}, 64)), range(ITEMS))
    records = failures.records["raised"]
    assert [(r.index, r.type, r.message) for r in records] == [
        (n, "ValueError", f"item {n} is poisonous") for n in (9, 70)
    ]
    for record in records:
        first = record.traceback.splitlines()
        assert first[0] == "Traceback (most recent call last):"
        assert first[1].startswith(f'  File "{batched_losses.__file__}", line ')
        assert first[1].endswith(", in losses")
        assert first[-1] == f"ValueError: {record.message}"


def test_no_frame_of_ours_is_in_a_traceback() -> None:
    """Not by the plain call, nor by batches, nor by batches of one."""
    for objective in (Objective(Plain({3})), Objective(Poisonous({3}, 8))):
        for plainly in (False, True):
            first = outcome(objective, range(10), plainly)[1].first()
            assert first is not None
            assert first[1].index == 3
            assert not shows_optitrip(first[1].traceback)


class Builtin:
    """Its plain call and its batches are functions of C, which leave no frame."""

    __call__ = math.sqrt
    losses = math.sqrt


@pytest.mark.parametrize("loss", [math.sqrt, Builtin()], ids=["plain", "batched"])
def test_an_exception_without_frames_of_the_users_has_none_of_ours(loss: Any) -> None:
    """A loss written in C is shown by its words alone."""
    _, failures = outcome(Objective(loss), range(3))
    record = failures.records["raised"][0]
    assert record.type == "TypeError"
    assert record.traceback.endswith(f"TypeError: {record.message}\n")
    assert not shows_optitrip(record.traceback)
