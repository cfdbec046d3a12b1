"""The laws of every method: parts merge exactly, digests tell methods apart, nothing of a point travels."""

from __future__ import annotations

import itertools
import pickle
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import (
    CASES,
    ENTRIES,
    LOSSES,
    METHODS,
    SPACE,
    WIDE_LOSSES,
    Structured,
    bits,
    deltas,
    draws,
    gradient,
    scalar,
    search,
)
from optitrip.core.failures import DIED, Record
from optitrip.core.method import merged
from optitrip.core.part import Part
from optitrip.journal.rows import decode
from optitrip.loss.objective import Objective
from optitrip.methods.search.method import Search, kept_indices
from optitrip.methods.shared import Report
from optitrip.space.candidates import Candidates
from quick_tests import examples

ITEMS = 150


def decoded(parts: list[Part]) -> list[Part]:
    """Parts as they come back from rows of a journal, of which many are read at once."""
    rows = [
        (part.items.start, part.items.stop, part.columns_bytes(), part.failures.to_bytes(), 0, 0, 0) for part in parts
    ]
    return decode(rows, few=1).parts


@cache
def evaluated(method: str, loss: str) -> tuple[Any, Any, Any]:
    """A method, its context and the bits of all items at once; None where the loss has no batch to agree with."""
    one = METHODS[method](ITEMS)
    context = one.prepare(LOSSES[loss])
    agrees = LOSSES[loss].capabilities.losses or method != "agreement"
    return one, context, bits(one.evaluate(context, range(one.items))) if agrees else None


@pytest.mark.mostly_daily
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["search", "largest", "verification", "agreement", "count"])
@examples(40)
@given(cuts=st.sets(st.integers(1, ITEMS - 1), max_size=12))
def test_merging_at_any_cuts_gives_the_bits_of_the_whole(method: str, loss: str, cuts: set[int]) -> None:
    """evaluate(a + b) == merge(evaluate(a), evaluate(b)), to the bit."""
    one, context, whole = evaluated(method, loss)
    edges = [0, *sorted(cut for cut in cuts if cut < one.items), one.items]
    if whole is not None:
        parts = [one.evaluate(context, range(lo, hi)) for lo, hi in itertools.pairwise(edges)]
        assert bits(merged(parts, one.merge)) == bits(one.merge(*decoded(parts))) == whole


@pytest.mark.mostly_daily
@pytest.mark.parametrize("loss", WIDE_LOSSES)
@pytest.mark.parametrize("scheme", ["forward", "backward", "central"])
@examples(20)
@given(cuts=st.sets(st.integers(1, ENTRIES), max_size=12))
def test_merging_a_gradient_at_any_cuts_gives_the_bits_of_the_whole(scheme: str, loss: str, cuts: set[int]) -> None:
    """x and its neighbours merge exactly, whichever of them fail on which side."""
    one = (deltas if WIDE_LOSSES[loss].capabilities.around else gradient)(1 + ENTRIES, scheme)
    context = one.prepare(WIDE_LOSSES[loss])
    parts = [one.evaluate(context, range(lo, hi)) for lo, hi in itertools.pairwise([0, *sorted(cuts), 1 + ENTRIES])]
    whole = bits(one.evaluate(context, range(1 + ENTRIES)))
    assert bits(merged(parts, one.merge)) == bits(one.merge(*decoded(parts))) == whole


@pytest.mark.mostly_daily
@pytest.mark.parametrize("loss", ["scalar", "batched", "beside", "batched beside"])
@pytest.mark.parametrize("method", METHODS)
@examples(20)
@given(edges=st.sets(st.integers(0, ITEMS), min_size=2, max_size=6))
def test_what_was_lost_and_evaluated_later_is_as_if_never_lost(method: str, loss: str, edges: set[int]) -> None:
    """Parts of items that no worker could evaluate, replaced by what another try gave: the bits of the whole,
    but for the order of what is kept in words."""
    objective = LOSSES["screened"] if method == "screen" else Objective(LOSSES[loss].loss)
    one = METHODS[method](ITEMS)
    if method == "deltas":
        objective = Objective(Structured(3))
    if method in ("first rungs", "rung"):
        objective = CASES["halved"][0]
    context = one.prepare(objective)
    cuts = [0, *sorted(edge for edge in edges if 0 < edge < one.items), one.items]
    pieces = [range(lo, hi) for lo, hi in itertools.pairwise(cuts)]
    problems = {piece: [(DIED, Record(n, "WorkerDied", "", "")) for n in piece] for piece in pieces}
    parts = [one.failed_part(p, problems[p]) if k % 2 else one.evaluate(context, p) for k, p in enumerate(pieces)]
    whole = merged(parts, one.merge)
    if method not in ("agreement", "report"):  # their items are others' too, which record them
        assert whole.failures.counts().get("died", 0) == sum(map(len, pieces[1::2]))
    whole = one.replaced(whole, [one.evaluate(context, piece) for piece in pieces[1::2]])
    expected = one.evaluate(context, range(one.items))
    assert {name: column.tobytes() for name, column in whole.columns.items()} == {
        name: column.tobytes() for name, column in expected.columns.items()
    }
    assert whole.failures.runs == expected.failures.runs


@given(grouping=st.permutations(range(5)))
def test_merging_is_associative(grouping: list[int]) -> None:
    """The order in which neighbours are joined changes nothing."""
    one = search(ITEMS)
    context = LOSSES["troubled"]
    edges = [0, 1, 49, 50, 77, 120, ITEMS]
    parts = [one.evaluate(context, range(lo, hi)) for lo, hi in itertools.pairwise(edges)]
    for join in grouping:
        place = min(join, len(parts) - 2)
        parts[place : place + 2] = [one.merge(parts[place], parts[place + 1])]
    assert bits(parts[0]) == bits(one.evaluate(context, range(ITEMS)))


def test_merging_parts_that_are_not_neighbours_is_refused() -> None:
    """A gap or an overlap between parts is a mistake of the caller, never a silent answer."""
    one = search(ITEMS)
    left, right = (one.evaluate(LOSSES["scalar"], r) for r in (range(0, 10), range(11, 20)))
    with pytest.raises(ValueError, match="not adjacent"):
        one.merge(left, right)


@given(data=st.data(), keep_all=st.integers(1, 40), items=st.integers(1, 2_000))
def test_what_is_kept_depends_on_the_index_alone(data: st.DataObject, keep_all: int, items: int) -> None:
    """All below the border, then every 2^(j+1)-th in [2^j, 2^(j+1)) times it; a range keeps its share of that."""
    naive = [n for n in range(items) if n < keep_all or n % (2 << ((n // keep_all).bit_length() - 1)) == 0]
    assert kept_indices(range(items), keep_all).tolist() == naive
    lo = data.draw(st.integers(0, items))
    hi = data.draw(st.integers(lo, items))
    assert kept_indices(range(lo, hi), keep_all).tolist() == [n for n in naive if lo <= n < hi]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_search_finds_what_the_plain_loop_finds(loss: str) -> None:
    """Best, record lows, kept losses and failures, against the loop that everything started from."""
    one = search(ITEMS, keep_all=32, best=5)
    found = one.result(one.evaluate(LOSSES[loss], range(ITEMS)))
    user: Any = LOSSES[loss].loss
    losses, min_loss, lows = [], float("inf"), []
    for n in range(ITEMS):
        point = draws().point(n)
        try:
            given = user(x=point["x"][0], k=int(point["k"][0]), c=2.5)
            value = float(given["loss"] if isinstance(given, dict) else given)
        except (ValueError, FloatingPointError):
            value = float("nan")
        losses.append(value)
        if np.isfinite(value) and value < min_loss:
            min_loss = value
            lows.append(n)
    finite = [n for n in range(ITEMS) if np.isfinite(losses[n])]
    assert found.incumbent_index.tolist() == lows
    assert found.best_index.tolist() == sorted(finite, key=lambda n: losses[n])[:5]
    np.testing.assert_allclose(found.loss, [losses[n] for n in found.index], rtol=1e-13)
    assert found.failures.count == ITEMS - len(finite)


def test_ties_go_to_the_lowest_index() -> None:
    """Equal losses rank by index, and a tie is no new record low."""
    one = Search(draws(), 100, best=3)
    result = one.result(one.evaluate(Objective(lambda x, k, c: float(k > 4)), range(100)))
    low = [n for n in range(100) if int(draws().point(n)["k"][0]) <= 4]
    assert result.best_index.tolist() == low[:3]
    assert result.incumbent_index.tolist() == sorted({0, low[0]})


def test_nan_and_infinity_never_win() -> None:
    """Losses that are not finite are recorded and lose to any number."""
    ways = [float("nan"), float("-inf"), float("inf"), 5.0]
    objective = Objective(lambda x, k, c: ways[int(k) % 4])
    one = Search(draws(), 60)
    result = one.result(one.evaluate(objective, range(60)))
    assert set(result.best_loss) == {5.0}
    assert set(result.incumbent_loss) == {5.0}
    ks = draws().values(range(60))["k"]
    assert result.failures.counts() == {"nan": sum(ks % 4 == 0), "infinite": sum((ks % 4 == 1) | (ks % 4 == 2))}


def test_digests_tell_apart_all_but_the_number_of_items() -> None:
    """Raising N finds what is there; any other change of a method finds nothing."""
    other_space = Candidates(type(SPACE)(SPACE.variables[:2]), 5)
    digests = [
        search(10).digest(),
        search(10, keep_all=51).digest(),
        search(10, best=5).digest(),
        search(10, seed=6).digest(),
        Search(other_space, 10, 4, 50).digest(),
        Report(draws(), 0).digest(),
        Report(draws(), 1).digest(),
        METHODS["agreement"](2).digest(),
        METHODS["screen"](10).digest(),
        METHODS["verification"](10).digest(),
        METHODS["verification"](11).digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert search(10).digest() == search(99).digest()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_small_however_many_items_it_has(method: str) -> None:
    """Points are never shipped: a method pickles to a few hundred bytes, and comes back equal."""
    one = METHODS[method](10**12)
    assert len(pickle.dumps(one)) < 2_000
    assert pickle.loads(pickle.dumps(one)) == one


def test_the_search_of_a_part_is_as_small_as_its_kept_losses() -> None:
    """Past the border a part holds order statistics, not a number for each candidate."""
    part = search(1_000, keep_all=1).evaluate(Objective(scalar), range(512, 1_000))
    assert sum(column.size for column in part.columns.values()) < 30


class OneSided:
    """A loss whose batches and plain calls fail for different candidates."""

    block = 4

    def __call__(self, x: Any, k: int, c: float) -> float:
        if k > 6:
            raise KeyError("plain")
        return float(k)

    def losses(self, x: Any, k: Any, c: Any) -> Any:
        return np.where(k < 4, np.nan, k.astype(float))


def test_an_agreement_merges_what_fails_one_way_only() -> None:
    """Who fails both ways is the search's to record; the others are told with their exceptions, in any grouping."""
    one = METHODS["agreement"](40)
    context = Objective(OneSided())
    whole = one.evaluate(context, range(40))
    parts = [one.evaluate(context, range(n, n + 1)) for n in range(40)]
    assert bits(merged(parts, one.merge))[:2] == bits(whole)[:2]
    ks = draws().values(range(40))["k"]
    wrong = [n for n in range(40) if ks[n] > 6 or ks[n] < 4]
    assert [part.items.start for part in parts if one.result(part).disagreement] == wrong
    assert one.result(whole).disagreement.startswith(f"candidate {wrong[0]}: losses gives ")
    first = merged(parts[:12], one.merge)
    assert first.failures.to_bytes() == one.evaluate(context, range(12)).failures.to_bytes()
    assert set(whole.failures.records) == {"nan", "raised"}


@given(
    losses=st.lists(
        st.sampled_from([1.0, 2.0, 3.0, float("nan"), float("inf"), float("-inf"), -0.0, 0.0]), max_size=60
    ),
    cut=st.integers(0, 60),
)
def test_the_largest_loss_is_the_smallest_of_its_negative(losses: list[float], cut: int) -> None:
    """Maximising is minimising -f, in everything but the sign: ties, NaN and infinities included."""
    losses = [*losses, 2.0]
    cut = min(cut, len(losses))

    def found(sign: int, maximize: bool) -> Any:
        one = Search(draws(), len(losses), 3, 20, maximize)
        given = iter(sign * loss for loss in losses)
        objective = Objective(lambda x, k, c: next(given))
        parts = [one.evaluate(objective, items) for items in (range(cut), range(cut, len(losses))) if len(items)]
        return one.result(merged(parts, one.merge))

    largest, smallest = found(1, True), found(-1, False)
    assert largest.best_index.tolist() == smallest.best_index.tolist()
    assert largest.incumbent_index.tolist() == smallest.incumbent_index.tolist()
    assert largest.best_loss.tolist() == (-smallest.best_loss).tolist()
    assert largest.failures.runs == smallest.failures.runs


def test_numbers_beside_the_loss_are_kept_with_it() -> None:
    """Kept losses and the best few have theirs; a candidate that gave none has NaN."""

    def loss(x: Any, k: int, c: float) -> Any:
        return {"loss": float(x[0]), "k": k} if k > 3 else float(x[0])

    result = (one := search(90, keep_all=30)).result(one.evaluate(Objective(loss), range(90)))
    values = draws().values(range(90))
    expected = np.where(values["k"] > 3, values["k"], np.nan)
    np.testing.assert_array_equal(result.named["k"], expected[result.index])
    np.testing.assert_array_equal(result.best_named["k"], expected[result.best_index])
    assert result.best_index.tolist() == np.argsort(values["x"][:, 0])[:4].tolist()


WRONG_DICTS: dict[str, Any] = {
    "no loss": ({"accuracy": 1.0}, "must hold 'loss' beside other numbers, held 'accuracy'"),
    "empty": ({}, "held nothing"),
    "text beside": ({"loss": 1.0, "kind": "rbf"}, "'kind' beside a loss must be one real number"),
    "array beside": ({"loss": 1.0, "all": np.ones(3)}, "'all' beside a loss must be one real number"),
    "no name": ({"loss": 1.0, 3: 4.0}, "cannot be called 3"),
    "our name": ({"loss": 1.0, "index": 4.0}, "cannot be called 'index'"),
    "no number": ({"loss": None}, "a loss must be one real number"),
}


@pytest.mark.parametrize("case", WRONG_DICTS)
def test_a_dict_that_is_no_loss_is_invalid(case: str) -> None:
    """Recorded with what was wrong with it, and nothing of it is kept."""
    given, said = WRONG_DICTS[case]
    found = Objective(lambda **_: given).evaluate(draws().values, range(3))
    assert np.isnan(found.losses).all()
    assert found.extras == {}
    assert said in found.failures.records["invalid"][0].message
