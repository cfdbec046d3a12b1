"""Return values and exceptions of a loss become numbers or failures of their items."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import optitrip
from batched_losses import (
    Batched,
    failed,
    outcome,
    shows_optitrip,
)
from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.loss.objective import Objective


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
    """Name a value alike in every process: without an address."""
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
    np.timedelta64(1, "s"),
]  # fmt: skip


@pytest.mark.parametrize("given_back", NO_NUMBERS, ids=named)
def test_anything_else_is_told_as_invalid(given_back: Any) -> None:
    """A value that is no real number, as a scalar or as an array without axes, is an invalid loss, and told what."""
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
    assert not shows_optitrip(first[1].traceback)


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


def test_masked_entries_are_no_losses() -> None:
    """What lies under a mask never wins, in a batch or alone."""
    masked = Objective(Batched(lambda n, **_: np.ma.masked_less(n, 5)), names=("n",))
    losses, failures = outcome(masked, range(3, 9))
    assert (failures.runs, losses[2:].tolist()) == ({"nan": ((3, 5),)}, [5.0, 6.0, 7.0, 8.0])
    assert outcome(Objective(lambda **_: np.ma.masked), range(2))[1].runs == {"nan": ((0, 2),)}
    with pytest.raises(optitrip.InputError, match=r"w\[1\] is nan, wanted finite"):
        optitrip.gradient(lambda w: 0.0, np.ma.array([1.0, 2.0], mask=[False, True]), executor="serial")


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
    """A batch that NumPy refuses to read is a failure of every item, and does not end the sweep."""
    losses, failures = outcome(Objective(Batched(lambda n, **_: formula(n))), range(3, 29), plainly)
    assert np.isnan(losses).all()
    assert failures.cover(range(3, 29))
    first = failures.first()
    assert first is not None
    assert not shows_optitrip(first[1].traceback)


# Exceptions of every sort


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Wordy(Exception):
    def __str__(self) -> str:
        return "a" * 50_000 + "z"


class Unreadable(Exception):
    """Its attributes raise, so that not even Python can show it."""

    @property
    def __cause__(self) -> BaseException | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise KeyboardInterrupt

    __traceback__ = __cause__  # pyright: ignore[reportAssignmentType]


class Unsendable(Exception):
    def __init__(self) -> None:
        super().__init__("not to be pickled")
        self.lock = threading.Lock()


class Mute(BaseException):
    """Its text cannot be had, and asking for it is no ordinary error either."""

    def __str__(self) -> str:
        raise GeneratorExit


class Panic(BaseException):
    """An exception such as pyo3 raises for a panic in Rust."""


def chained(length: int) -> BaseException:
    error = ValueError("the last")
    end: BaseException = error
    for number in range(length):
        end.__context__ = OSError(f"number {number}")
        end = end.__context__
    end.__context__ = error
    return error


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
    (lambda: Panic("unwrap()"), "Panic", "unwrap()"),
    (lambda: KeyboardInterrupt("by the loss"), "KeyboardInterrupt", "by the loss"),
    (lambda: GeneratorExit(), "GeneratorExit", ""),
    (lambda: asyncio.CancelledError("too late"), "CancelledError", "too late"),
    (lambda: pytest.fail.Exception("not so"), "Failed", "not so"),
    (
        lambda: BaseExceptionGroup("both", [Panic("p"), ValueError("v")]),
        "BaseExceptionGroup",
        "both (2 sub-exceptions)",
    ),
    (lambda: Mute(), "Mute", "GeneratorExit"),
    (lambda: Unreadable("torn"), "Unreadable", "torn"),
    (lambda: Unsendable(), "Unsendable", "not to be pickled"),
    (lambda: chained(300), "ValueError", "the last"),
    (lambda: ValueError("\x1b[31m\n\udc80\0" * 9_000), "ValueError", "\x1b[31m"),
]


@pytest.mark.parametrize(("error", "kind", "words"), EXCEPTIONS, ids=[kind for _, kind, _ in EXCEPTIONS])
@pytest.mark.parametrize("batched", [False, True])
def test_every_exception_is_recorded(error: Callable[[], BaseException], kind: str, words: str, batched: bool) -> None:
    """Also what is no `Exception`, and what cannot be shown or sent: by index, type and words, of bounded length."""
    losses, failures = outcome(raising(error, batched), range(9))
    assert failures.runs == {"raised": ((5, 6),)}
    (record,) = failures.records["raised"]
    assert (record.index, record.type) == (5, kind)
    assert words in record.message
    assert len(record.message) <= 2_000
    assert 0 < len(record.traceback) <= 8_000
    assert kind == "Unreadable" or f"in {'batch' if batched else 'plain'}\n" in record.traceback
    assert Failures.from_bytes(failures.to_bytes()) == failures
    assert np.delete(losses, 5).tolist() == [1.0] * 8
