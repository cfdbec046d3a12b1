"""The evaluation of a range: full blocks, answers that do not depend on the cut, and failures that hurt no one else."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optitrip.loss.evaluation as evaluation
from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.errors import InputError
from optitrip.loss.objective import Objective, batched
from optitrip.samplers.random import Random
from optitrip.space.variables import Space

ITEMS = 300
SPACE = Space.parse({"x": {"normal": [0, 1]}, "W": {"normal": [0, 1], "shape": [3]}, "kind": {"choice": ["a", "b"]}})
X = SPACE.values(Random().unit(0, SPACE.sizes, range(ITEMS)), ITEMS)["x"]


def draw(items: range) -> dict[str, Array]:
    """Values of the space, and as `n` the item's own index."""
    values = SPACE.values(Random().unit(0, SPACE.sizes, items), len(items))
    n = np.arange(items.start, items.stop)
    n.flags.writeable = False
    return {**values, "n": n}


Outcome = tuple[bytes, bytes]


def outcome(objective: Objective, items: range, plainly: bool = False) -> tuple[Array, Failures]:
    found = (objective.evaluate_plainly if plainly else objective.evaluate)(draw, items)
    return found.losses, found.failures


def joined(objective: Objective, cuts: list[int], plainly: bool = False) -> Outcome:
    """Losses and failures of the ranges between the cuts, one after the other, as bytes."""
    losses, failures = [np.empty(0)], Failures()
    bounds = sorted(cuts)
    for lo, hi in pairwise(bounds):
        some, failed = outcome(objective, range(lo, hi), plainly)
        losses.append(some)
        failures = failures.then(failed)
    return np.concatenate(losses).tobytes(), failures.to_bytes()


def failed(failures: Failures) -> set[int]:
    return {n for runs in failures.runs.values() for lo, hi in runs for n in range(lo, hi)}


cuts = st.lists(st.integers(0, ITEMS), max_size=6).map(lambda some: [0, *some, ITEMS])
ranges = st.tuples(st.integers(0, ITEMS), st.integers(0, ITEMS)).map(lambda ends: range(min(ends), max(ends)))
blocks = st.sampled_from([1, 2, 7, 16, 64, 256])


class Batched:
    """Losses by a formula, and a record of what was called."""

    def __init__(self, formula: Callable[..., Any], block: int = 8) -> None:
        self.formula = formula
        self.block = block
        self.calls: list[dict[str, Array]] = []

    def losses(self, **given: Array) -> Any:
        self.calls.append(given)
        return self.formula(**given)


class Both(Batched):
    """A batched loss with a plain call."""

    def __call__(self, **point: Any) -> Any:
        return self.formula(**{name: np.asarray(value)[np.newaxis] for name, value in point.items()})[0]


def by_place(x: Array, W: Array, **_: Array) -> Array:
    """A loss that depends on the place in the block, as BLAS's rounding does, only more so."""
    return x + W.sum(axis=1) + np.arange(len(x)) / 1000


class Poisonous:
    """Raises when a poisonous item is in the batch, naming the first of them."""

    def __init__(self, poison: set[int], block: int, error: type[BaseException] = ValueError) -> None:
        self.poison, self.block, self.error = poison, block, error

    def losses(self, n: Array, **given: Any) -> Array:
        for item in n.tolist():
            if item in self.poison:
                raise self.error(f"item {item} is poisonous")
        return by_place(**given)


class Plain:
    """A poisonous loss without batches."""

    def __init__(self, poison: set[int]) -> None:
        self.poison = poison

    def __call__(self, n: int, x: float, W: Array, kind: str) -> float:
        if n in self.poison:
            raise ValueError(f"item {n} is poisonous")
        return x + float(W.sum()) + len(kind)


# Blocks


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
    monkeypatch.setattr(evaluation, "NUMBERS_AT_ONCE", at_once)
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
        assert first[1].startswith(f'  File "{__file__}", line ')
        assert first[1].endswith(", in losses")
        assert first[-1] == f"ValueError: {record.message}"


def test_no_frame_of_ours_is_in_a_traceback() -> None:
    """Not by the plain call, nor by batches, nor by batches of one."""
    for objective in (Objective(Plain({3})), Objective(Poisonous({3}, 8))):
        for plainly in (False, True):
            first = outcome(objective, range(10), plainly)[1].first()
            assert first is not None
            assert first[1].index == 3
            assert "objective.py" not in first[1].traceback.replace(__file__, "")


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
    assert "objective.py" not in record.traceback


# What a loss may return


class Floats:
    def __float__(self) -> float:
        return 0.25


class Indexes:
    def __index__(self) -> int:
        return 3


NUMBERS: list[tuple[Any, float]] = [
    (1.5, 1.5), (2, 2.0), (-0.0, -0.0), (0, 0.0), (2**60 + 1, 2.0**60), (5e-324, 5e-324),
    (np.float64(0.1), 0.1), (np.float32(0.1), 0.10000000149011612), (np.float16(0.5), 0.5), (np.longdouble(0.5), 0.5),
    (np.int64(-3), -3.0), (np.uint8(3), 3.0), (np.array(1.5), 1.5), (np.array(3), 3.0),
    (np.array(0.5, np.float32), 0.5), (Fraction(1, 4), 0.25), (Decimal("0.1"), 0.1), (Floats(), 0.25), (Indexes(), 3.0),
]  # fmt: skip


def named(value: Any) -> str:
    """Return a name that is equal in every process: without an address."""
    return f"{type(value).__name__} {value}".partition(" at 0x")[0][:30]


@pytest.mark.parametrize(("given_back", "wanted"), NUMBERS, ids=named)
def test_any_real_number_is_a_loss(given_back: Any, wanted: float) -> None:
    """Python's, NumPy's, and whatever turns to a float."""
    losses, failures = outcome(Objective(lambda **_: given_back), range(2))
    assert losses.tobytes() == np.array([wanted, wanted]).tobytes()
    assert failures == Failures()


NO_NUMBERS: list[Any] = [
    None, "1.5", b"1.5", bytearray(b"1"), True, False, np.True_, 1 + 0j, np.complex128(1), np.complex64(1), [1.5],
    (1.5,), {1.5}, object(), math.sqrt, np.array([1.5]), np.array([[1.5]]), np.array([]), np.array([1.0, 2.0]),
    np.str_("1.5"), np.array(True), np.array(1 + 2j), np.array("1.5"), np.array(b"1.5"),
]  # fmt: skip


@pytest.mark.parametrize("given_back", NO_NUMBERS, ids=named)
def test_anything_else_is_invalid(given_back: Any) -> None:
    """A value that is not a real number, as a scalar or a 0-d array, is an invalid loss, named by its type."""
    losses, failures = outcome(Objective(lambda **_: given_back), range(4, 6))
    assert np.isnan(losses).all()
    assert failures.runs == {"invalid": ((4, 6),)}
    assert [record.index for record in failures.records["invalid"]] == [4, 5]
    assert type(given_back).__name__ in failures.records["invalid"][0].message


class Unsayable:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


UNTURNABLE: dict[str, Any] = {
    "huge": 10**400,
    "signalling": Decimal("sNaN"),
    "array of None": np.array(None, dtype=object),
    "date": np.datetime64("2020-01-01"),
    "unsayable": Unsayable(),
}


@pytest.mark.parametrize("given_back", UNTURNABLE.values(), ids=list(UNTURNABLE))
def test_what_does_not_turn_to_a_float_fails_alone(given_back: Any) -> None:
    """The item fails, the others stand, and no frame of ours is shown."""
    losses, failures = outcome(Objective(lambda n, **_: given_back if n == 1 else 0.5), range(3))
    assert failed(failures) == {1}
    assert losses[[0, 2]].tolist() == [0.5, 0.5]
    first = failures.first()
    assert first is not None
    assert "objective.py" not in first[1].traceback.replace(__file__, "")


@pytest.mark.parametrize(
    ("given_back", "kind"),
    [
        (math.nan, "nan"), (-math.nan, "nan"), (np.float32("nan"), "nan"), (Decimal("NaN"), "nan"),
        (math.inf, "infinite"), (-math.inf, "infinite"), (np.float32("inf"), "infinite"), (Decimal("Inf"), "infinite"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("batched", [False, True])
def test_a_loss_that_is_not_finite_is_a_failure(given_back: Any, kind: str, batched: bool) -> None:
    """Recorded by kind, with its index and value; never an answer."""
    if batched:
        objective = Objective(Batched(lambda n, **_: np.where(n == 5, float(given_back), 1.0)))
    else:
        objective = Objective(lambda n, **_: given_back if n == 5 else 1.0)
    losses, failures = outcome(objective, range(2, 9))
    assert failures.runs == {kind: ((5, 6),)}
    assert str(float(given_back)) in failures.records[kind][0].message
    assert not math.isfinite(losses[3])
    assert np.delete(losses, 3).tolist() == [1.0] * 6


BATCHES: list[tuple[str, Callable[[Array], Any]]] = [
    ("float64", lambda n: n * 1.0), ("float32", lambda n: n.astype(np.float32)), ("int64", lambda n: n),
    ("uint8", lambda n: n.astype(np.uint8)), ("list", lambda n: [float(k) for k in n]),
    ("list of int", lambda n: n.tolist()), ("tuple", lambda n: tuple(n.tolist())),
    ("view", lambda n: np.c_[n, n][:, 0]), ("read-only", lambda n: np.broadcast_to(n, (3, 8))[0]),
]  # fmt: skip


@pytest.mark.parametrize("formula", [formula for _, formula in BATCHES], ids=[name for name, _ in BATCHES])
def test_a_batch_may_be_anything_of_its_shape(formula: Callable[[Array], Any]) -> None:
    """Arrays of any real type, lists and tuples."""
    losses, failures = outcome(Objective(Batched(lambda n, **_: formula(n))), range(3, 29))
    assert losses.dtype == np.float64
    assert losses.tolist() == [float(n) for n in range(3, 29)]
    assert failures == Failures()


NO_BATCHES: list[tuple[str, Callable[[Array], Any]]] = [
    ("none", lambda _: None), ("number", lambda _: 1.0), ("array of no axes", lambda _: np.array(1.0)),
    ("column", lambda n: n[:, None] * 1.0), ("row", lambda n: n[None] * 1.0), ("short", lambda n: n[1:] * 1.0),
    ("long", lambda n: np.r_[n, 1] * 1.0), ("empty", lambda _: []), ("text", lambda _: "12345678"),
    ("texts", lambda n: ["1"] * len(n)), ("bools", lambda n: n > 0), ("complex", lambda n: n * 1j),
    ("objects", lambda _: [1, None] * 4), ("dict", lambda n: {"loss": n[1:]}), ("set", lambda _: {1.0, 2.0}),
]  # fmt: skip


@pytest.mark.parametrize("formula", [formula for _, formula in NO_BATCHES], ids=[name for name, _ in NO_BATCHES])
def test_a_batch_of_another_shape_or_type_is_invalid(formula: Callable[[Array], Any]) -> None:
    """Every item of the range is recorded, with the shape that was wanted, for whatever cut."""
    objective = Objective(Batched(lambda n, **_: formula(n)))
    losses, failures = outcome(objective, range(3, 29))
    assert np.isnan(losses).all()
    assert failures.runs == {"invalid": ((3, 29),)}
    assert "(8,)" in failures.records["invalid"][0].message
    apart = outcome(objective, range(3, 10))[1].then(outcome(objective, range(10, 29))[1])
    assert apart == failures


class NoArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise OSError("the device is gone")


@pytest.mark.parametrize(
    "formula", [lambda _: [[1.0], [1.0, 2.0]] * 4, lambda _: NoArray()], ids=["ragged", "no array"]
)
@pytest.mark.parametrize("plainly", [False, True])
def test_a_batch_that_cannot_be_an_array_is_a_failure(formula: Callable[[Array], Any], plainly: bool) -> None:
    """A batch that NumPy refuses is recorded for every item, and does not end the sweep."""
    losses, failures = outcome(Objective(Batched(lambda n, **_: formula(n))), range(3, 29), plainly)
    assert np.isnan(losses).all()
    assert failures.cover(range(3, 29))
    first = failures.first()
    assert first is not None
    assert "optitrip/objective.py" not in first[1].traceback


# Exceptions of every sort


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Wordy(Exception):
    def __str__(self) -> str:
        return "a" * 50_000 + "z"


def raising(error: Callable[[], BaseException], batched: bool) -> Objective:
    """Raises at item 5 only."""

    def plain(n: int, **_: Any) -> float:
        if n == 5:
            raise error()
        return 1.0

    def batch(n: Array, **_: Any) -> Array:
        if 5 in n:
            raise error()
        return np.ones(len(n))

    return Objective(Batched(batch) if batched else plain)


EXCEPTIONS: list[tuple[Callable[[], BaseException], str, str]] = [
    (lambda: ValueError("bad"), "ValueError", "bad"),
    (lambda: KeyError("k"), "KeyError", "'k'"),
    (lambda: OSError(2, "gone", "a\udc80b"), "FileNotFoundError", "[Errno 2] gone"),
    (lambda: StopIteration(3), "StopIteration", "3"),
    (lambda: SystemExit(3), "SystemExit", "3"),
    (lambda: MemoryError(), "MemoryError", ""),
    (lambda: RecursionError("deep"), "RecursionError", "deep"),
    (lambda: ExceptionGroup("two", [ValueError("one"), OSError("other")]), "ExceptionGroup", "two (2 sub-exceptions)"),
    (lambda: Speechless(), "Speechless", "RuntimeError"),
    (lambda: Wordy(), "Wordy", "aaa"),
]


@pytest.mark.parametrize(("error", "kind", "words"), EXCEPTIONS, ids=[kind for _, kind, _ in EXCEPTIONS])
@pytest.mark.parametrize("batched", [False, True])
def test_every_exception_is_recorded(error: Callable[[], BaseException], kind: str, words: str, batched: bool) -> None:
    """SystemExit and exceptions whose own __str__ raises included: by index, type and words, of bounded length."""
    losses, failures = outcome(raising(error, batched), range(9))
    assert failures.runs == {"raised": ((5, 6),)}
    (record,) = failures.records["raised"]
    assert (record.index, record.type) == (5, kind)
    assert words in record.message
    assert len(record.message) <= 2_000
    assert 0 < len(record.traceback) <= 8_000
    assert Failures.from_bytes(failures.to_bytes()) == failures
    assert np.delete(losses, 5).tolist() == [1.0] * 8


@pytest.mark.parametrize("batched", [False, True])
def test_a_keyboard_interrupt_passes(batched: bool) -> None:
    """Ctrl-C is no failure of an item."""
    with pytest.raises(KeyboardInterrupt):
        outcome(raising(KeyboardInterrupt, batched), range(9))


# Parameters are untouched


def add(W: Array) -> None:
    W.__iadd__(1)


def assign(W: Array) -> None:
    W[...] = 0


def sort(W: Array) -> None:
    W.sort()


def out(W: Array) -> None:
    np.exp(W, out=W)


@pytest.mark.parametrize("write", [add, assign, sort, out])
@pytest.mark.parametrize("batched", [False, True])
def test_an_objective_that_writes_to_its_parameters_fails(write: Callable[[Array], None], batched: bool) -> None:
    """The write raises inside the objective, at its own line, and no parameter of any item is changed."""
    values = draw(range(ITEMS))
    before = {name: column.tobytes() for name, column in values.items()}

    def writing(n: Any, W: Array, **_: Any) -> Any:
        if np.any(np.equal(n, 5)):
            write(W)
        return W.sum(axis=-1)

    objective = Objective(Batched(writing) if batched else writing)
    found = objective.evaluate(
        lambda items: {name: column[items.start : items.stop] for name, column in values.items()}, range(ITEMS)
    )
    losses, failures = found.losses, found.failures
    assert failures.runs == {"raised": ((5, 6),)}
    assert "read-only" in failures.records["raised"][0].message
    assert f"in {write.__name__}" in failures.records["raised"][0].traceback
    assert {name: column.tobytes() for name, column in values.items()} == before
    others = np.arange(ITEMS) != 5
    assert losses[others].tolist() == pytest.approx(values["W"].sum(axis=1)[others], abs=1e-12)


# Capabilities and the ways to evaluate


def test_what_is_offered_is_found_by_presence() -> None:
    """Methods that can be called are offers; attributes of that name that cannot are none."""

    class Everything(Batched):
        def gradient(self) -> None: ...

        def report(self) -> None: ...

    capabilities = Objective(Everything(by_place, 4)).capabilities
    assert (capabilities.losses, capabilities.gradient, capabilities.report, capabilities.block) == (
        True,
        True,
        True,
        4,
    )

    class Nothing:
        losses = gradient = report = 3

        def __call__(self) -> float:
            return 0.0

    capabilities = Objective(Nothing()).capabilities
    assert (capabilities.losses, capabilities.gradient, capabilities.report) == (False, False, False)


class WithoutBlock:
    def losses(self, x: Array) -> Array:
        return x


@pytest.mark.parametrize(
    ("loss", "block", "wanted"),
    [
        (abs, None, 1), (abs, 5, 5), (WithoutBlock(), None, 256), (WithoutBlock(), 5, 5),
        (Batched(by_place, 4), None, 4), (Batched(by_place, 4), 5, 5),
    ],
)  # fmt: skip
def test_block_is_the_files_else_the_objectives_else_the_steps(loss: Any, block: int | None, wanted: int) -> None:
    """1 for a plain call and 256 for batches, unless stated otherwise."""
    assert Objective(loss, block=block).capabilities.block == wanted


@given(ranges)
def test_batches_and_plain_calls_agree(items: range) -> None:
    """With both steps, the plain call of each item gives the loss of its batch."""
    both = Both(lambda x, W, **_: x * W[:, 0] - W[:, 1])
    batched, _ = outcome(Objective(both), items)
    calls = len(both.calls)
    plain, _ = outcome(Objective(both), items, plainly=True)
    assert len(both.calls) == calls
    assert plain.tobytes() == batched.tobytes()


def test_a_batched_only_objective_is_called_plainly_by_batches_of_one() -> None:
    """Each item alone, with a leading axis of one."""
    batched = Batched(by_place)
    plain, failures = outcome(Objective(batched), range(3, 12), plainly=True)
    assert [call["n"].tolist() for call in batched.calls] == [[n] for n in range(3, 12)]
    assert all(call["W"].shape == (1, 3) for call in batched.calls)
    assert plain == pytest.approx(X[3:12] + draw(range(3, 12))["W"].sum(axis=1), rel=1e-15)
    assert failures == Failures()


def test_plain_calls_get_python_scalars() -> None:
    """Scalars arrive as Python's float, int and str, arrays read-only and in their shape."""
    seen: list[dict[str, Any]] = []

    def loss(**point: Any) -> float:
        seen.append(point)
        return 0.0

    outcome(Objective(loss), range(2))
    assert [{name: type(value) for name, value in point.items()} for point in seen] == [
        {"x": float, "W": np.ndarray, "kind": str, "n": int}
    ] * 2
    assert all(point["W"].shape == (3,) and not point["W"].flags.writeable for point in seen)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "loss", "wanted"),
    [
        (np.float64, None, 0.25, 64 * 2.0**-52), (np.float64, None, -8.0, 64 * 2.0**-49),
        (np.float32, None, 2.0, 2e-5), (np.float32, None, -2.0, 2e-5),
        (np.float64, 1e-3, 2.0, 2e-3), (np.float32, 1e-3, -2.0, 2e-3), (np.float64, 0, 2.0, 0.0),
    ],
)  # fmt: skip
def test_how_far_the_steps_may_differ(dtype: Any, tolerance: float | None, loss: float, wanted: float) -> None:
    """64 eps max(|f|, 1) in float64, 1e-5 relative in float32, and the objective's own relative tolerance before."""
    batched = Batched(lambda x, **_: x.astype(dtype))
    if tolerance is not None:
        batched.tolerance = tolerance  # pyright: ignore[reportAttributeAccessIssue]
    objective = Objective(batched)
    double = objective.evaluate(draw, range(9, 10)).double
    assert objective.allowed_difference(loss, double=double) == pytest.approx(wanted, rel=1e-12)


class Extras:
    """A report and a gradient that return a given value."""

    def __init__(self, given_back: Any) -> None:
        self.given_back = given_back

    def __call__(self, W: Array) -> float:
        return float(W.sum())

    def report(self, W: Array) -> Any:
        assert W.shape == (3,)
        return self.given_back

    gradient = report


POINT = {"W": draw(range(1))["W"]}


def test_a_report_is_named_numbers() -> None:
    """Figures arrive as floats, by name."""
    figures = Objective(Extras({"accuracy": np.float32(0.5), "n": 3})).report(POINT)
    assert figures == {"accuracy": 0.5, "n": 3.0}
    assert {type(value) for value in figures.values()} == {float}


@pytest.mark.parametrize("given_back", [None, 0.5, [0.5], {"a": None}, {"a": "b"}, {"a": np.zeros(2)}], ids=str)
def test_a_report_of_anything_else_is_refused(given_back: Any) -> None:
    """It says what was returned."""
    with pytest.raises(TypeError, match=r"report must return|must be one real number"):
        Objective(Extras(given_back)).report(POINT)


@pytest.mark.parametrize("given_back", [np.arange(3), {"W": np.arange(3.0)}, {"W": [0, 1, 2]}, [0, 1, 2]], ids=str)
def test_a_gradient_has_the_names_and_shapes_of_the_point(given_back: Any) -> None:
    """A bare array will do for one variable."""
    found = Objective(Extras(given_back)).gradient(POINT, ["W"])
    assert list(found) == ["W"]
    assert found["W"].dtype == np.float64
    assert found["W"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("given_back", [None, 1.0, np.zeros(4), np.zeros((1, 3)), {"w": np.zeros(3)}, {}], ids=str)
def test_a_gradient_of_another_shape_is_refused(given_back: Any) -> None:
    """It says which shapes were wanted."""
    with pytest.raises(TypeError, match=r"\(3,\)"):
        Objective(Extras(given_back)).gradient(POINT, ["W"])


@batched
def in_float32(x: Array) -> Array:
    assert x.dtype == np.float32
    return np.sin(x).astype(np.float64)


def test_a_batch_of_one_has_the_dtypes_of_the_batch() -> None:
    """A batched loss of float32 scalars agrees with itself, whatever its variables are called."""
    space = Space.parse({"x": {"normal": [0, 1], "dtype": "float32"}})

    def values(items: range) -> dict[str, Array]:
        return space.values(Random().unit(0, space.sizes, items), len(items))

    one = Objective(in_float32)
    assert one.evaluate(values, range(9)).losses.tobytes() == one.evaluate_plainly(values, range(9)).losses.tobytes()


def test_a_partial_of_a_batched_function_takes_batches() -> None:
    """Binding an argument hides no mark."""

    @batched(block=16)
    def scaled(x: Array, by: float) -> Array:
        return x * by

    one = Objective(partial(partial(scaled, by=3.0)))
    assert (one.capabilities.losses, one.capabilities.block) == (True, 16)
    assert one.plain_call is None


def test_only_functions_are_marked() -> None:
    """A bound method, or a function of NumPy's, is not changed for everybody."""
    with pytest.raises(InputError, match="wanted a function"):
        batched([].append)
