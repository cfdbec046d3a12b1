"""The numeric derivative as a function, in SciPy's optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize, rosen, rosen_der

import optitrip
from derivatives import formulas
from derivatives.problems import NIST
from optitrip.core.arrays import Array
from optitrip.objectives import Softmax


class Model:
    """The residuals of a data set of NIST."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, b: Array) -> Array:
        data, model = NIST[self.name], formulas.MODELS[self.name]
        return np.array([y - model(np, b, x) for x, y in zip(data["x"], data["y"], strict=True)])


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", ["Misra1a", "MGH09", "Thurber"])
def test_least_squares_reaches_the_certified_values(name: str, start: int) -> None:
    """Of NIST's Statistical Reference Datasets, from both starts, to six digits; the residuals, too."""
    data, residuals = NIST[name], Model(name)
    b0 = np.array(data["starts"][start])
    jacobian = optitrip.jac(residuals, b0)
    assert jacobian(b0).shape == (len(data["y"]), len(b0))
    options: dict[str, Any] = {"x_scale": "jac", "xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 5_000}
    solve: Any = least_squares
    found = solve(residuals, b0, jacobian, method="lm", **options)
    np.testing.assert_allclose(found.x, data["certified"], rtol=1e-6)
    assert 2 * found.cost == pytest.approx(data["rss"], rel=1e-9)


def test_bfgs_comes_as_near_as_with_the_analytic_gradient() -> None:
    """As many steps, the same minimum."""
    x0 = np.array([1.3, 0.7, 0.8, 1.9, 1.2, -0.4, 0.6, 1.1, 0.9, 1.4])
    numeric = minimize(rosen, x0, jac=optitrip.jac(lambda x: float(rosen(x)), x0), method="BFGS")
    analytic = minimize(rosen, x0, jac=rosen_der, method="BFGS")
    assert np.abs(numeric.x - 1).max() <= 10 * np.abs(analytic.x - 1).max() + 1e-7
    assert abs(numeric.nit - analytic.nit) <= 3


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
