"""Attributes that only happen to have the names of offers are left alone, and a line says so."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import MagicMock, Mock, NonCallableMock

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.loss.objective import Objective
from optitrip.loss.offers import Offers


def offers(loss: Any, *names: str, as_dict: bool = False) -> Offers:
    return Objective(loss, names=names or ("x",), as_dict=as_dict).offers


class Loss:
    def __call__(self, x: float) -> float:
        return x * x


def with_attribute(name: str, value: Any) -> Any:
    return type("Other", (Loss,), {name: value})()


class Module:
    """Passes everything on to `forward`, as a module of PyTorch does."""

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self.forward(*values, **named)

    def forward(self, image: Array) -> Any:
        return image


UNRELATED: dict[str, tuple[str, Any]] = {
    "a list of losses": ("losses", [0.5, 0.25]),
    "a getter of losses": ("losses", lambda self: [0.5]),
    "a report to a file": ("report", lambda self, path: None),
    "a report of another": ("report", lambda self, x, epoch: None),
    "an array": ("gradient", np.zeros(3)),
    "a method without parameters": ("around", lambda self: None),
    "a folder": ("images", "pictures/"),
    "an order of three": ("order", 3),
    "an order with a customer": ("order", lambda self, customer: None),
    "a digest that is text": ("digest", property(lambda self: "sha")),
    "a digest with a length": ("digest", lambda self, length: b""),
    "a text on how to read": ("how_to_read", "from left to right"),
    "a page to read": ("how_to_read", lambda self, page: ""),
    "a block of text": ("block", "a street"),
    "a block that is a method": ("block", lambda self: 4),
    "a block that is an array": ("block", np.arange(3)),
    "a block of deltas": ("deltas_block", ["a"]),
    "a tolerance in words": ("tolerance", "tight"),
    "a digest that is a module of another kind": ("digest", Module()),
    "a report that is a module of another kind": ("report", Module()),
    "a property that raises": ("report", property(lambda self: 1 / 0)),
}


@pytest.mark.parametrize(("name", "value"), UNRELATED.values(), ids=UNRELATED)
def test_an_unrelated_attribute_is_left_alone(name: str, value: Any) -> None:
    """The loss is used as if it had none, and the line names the attribute."""
    found = offers(with_attribute(name, value))
    assert [line.partition("(")[0].partition(":")[0] for line in found.ignored] == [name]
    assert (found.methods, found.block, found.deltas_block, found.tolerance) == (set(), None, None, None)


def test_screens_without_words_are_left_alone() -> None:
    """A `screen` of a program of windows, and its number of them."""
    found = offers(type("Window", (Loss,), {"screen": lambda self: None, "screens": 3})())
    assert found.screens == ()
    assert "screens" in found.ignored[0]


RANGE = {"block": [0, -3, 2**20 + 1, 2.5, True], "deltas_block": [0], "tolerance": [-1e-9, math.nan, math.inf, True]}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in RANGE for value in RANGE[name]])
def test_a_number_out_of_range_is_a_mistake(name: str, value: Any) -> None:
    """It was meant for optitrip."""
    with pytest.raises(InputError, match=f"its {name} was"):
        offers(with_attribute(name, value))


@pytest.mark.parametrize("words", [lambda self: 1 / 0, lambda self: b"bytes"])
def test_words_that_cannot_be_had_are_a_mistake(words: Any) -> None:
    """Nothing but optitrip asks for them by that name."""
    with pytest.raises(InputError, match="its how_to_read r"):
        Objective(with_attribute("how_to_read", words))


def test_what_is_right_is_used() -> None:
    """Methods of the variables, by name, by position, or of any; numbers of NumPy."""

    class Right(Loss):
        block, deltas_block, tolerance = np.int64(4), 8, np.float32(0.5)

        def losses(self, **xs: Array) -> Array:
            return xs["x"]

        def report(self, q: float, /) -> dict[str, float]:
            return {"q": q}

        def gradient(self, x: float, scale: float = 1.0) -> float:
            return 2 * x

        def digest(self, short: bool = True) -> str:
            return "d"

    found = offers(Right())
    assert found == Offers(frozenset({"losses", "report", "gradient", "digest"}), False, 4, 8, 0.5)
    assert Objective(Right(), names=("x",)).report({"x": np.array([3.0])}) == {"q": 3.0}


class Forwarding:
    """A proxy, such as a logger around a loss."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_proxy_offers_what_it_forwards() -> None:
    """It answers only to the names that the loss inside has."""

    class Inner:
        block = 3

        def losses(self, x: Array) -> Array:
            return x

        def report(self, path: str) -> None: ...

    found = offers(Forwarding(Forwarding(Inner())))
    assert (found.methods, found.block) == ({"losses"}, 3)
    assert [line.partition("(")[0] for line in found.ignored] == ["report"]


@pytest.mark.parametrize("mock", [Mock, MagicMock])
def test_a_mock_is_only_called(mock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It answers to every name; none of the answers means anything."""
    loss = mock(side_effect=lambda x: x * x)
    assert offers(loss).ignored == ("it answers to every name, as a mock does",)
    found = optitrip.search(loss, {"x": {"uniform": [-1, 1]}}, candidates=5, executor="serial")
    assert found.loss == found.x["x"] ** 2
    assert [record.__dict__["code"] for record in caplog.records] == ["attribute-ignored"]
    with pytest.raises(InputError, match="wanted a function"):
        Objective(NonCallableMock())


class Hostile(Loss):
    """A loss that can be called, and nothing else."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not compared")

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")

    def __len__(self) -> int:
        raise RuntimeError("without length")


class LikeAnArray(Hostile):
    def __eq__(self, other: object) -> Any:
        return np.array([True, False])


class Strict(Loss):
    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


@pytest.mark.parametrize("kind", [Hostile, LikeAnArray, Strict])
def test_a_loss_that_can_only_be_called_is_enough(kind: Any) -> None:
    """It is never compared, hashed, measured or taken for true."""
    with optitrip.Session(executor="serial") as trip:
        loss = kind()
        values = [trip.search(loss, {"x": {"uniform": [1, 2]}}, candidates=9).loss for _ in range(2)]
        assert values[0] == values[1]
        assert trip.gradient(loss, 3.0).gradient["x"] == pytest.approx(6.0)


def test_an_estimator_without_a_call_is_refused_in_words() -> None:
    """As of scikit-learn: many attributes, no loss."""

    class Estimator:
        loss, tol, order = "hinge", 1e-3, "C"

        def fit(self, x: Any, y: Any) -> None: ...

    with pytest.raises(InputError, match="Estimator; wanted a function, or an object with __call__ or losses"):
        Objective(Estimator(), names=("x",))


@pytest.mark.parametrize("order", [3, None, [[1.5]], [[0, 0]]], ids=str)
def test_an_order_of_another_kind_is_refused_in_words(order: Any) -> None:
    """For example that of a polynomial."""
    with pytest.raises(InputError, match=r"its order was ndarray .*, wanted every flat coordinate"):
        Objective(with_attribute("order", lambda self: order))


def test_batches_of_other_parameters_are_named() -> None:
    """The message says that `losses` is meant, not the call."""

    class Renamed(Loss):
        def losses(self, w: Array) -> Array:
            return w

    with pytest.raises(InputError, match=r"Renamed\.losses: its parameters do not match .*'w'"):
        optitrip.search(Renamed(), {"x": {"uniform": [0, 1]}}, candidates=2, executor="serial")
