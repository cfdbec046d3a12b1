"""The numeric derivative as a function, in SciPy's optimizers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize, rosen, rosen_der

import optitrip
from derivatives import formulas
from derivatives.problems import MGH, NIST, evaluated
from optitrip.core.arrays import Array
from optitrip.objectives import Softmax


class NumpyFunctions:
    """What formulas need, of numbers real or complex, and of arrays."""

    exp, log, sqrt, sin, cos, atan = np.exp, np.log, np.sqrt, np.sin, np.cos, np.arctan


def by_complex_step(formula: Any, x: Array) -> Array:
    """The gradient without differences: Im f(x + ih) / h, exact but for rounding."""
    found: list[Any] = []
    for k in range(len(x)):
        z = [np.complex128(t) for t in x]
        z[k] += 1e-30j
        found.append(np.imag(formula(NumpyFunctions, z)) / 1e-30)
    return np.array(found)


@pytest.mark.mostly_daily
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", list(NIST))
def test_least_squares_reaches_the_certified_values(name: str, start: int) -> None:
    """Of NIST's Statistical Reference Datasets, from both starts, to six digits; the residuals, too."""
    data, model = NIST[name], formulas.MODELS[name]
    x, y, b0 = np.array(data["x"]), np.array(data["y"]), np.array(data["starts"][start])

    def residuals(b: Array) -> Array:
        with np.errstate(all="ignore"):
            return y - model(NumpyFunctions, b, x)

    jacobian = optitrip.jac(residuals, b0)
    assert jacobian(b0).shape == (len(y), len(b0))
    options: dict[str, Any] = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 5_000}
    # From there, MINPACK with scales from the analytic Jacobian ends elsewhere, too.
    scale: Any = 1.0 if (name, start) == ("BoxBOD", 0) else "jac"
    solve: Any = least_squares
    found = solve(residuals, b0, jacobian, method="lm", x_scale=scale, **options)
    np.testing.assert_allclose(found.x, data["certified"], rtol=1e-6)
    assert 2 * found.cost == pytest.approx(data["rss"], rel=1e-9)


@pytest.mark.mostly_daily
@pytest.mark.parametrize("name", list(MGH))
def test_bfgs_comes_as_near_as_with_the_analytic_gradient(name: str) -> None:
    """On the problems of More, Garbow and Hillstrom: to a point where the true gradient is as small, of the same
    loss, in about as many steps."""
    formula, x0 = getattr(formulas, name), np.array(MGH[name][0], np.float64)
    loss, options = partial(evaluated, formula), {"gtol": 1e-6, "maxiter": 2_000}
    with np.errstate(all="ignore"):
        analytic = minimize(loss, x0, jac=partial(by_complex_step, formula), method="BFGS", options=options)
        numeric = minimize(loss, x0, jac=optitrip.jac(loss, x0), method="BFGS", options=options)
    reached = [float(np.abs(by_complex_step(formula, found.x)).max()) for found in (analytic, numeric)]
    assert reached[1] <= max(1e-6, 2 * reached[0])
    assert numeric.fun == pytest.approx(analytic.fun, rel=1e-6, abs=1e-9)
    assert numeric.nit <= 1.2 * analytic.nit + 5


class Batched:
    """A loss that takes batches, and refuses single points of its batch call."""

    def __call__(self, x: Array) -> float:
        return float(np.sum(x**3))

    def losses(self, x: Array) -> Array:
        assert x.ndim == 3
        return (x**3).sum(axis=(1, 2))


@pytest.mark.parametrize("loss", [Batched(), Batched().__call__], ids=["batches", "one by one"])
def test_the_function_is_the_gradient(loss: Any) -> None:
    """At other points than the first, of x's shape and dtype, whatever way the loss is computed."""
    x = np.random.default_rng(0).standard_normal((3, 4)) + 3
    found = optitrip.jac(loss, x)
    for scale in (1.0, 0.1, 10.0):
        np.testing.assert_allclose(found(scale * x), 3 * (scale * x) ** 2, rtol=1e-8)
    single = optitrip.jac(loss, x.astype(np.float32))(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, 3 * x**2, rtol=1e-4)
    assert x.tobytes() == (np.random.default_rng(0).standard_normal((3, 4)) + 3).tobytes()


def test_structured_losses_numbers_and_constants() -> None:
    """Differences of a classifier have all digits; a number gives a number; constants are passed on."""
    loss, W = Softmax(), 0.03 * np.random.default_rng(0).standard_normal((10, 65))
    np.testing.assert_allclose(optitrip.jac(loss, W)(2 * W), loss.gradient(2 * W), atol=1e-9)
    assert optitrip.jac(lambda x: x**3, 2.0)(3.0) == pytest.approx(27)
    assert optitrip.jac(lambda x, k: k * float(x @ x), np.ones(2), constants={"k": 5})(np.ones(2)) == pytest.approx(
        [10, 10]
    )


def test_limits_are_kept_and_exceptions_are_the_losss_own() -> None:
    """The optimizer's bounds hold for the differences, too."""

    def loss(x: Array) -> float:
        if (x < 0).any() or (x > 2).any():
            raise LookupError(f"{x} is outside")
        return float(np.sum((x - 1) ** 2 * x))

    derivative = optitrip.jac(loss, np.array([0.5, 0.5]), bounds=(0, 2))
    np.testing.assert_allclose(derivative(np.array([0.0, 2.0])), [1, 5], atol=1e-6)
    with pytest.raises(LookupError, match="is outside"):
        derivative(np.array([3.0, 1.0]))
    with pytest.raises(optitrip.InputError, match="x0: was a dict"):
        optitrip.jac(loss, {"x": np.ones(2)})


def test_a_session_gives_the_gradient_as_a_function_on_its_workers() -> None:
    """The first call's noise and steps serve the others, in one stage each; the minimum is that of the function."""
    with optitrip.Session(executor="serial") as session:
        derivative = session.jac(lambda x: float(rosen(x)), np.array([1.3, 0.7, 0.8]))
        x = np.array([0.5, 0.4, 1.5])
        np.testing.assert_allclose(derivative(x), rosen_der(x), rtol=1e-8)
        assert derivative(x.astype(np.float32)).dtype == np.float32
        found = minimize(rosen, x, jac=derivative, method="BFGS", options={"maxiter": 8})
        wanted = minimize(rosen, x, jac=rosen_der, method="BFGS", options={"maxiter": 8})
        np.testing.assert_allclose(found.x, wanted.x, rtol=1e-5)
        assert "four-point" in repr(derivative)
        with pytest.raises(optitrip.InputError, match="as the optimizers of SciPy pass it"):
            session.jac(lambda x: x, {"x": 1.0})
