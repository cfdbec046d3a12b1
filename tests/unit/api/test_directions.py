"""Estimates and directional derivatives from Python."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array


def square(x: Array) -> float:
    return float(x @ x)


def two(W: Array, b: float) -> float:
    return float(np.sum(np.sin(W))) + b**2


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_estimate_is_as_a_gradient(dtype: type) -> None:
    """By variable, in its shape and dtype; exact with as many orthogonal directions as entries."""
    x = np.linspace(1, 2, 6).astype(dtype)
    found = optitrip.estimate(square, x, directions=6, executor="serial")
    exact = optitrip.gradient(square, x, executor="serial")
    assert found.gradient.keys() == exact.gradient.keys() == {"x"}
    assert found.gradient["x"].dtype == dtype
    assert found.gradient["x"].shape == x.shape
    np.testing.assert_allclose(found.gradient["x"], exact.gradient["x"], rtol=1e-8 if dtype is np.float64 else 1e-3)
    assert found.slopes.shape == (6,)
    assert found.evaluations == 14 + 13 + 9 + 5
    assert found.flags["x"].tolist() == [0] * 6
    assert repr(found).startswith("EstimateAnswer(loss=")
    assert "6 orthogonal directions" in " ".join(repr(found).split())


def test_both_take_what_a_gradient_takes() -> None:
    """Variables by name, constants, arguments, bounds with None, and losses that want a dict."""
    with optitrip.Session(executor="serial") as session:
        x = {"W": np.zeros((2, 3)), "b": 3.0}
        found = session.estimate(two, x, directions=7)
        np.testing.assert_allclose(found.gradient["W"], np.ones((2, 3)), atol=1e-8)
        assert float(found.gradient["b"]) == pytest.approx(6)
        held: Any = session.estimate(two, {"W": x["W"]}, constants={"b": 3.0}, directions=6)
        np.testing.assert_allclose(held.gradient["W"], np.ones((2, 3)), atol=1e-8)
        packed = session.directional(lambda p: two(**p), x, along={"b": 1}, as_dict=True)
        assert packed.slopes == pytest.approx([6])
        bound = session.directional(lambda x, k: k * x**2, 1.0, along=1, arguments={"k": 3})
        assert np.abs(bound.slopes) == pytest.approx([6])
        limits = session.estimate(
            lambda x: float(np.sum(x**1.5 + 0.0 * np.sqrt(x))), np.array([0.0, 1.0]), directions=2, bounds=(0, None)
        )
        assert np.isfinite(limits.slopes).all()
        assert float(limits.gradient["x"][1]) == pytest.approx(1.5, abs=0.02)


X = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("along", "slopes"),
    [
        ([1, 0, 0], [2]),
        (np.array([0, 0, -2.0]), [-6]),
        ([[1, 0, 0], [0, 1, 0]], [2, 4]),
        ((np.ones(3), np.eye(3)[2]), [12 / 3**0.5, 6]),
        ({"x": [0, 1, 0]}, [4]),
        ([{"x": 1}, {"x": [0, 3, 0]}], [12 / 3**0.5, 4]),
    ],
)
def test_directions_may_be_given_in_any_form(along: Any, slopes: list[float]) -> None:
    """One array of the shape of x, several, or dicts by variable; each is scaled to length 1."""
    found = optitrip.directional(square, X, along=along, executor="serial")
    np.testing.assert_allclose(found.slopes, slopes, rtol=1e-10)
    assert (np.abs(found.slopes - slopes) <= found.error).all()
    assert not found.flags.any()


def test_a_number_of_directions_is_drawn() -> None:
    """NumPy's integers count, too; the directions and slopes make the gradient."""
    found = optitrip.directional(square, X, along=np.int64(3), seed=4, executor="serial")
    units = np.array([found.direction(line)["x"] for line in range(3)])
    np.testing.assert_allclose(units.T @ found.slopes, 2 * X, rtol=1e-10)
    scalar = optitrip.directional(lambda t: t**3, 2.0, along=-5.0, executor="serial")
    assert scalar.slopes == pytest.approx([-12])


@pytest.mark.parametrize("along", [[], [1, 2], "x", True, 0, None, [[1, 2]], {"y": 1}, np.zeros(3), [np.nan, 1, 1]])
def test_what_is_no_direction_is_refused(along: Any) -> None:
    """Before anything is evaluated."""
    with pytest.raises(optitrip.InputError, match="along"):
        optitrip.directional(lambda x: pytest.fail("evaluated"), X, along=along, executor="serial")
    with pytest.raises(optitrip.InputError, match="dicts by variable"):
        optitrip.directional(two, {"W": X, "b": 1.0}, along=[1, 2, 3], executor="serial")


@pytest.mark.parametrize("step", [0, -1e-3, "long", [1, 2], {"y": 1}, {"x": -1}, np.nan, True])
def test_what_is_no_step_is_refused(step: Any) -> None:
    """Before anything is evaluated."""
    with pytest.raises(optitrip.InputError, match=r"method\.step"):
        optitrip.estimate(lambda x: pytest.fail("evaluated"), X, step=step, executor="serial")


def test_steps_by_variable_and_relative() -> None:
    """As for a gradient; equal ones are one step."""
    with optitrip.Session(executor="serial") as session:
        x = {"W": np.full(3, 1e6), "b": 1e-3}
        found = session.estimate(two, x, directions=4, step={"W": 1e-3, "b": 1e-6})
        assert found.scale is not None
        assert [float(found.scale["W"][0]), float(found.scale["b"])] == [1e-3, 1e-6]
        relative = session.estimate(two, x, directions=4, step={"relative": 1e-9})
        assert relative.scale is not None
        np.testing.assert_allclose(relative.scale["W"], 1e-3)
        same = session.estimate(two, x, directions=4, step={"W": 1e-3, "b": 1e-3})
        plain = session.estimate(two, x, directions=4, step=1e-3)
        assert same.scale is None
        assert same.flat.tobytes() == plain.flat.tobytes()
        np.testing.assert_allclose(
            session.estimate(square, X, directions=3, step=np.array([1e-3, 1e-3, 2e-3])).flat, 2 * X
        )


def test_the_functions_are_those_of_a_session() -> None:
    """With the same arguments, and the options of a session beside them."""
    for name in ("estimate", "directional"):
        function, method = getattr(optitrip, name), getattr(optitrip.Session, name)
        own = inspect.signature(method).parameters.keys() - {"self"}
        assert own < inspect.signature(function).parameters.keys()
        assert {"workers", "executor", "state_dir"} <= inspect.signature(function).parameters.keys()
        assert function.__doc__ == method.__doc__


def model(x: Array, data: Array, labels: Array) -> float:
    """A small network's cross-entropy."""
    scores = np.tanh(data @ x[:24].reshape(4, 6)) @ x[24:].reshape(6, 3)
    scores = scores - scores.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(data)), labels]))


def test_a_training_loop_of_zeroth_order() -> None:
    """Simultaneous perturbations (MeZO) by hand, and as a descent: the same steps to the bit of the directions drawn
    for each; both learn."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((60, 4))
    known = {"data": data, "labels": np.argmax(data @ rng.standard_normal((4, 3)), axis=1)}
    x = 0.5 * rng.standard_normal(42)
    first = model(x, **known)
    with optitrip.Session(executor="serial") as session:
        w = x
        for step in range(40):
            found = session.estimate(
                model, w, directions=4, kind="rademacher", step=1e-3, errors=False, seed=step, arguments=known
            )
            assert found.evaluations == 9
            w = w - 0.05 * found.gradient["x"]
        assert model(w, **known) < 0.7 * first
        descent = session.descend(
            model, x, rate=0.05, steps=1, gradient="rademacher", directions=4, step=1e-3, arguments=known
        )
        estimate = session.estimate(model, x, directions=4, kind="rademacher", step=1e-3, arguments=known)
        moved = x - 0.05 * estimate.gradient["x"]
        assert descent.loss == min(first, model(moved, **known))


SIZES = np.array([0.1, 2e8, 3e8])


@pytest.mark.daily
@pytest.mark.parametrize(
    ("loss", "x"), [(lambda x: 1e300 * square(x), X), (lambda x: float(np.sum(np.sin(x / SIZES))), SIZES)]
)
def test_a_descent_takes_the_same_estimates(loss: Any, x: Array) -> None:
    """With automatic steps, too, for huge losses, and with entries of very different sizes."""
    with optitrip.Session(executor="serial") as session:
        found = session.estimate(loss, x, directions=2, kind="rademacher", seed=3)
        rate = 1e-3 / float(np.abs(found.flat).max())
        descent = session.descend(loss, x, rate=rate, steps=1, gradient="rademacher", directions=2, seed=3)
        assert descent.loss == min(loss(x), loss(x - rate * found.gradient["x"]))
