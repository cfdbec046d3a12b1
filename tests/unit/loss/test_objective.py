"""Capabilities of a loss are found by presence, and its parameters cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from batched_losses import (
    ITEMS,
    Batched,
    Both,
    X,
    by_place,
    draw,
    outcome,
    ranges,
)
from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.errors import InputError
from optitrip.loss.objective import Objective, batched
from optitrip.samplers.random import Random
from optitrip.space.variables import Space

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
    (eps,) = objective.evaluate(draw, range(9, 10)).eps
    assert objective.allowed_difference(loss, double=eps == 2.0**-52) == pytest.approx(wanted, rel=1e-12)


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
