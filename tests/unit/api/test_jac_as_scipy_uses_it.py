"""The numeric derivative in the hands of SciPy's optimizers, and of losses of all kinds."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from scipy.optimize import (
    Bounds,
    check_grad,
    curve_fit,
    fsolve,
    least_squares,
    minimize,
    root,
    rosen,
    rosen_der,
)

import optitrip
from optitrip.core.arrays import Array
from optitrip.loss.returns import NotANumber

X = np.array([1.3, 0.7, 0.8])


def square(x: Array) -> float:
    return float(np.sum(np.square(x)))


@pytest.mark.mostly_daily
@pytest.mark.parametrize("method", ["CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "SLSQP", "trust-constr"])
def test_every_gradient_method_of_minimize(method: str) -> None:
    """Each takes the steps that it takes with the analytic gradient."""
    numeric = minimize(rosen, X, jac=optitrip.jac(rosen, X), method=method)
    analytic = minimize(rosen, X, jac=rosen_der, method=method)
    np.testing.assert_allclose(numeric.x, analytic.x, rtol=1e-4)
    assert abs(numeric.nit - analytic.nit) <= 2
    assert check_grad(rosen, optitrip.jac(rosen, X), X) < 1e-4


def test_further_arguments_follow_x_as_in_scipy() -> None:
    """Those of the call take the place of `args`, and keywords go to the loss, too."""

    def loss(x: Array, center: float, factor: float = 1.0) -> float:
        return factor * float(np.sum((x - center) ** 2))

    derivative = optitrip.jac(loss, X, args=(2.0,))
    np.testing.assert_allclose(derivative(X), 2 * (X - 2))
    np.testing.assert_allclose(derivative(X, 1.0, 3.0), 6 * (X - 1))
    np.testing.assert_allclose(derivative(X, 1.0, factor=5.0), 10 * (X - 1))
    np.testing.assert_allclose(optitrip.jac(loss, X, args=2.0)(X), 2 * (X - 2))
    assert minimize(loss, X, args=(7.0,), jac=derivative).x == pytest.approx([7, 7, 7])
    solve: Any = least_squares
    residuals = optitrip.jac(lambda x, k=1.0: k * (x - 3), X)
    assert solve(lambda x, k=1.0: k * (x - 3), X, residuals, kwargs={"k": 2.0}).x == pytest.approx([3, 3, 3])
    with pytest.raises(optitrip.InputError, match=r"requires x, center; .* wanted the others as args="):
        optitrip.jac(loss, X)
    with pytest.raises(optitrip.InputError, match="args: wanted these, or factor by name"):
        optitrip.jac(loss, X, args=(2.0,), constants={"factor": 1.0})
    with optitrip.Session(executor="serial") as session:
        np.testing.assert_allclose(session.jac(loss, X, args=(2.0,))(X, 1.0), 2 * (X - 1))


def test_systems_fits_and_constraints() -> None:
    """`root`, `fsolve`, `curve_fit`, robust least squares, and constraints; equations of one number, too."""

    def equations(x: Array) -> Array:
        return np.array([x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1, 0.5 * (x[1] - x[0]) ** 3 + x[1]])

    slopes: Any = optitrip.jac(equations, [0, 0])
    for found in (root(equations, [0, 0], jac=slopes).x, fsolve(equations, [0, 0], fprime=slopes)):
        assert found == pytest.approx([0.8411639, 0.1588361])
    assert root(lambda x: x**2 - 2, [1.0], jac=optitrip.jac(lambda x: x**2 - 2, [1.0])).x == pytest.approx([2**0.5])

    def model(t: Array, a: float, b: float) -> Array:
        return a * np.exp(-b * t)

    t, p0 = np.linspace(0, 3, 20), np.ones(2)
    data = model(t, 2.5, 1.3)
    of_parameters = optitrip.jac(lambda p: model(t, *p), p0)
    fit: Any = curve_fit
    assert fit(model, t, data, p0, jac=lambda _, *p: of_parameters(p))[0] == pytest.approx([2.5, 1.3])
    with pytest.raises(optitrip.InputError, match=r"x: has 20 entries, .*for curve_fit"):
        fit(model, t, data, p0, jac=of_parameters)
    solve: Any = least_squares
    robust = solve(lambda p: model(t, *p) - data, p0, of_parameters, x_scale="jac", loss="soft_l1")
    assert robust.x == pytest.approx([2.5, 1.3])

    def sum_is_two(x: Array) -> float:
        return x[0] + x[1] - 2

    start = np.array([3.0, 1.0])
    limit = {"type": "ineq", "fun": sum_is_two, "jac": optitrip.jac(sum_is_two, start)}
    solved = minimize(square, start, jac=optitrip.jac(square, start), constraints=limit)
    assert solved.x == pytest.approx([1, 1])


def test_bounds_as_scipy_has_them() -> None:
    """`Bounds` as they are; pairs by entry are refused, for two of them could be meant otherwise; an x outside by
    rounding is on the limit."""

    def loss(x: Array) -> float:
        if (x < 0).any() or (x > 2).any():
            raise LookupError(f"{x} is outside")
        return float(np.sum((x - 3) ** 2))

    scipys: Any = Bounds
    for bounds in (scipys(0, 2), scipys([0, 0, 0], [2, 2, 2]), (0, 2), (np.zeros(3), 2)):
        derivative = optitrip.jac(loss, X, bounds=bounds)
        assert minimize(loss, X, jac=derivative, bounds=[(0, 2)] * 3).x == pytest.approx([2, 2, 2])
        np.testing.assert_allclose(derivative([2 + 4e-16, -1e-17, 1]), [-2, -6, -4], rtol=1e-7)
    with pytest.raises(optitrip.InputError, match=r"bounds: was a pair for each of 3 entries; wanted \(low, high\)"):
        optitrip.jac(loss, X, bounds=[(0, 2)] * 3)
    with pytest.raises(optitrip.InputError, match=r"may be \(low, high\) or a pair for each of two entries"):
        optitrip.jac(loss, X[:2], bounds=[(0, 2), (0, 5)])


@pytest.mark.parametrize(
    "x0",
    [
        [1.0, 2.0],
        (1, 2),
        np.array([1, 2]),
        np.float64(2.0),
        2,
        np.ones((2, 3)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.ones((2, 8)).T[::2],
        np.broadcast_to(np.float64(3.0), 2),
        np.ones(2, np.float32),
        np.ones(2, np.float16),
        np.ones(2, np.longdouble),
    ],
    ids=lambda x: f"{type(x).__name__}{getattr(x, 'shape', '')}{getattr(x, 'dtype', '')}",
)
def test_any_real_numbers_are_a_point(x0: Any) -> None:
    """Lists, integers, arrays of any shape, layout and precision; the derivative has the shape of x."""
    found = optitrip.jac(square, x0)(x0)
    assert found.shape == np.shape(x0)
    assert found.dtype == (np.float32 if np.asarray(x0).dtype == np.float32 else np.float64)
    np.testing.assert_allclose(found, 2 * np.asarray(x0, np.float64), rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("x0", [None, "abc", True, 1j, np.ones(2, bool), np.ones(2) * 1j, []], ids=repr)
def test_anything_else_is_none(x0: Any) -> None:
    """At first and later, with what was wanted."""
    with pytest.raises(optitrip.InputError, match=r"^x0: .*; wanted"):
        optitrip.jac(square, x0)
    with pytest.raises(optitrip.InputError, match=r"^x: .*; wanted"):
        optitrip.jac(square, X)(x0)


@pytest.mark.parametrize(
    "returned",
    [np.array, lambda f: np.array([f]), lambda f: [[f]], np.float32, lambda f: {"loss": f, "size": 2}],
    ids=["0-d", "one entry", "lists", "float32", "dict"],
)
def test_one_number_in_any_form(returned: Any) -> None:
    """As SciPy has it, an array of one entry is a number, and the derivative a gradient."""
    found = optitrip.jac(lambda x: returned(square(x)), X)(2 * X)
    np.testing.assert_allclose(found, 4 * X, rtol=1e-6)


@pytest.mark.parametrize("returned", [True, "a", None, 1j, np.array([1j, 2]), [], [[1], [1, 2]], ["a", "b"]], ids=repr)
def test_what_is_no_number_is_refused(returned: Any) -> None:
    """At the first point by `NoAnswer` or at once; later by the same words, never a derivative."""
    with pytest.raises((optitrip.NoAnswer, NotANumber), match=r"real number|valid|array"):
        optitrip.jac(lambda _: returned, X)
    right: list[bool] = [True]
    derivative = optitrip.jac(lambda x: square(x) if right else returned, X)
    right.clear()
    with pytest.raises(NotANumber):
        derivative(X)


def test_losses_may_be_anything_that_is_called() -> None:
    """Methods whose object changes, partials, built-in functions, ufuncs and batched losses."""

    class Model:
        factor = 2.0

        def loss(self, x: Array) -> float:
            return self.factor * square(x)

    class Batches:
        def losses(self, x: Array) -> Array:
            return np.square(x).sum(axis=1)

    model = Model()
    derivative = optitrip.jac(model.loss, X)
    model.factor = 5.0
    np.testing.assert_allclose(derivative(X), 10 * X)
    np.testing.assert_allclose(optitrip.jac(functools.partial(pow, exp=3), 2.0)(3.0), 27)
    np.testing.assert_allclose(optitrip.jac(math.sin, 0.5)(1.0), math.cos(1))
    np.testing.assert_allclose(optitrip.jac(np.sin, 0.5)(1.0), math.cos(1))
    np.testing.assert_allclose(optitrip.jac(Batches(), X)(2 * X), 4 * X)
    counts: list[int] = []

    def squares(x: Array) -> Array:
        counts.append(len(x))
        return np.square(x).sum(axis=1)

    batched: Any = optitrip.jac(optitrip.batched(block=5)(squares), X)
    counts.clear()
    np.testing.assert_allclose(batched(2 * X), 4 * X)
    assert counts == [5, 5, 5]


def test_the_users_own_errors_and_settings_are_the_losses() -> None:
    """What NumPy is told to raise is raised in the loss, and nowhere else; a loss cannot change x."""

    def loss(x: Array) -> float:
        return float(np.sum(1 / x))

    derivative, x = optitrip.jac(loss, X), np.array([1.0, 2.0, 0.0])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(derivative(X), -1 / X**2)
        with pytest.raises(FloatingPointError):
            derivative(x)

    def changes(x: Array) -> float:
        x += 1
        return square(x)

    with pytest.raises(ValueError, match="read-only"):
        optitrip.jac(changes, x)
    assert x.tolist() == [1.0, 2.0, 0.0]
    with np.errstate(all="ignore"):
        assert np.isnan(optitrip.jac(lambda x: float(np.log(x[0])), X)([-1.0, 1.0, 1.0])).all()


def test_copies_pickles_and_threads() -> None:
    """All give the same bits."""
    derivative = optitrip.jac(rosen, X)
    wanted = [derivative(k * X) for k in range(8)]
    for other in (copy.copy(derivative), copy.deepcopy(derivative), pickle.loads(pickle.dumps(derivative))):
        assert other(3 * X).tobytes() == wanted[3].tobytes()
        assert repr(other) == repr(derivative)
    found: dict[int, Array] = {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: derivative(k * X)})) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[k].tobytes() for k in range(8)] == [one.tobytes() for one in wanted]


def test_a_given_step_is_that_step() -> None:
    """Everywhere, downwards if negative; relative ones are relative to x."""
    seen: list[float] = []

    def loss(x: float) -> float:
        seen.append(x)
        return x * x

    def moves(x: float, **options: Any) -> list[float]:
        derivative = optitrip.jac(loss, 100.0, scheme="forward", **options)
        seen.clear()
        derivative(x)
        return [entry - x for entry in seen[1:]]

    assert moves(4.0, step=-0.5) == [-0.5]
    assert moves(4.0, step=0.25) == [0.25]
    assert moves(4.0, step=np.array(0.25)) == [0.25]
    assert moves(4.0, step={"relative": 0.25}) == [1.0]
