"""Parts: what a slice returns survives the disk to the bit, and its failures are a set of indices."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optitrip.core.arrays import Array, overwritten
from optitrip.core.arrays import joined as joined_columns
from optitrip.core.failures import RECORDS_KEPT, Failures, Record
from optitrip.core.part import Part, adjacent

KINDS = ["raised", "nan", "infinite", "invalid"]

indices = st.integers(0, 60)
few = st.dictionaries(indices, st.sampled_from(KINDS), max_size=50)
many = st.lists(st.sampled_from(["", "nan", "nan", "raised"]), min_size=61, max_size=61).map(
    lambda kinds: {n: kind for n, kind in enumerate(kinds) if kind}
)
kinds_by_index = few | many
cuts = st.lists(st.integers(0, 61), max_size=6)


def record(index: int) -> Record:
    return Record(index, "ValueError", f"item {index}", f'Traceback\n  File "loss.py", line {index}\n')


def failures(kinds: dict[int, str]) -> Failures:
    return Failures.of(kinds, [(kind, record(index)) for index, kind in kinds.items()])


def sets(found: Failures) -> dict[str, set[int]]:
    """The model: by kind the set of indices."""
    return {kind: {n for lo, hi in runs for n in range(lo, hi)} for kind, runs in found.runs.items()}


def model(kinds: dict[int, str]) -> dict[str, set[int]]:
    return {kind: {n for n, k in kinds.items() if k == kind} for kind in set(kinds.values())}


def joined(kinds: dict[int, str], at: list[int]) -> Failures:
    """The failures of the pieces between the cuts, one after the other."""
    bounds = [0, *sorted(at), 61]
    whole = Failures()
    for lo, hi in pairwise(bounds):
        whole = whole.then(failures({n: kind for n, kind in kinds.items() if lo <= n < hi}))
    return whole


@given(kinds_by_index)
def test_failures_of_is_the_set_of_indices(kinds: dict[int, str]) -> None:
    """Runs hold exactly the indices that failed, by kind."""
    assert sets(failures(kinds)) == model(kinds)


@given(kinds_by_index)
def test_runs_are_disjoint_ascending_and_as_long_as_they_can_be(kinds: dict[int, str]) -> None:
    """No run is empty, and between two runs of a kind there is an index that did not fail in that way."""
    for runs in failures(kinds).runs.values():
        assert all(lo < hi for lo, hi in runs)
        assert all(before[1] < after[0] for before, after in pairwise(runs))


@given(kinds_by_index, cuts)
def test_failures_joined_at_any_cuts_are_those_of_the_whole(kinds: dict[int, str], at: list[int]) -> None:
    """Merging the pieces gives the whole, to the byte."""
    whole = failures(kinds)
    pieces = joined(kinds, at)
    assert pieces == whole
    assert pieces.to_bytes() == whole.to_bytes()


@given(kinds_by_index, st.integers(0, 61), st.integers(0, 61))
def test_then_groups_as_it_likes(kinds: dict[int, str], first: int, second: int) -> None:
    """Joining is associative."""
    lo, hi = sorted([first, second])
    a, b, c = (
        failures({n: kind for n, kind in kinds.items() if n in within})
        for within in (range(lo), range(lo, hi), range(hi, 61))
    )
    assert a.then(b).then(c).to_bytes() == a.then(b.then(c)).to_bytes()


@given(kinds_by_index, cuts)
def test_the_first_ten_records_of_each_kind_are_kept(kinds: dict[int, str], at: list[int]) -> None:
    """Records are those of the lowest indices of each kind, however the range was cut."""
    for found in (failures(kinds), joined(kinds, at)):
        assert {kind: [r.index for r in records] for kind, records in found.records.items()} == {
            kind: sorted(mine)[:10] for kind, mine in model(kinds).items()
        }


def test_ten_records_are_kept() -> None:
    """A thousand failures have every index, and ten full records."""
    found = failures(dict.fromkeys(range(1000), "nan"))
    assert RECORDS_KEPT == 10
    assert found.runs == {"nan": ((0, 1000),)}
    assert found.records["nan"] == tuple(record(n) for n in range(10))


def test_records_may_come_in_any_order() -> None:
    """The lowest indices are kept, not those that came first."""
    kinds = dict.fromkeys(range(30), "raised")
    backwards = Failures.of(kinds, [("raised", record(n)) for n in reversed(range(30))])
    assert backwards == failures(kinds)


@given(kinds_by_index)
def test_count_and_counts_are_sizes_of_the_sets(kinds: dict[int, str]) -> None:
    """Counts are those of the model."""
    found = failures(kinds)
    assert found.count == len(kinds)
    assert found.counts() == {kind: len(mine) for kind, mine in sorted(model(kinds).items())}
    assert list(found.counts()) == sorted(found.counts())


@given(kinds_by_index)
def test_first_is_the_lowest_index(kinds: dict[int, str]) -> None:
    """The failure that is shown is the lowest one of any kind."""
    wanted = (kinds[min(kinds)], record(min(kinds))) if kinds else None
    assert failures(kinds).first() == wanted


@given(kinds_by_index, indices, indices)
def test_cover_is_inclusion(kinds: dict[int, str], first: int, second: int) -> None:
    """A range is covered when all of it failed, in whatever ways."""
    items = range(*sorted([first, second]))
    assert failures(kinds).cover(items) == (set(items) <= set(kinds))


@given(kinds_by_index, st.text(), st.text())
def test_failures_survive_bytes(kinds: dict[int, str], message: str, trace: str) -> None:
    """Runs and records come back equal, and equal failures have equal bytes."""
    records = [(kind, Record(index, "E", message, trace)) for index, kind in kinds.items()]
    found = Failures.of(kinds, records)
    read = Failures.from_bytes(found.to_bytes())
    assert read == found
    assert read.to_bytes() == found.to_bytes()
    assert Failures.of(dict(reversed(kinds.items())), reversed(records)).to_bytes() == found.to_bytes()


def test_text_that_is_no_utf8_survives() -> None:
    """A message with a lone surrogate, as file names in exceptions have, is kept."""
    found = Failures.of({3: "raised"}, [("raised", Record(3, "OSError", "no file 'a\udc80b'", "\x00\u2028"))])
    assert Failures.from_bytes(found.to_bytes()) == found


@given(
    st.dictionaries(st.integers(0, 40), st.sampled_from(["nan", "raised"])),
    st.dictionaries(st.integers(0, 40), st.sampled_from(["nan", "died"])),
    st.lists(st.integers(0, 41), unique=True, max_size=10).map(sorted),
)
def test_failures_inside_ranges_are_replaced(before: dict[int, str], after: dict[int, str], ends: list[int]) -> None:
    """Inside the ranges failures and records are the new ones, outside them the old ones; of these, ten a kind."""
    ranges = [range(lo, hi) for lo, hi in zip(ends[::2], ends[1::2], strict=False)]
    inside = {index for items in ranges for index in items}
    new = {index: kind for index, kind in after.items() if index in inside}
    wanted = Failures.of({index: kind for index, kind in before.items() if index not in inside} | new)
    found = failures(before).replaced(ranges, failures(new))
    assert found.runs == wanted.runs
    assert Failures.from_bytes(found.to_bytes()) == found
    for kind in {*before.values(), *new.values()}:
        old = sorted(n for n in before if before[n] == kind)[:10]  # the others have no record
        indices = sorted([n for n in old if n not in inside] + [n for n in new if new[n] == kind])
        assert [record.index for record in found.records.get(kind, ())] == indices[:10]


BITS = {
    "none": np.array([], np.float64),
    "nan": np.array([np.nan, 1.0]),
    "other nan": np.array([0x7FF8000000000123, 0xFFF8000000000001], np.uint64).view(np.float64),
    "signed zeros": np.array([0.0, -0.0]),
    "infinite": np.array([np.inf, -np.inf]),
    "subnormal": np.array([5e-324, 2.0**-1074, np.finfo(float).max]),
    "float32": np.array([1e-45, -0.0, np.nan], np.float32),
    "int64": np.array([-(2**63), 2**63 - 1, 2**53 + 1]),
    "uint8": np.arange(3, dtype=np.uint8),
    "bool": np.array([True, False, True]),
    "scalar": np.array(1.5),
    "matrix": np.arange(6.0).reshape(2, 3),
    "no rows": np.zeros((0, 3)),
    "every second": np.arange(6.0)[::2],
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "big end first": np.arange(3, dtype=">f8"),
}


def same(found: Array, wanted: Array) -> bool:
    return found.dtype == wanted.dtype and found.shape == wanted.shape and found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", BITS)
def test_a_column_survives_bytes(name: str) -> None:
    """Type, shape and every bit come back."""
    part = Part(range(2, 5), {name: BITS[name]})
    read = Part.from_bytes(part.items, part.columns_bytes(), part.failures.to_bytes())
    assert read.items == range(2, 5)
    assert list(read.columns) == [name]
    assert same(read.columns[name], BITS[name])


def test_columns_together_survive_bytes_in_any_order() -> None:
    """Many columns come back, and their order in the dict is no part of the bytes."""
    part = Part(range(7), BITS, failures({3: "nan"}))
    read = Part.from_bytes(part.items, part.columns_bytes(), part.failures.to_bytes())
    assert read.columns.keys() == BITS.keys()
    assert all(same(read.columns[name], BITS[name]) for name in BITS)
    assert read.failures == part.failures
    assert Part(range(7), dict(reversed(BITS.items()))).columns_bytes() == part.columns_bytes()
    assert read.columns_bytes() == part.columns_bytes()


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_any_bits_survive(words: list[int], numbers: list[int]) -> None:
    """Every float64, NaNs of any payload included, and every int64 come back."""
    columns: dict[str, Any] = {
        "floats": np.array(words, np.uint64).view(np.float64),
        "numbers": np.array(numbers, np.int64),
    }
    part = Part(range(len(words)), columns)
    read = Part.from_bytes(part.items, part.columns_bytes(), part.failures.to_bytes())
    assert all(same(read.columns[name], columns[name]) for name in columns)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.array([0.0]), np.array([-0.0])),
        (np.array([1.0]), np.array([1])),
        (np.zeros(2), np.zeros((1, 2))),
        (np.zeros(2), np.zeros(2, np.float32)),
        (np.array([np.nan]), -np.array([np.nan])),
    ],
)
def test_different_columns_have_different_bytes(one: Array, other: Array) -> None:
    """Sign of zero, type, shape and NaN's sign all count."""
    assert Part(range(2), {"a": one}).columns_bytes() != Part(range(2), {"a": other}).columns_bytes()


def test_names_count() -> None:
    """A column under another name is another part."""
    assert Part(range(1), {"a": np.zeros(1)}).columns_bytes() != Part(range(1), {"b": np.zeros(1)}).columns_bytes()


def test_adjacent_joins_ranges() -> None:
    """Two parts join where the one ends and the other begins, an empty one included."""
    assert adjacent(Part(range(2, 5), {}), Part(range(5, 9), {})) == range(2, 9)
    assert adjacent(Part(range(2, 2), {}), Part(range(2, 9), {})) == range(2, 9)


@pytest.mark.parametrize("later", [range(4, 9), range(6, 9), range(2)])
def test_parts_with_a_gap_or_overlap_do_not_join(later: range) -> None:
    """Anything else is an error that names both ranges."""
    with pytest.raises(ValueError, match="not adjacent") as caught:
        adjacent(Part(range(2, 5), {}), Part(later, {}))
    assert str(range(2, 5)) in str(caught.value)
    assert str(later) in str(caught.value)


def test_retried_columns_have_the_order_of_joined_ones() -> None:
    """Files list columns in this order, so it must not depend on the hashes of names, which differ by process."""
    names = [f"kept_{letter}" for letter in "hgfedcba"]
    whole = {name: np.zeros(3) for name in [*names, "loss"]}
    retried = {"loss": np.ones(1)} | {name: np.ones(1) for name in names[1:]}
    columns = overwritten([whole, retried], 3, [slice(1, 2)], "loss", "kept_")
    assert list(columns) == list(joined_columns([whole, retried], "loss", "kept_")) == ["loss", *sorted(names)]
    np.testing.assert_array_equal(columns["kept_a"], [0, 1, 0])
    np.testing.assert_array_equal(columns[names[0]], [0, np.nan, 0])
