"""The scalar functions of SciPy's tests of numeric derivatives, at SciPy's tolerances, against closed forms.

The cases are those of `scipy/optimize/tests/test__numdiff.py`; their complex steps and bounds have no counterpart here.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array

AT = np.array([100.0, -0.5])
P = np.array([-1.0, -1.0])


def wave(x: Array) -> float:
    return float(np.sin(x[0] * x[1]) * np.log(x[0]))


def wave_slope(x: Array) -> list[float]:
    phase = x[0] * x[1]
    return [x[1] * np.cos(phase) * np.log(x[0]) + np.sin(phase) / x[0], x[0] * np.cos(phase) * np.log(x[0])]


def gradient(loss: Any, x: Any, **options: Any) -> Array:
    return optitrip.gradient(loss, x, executor="serial", **options).gradient["x"]


CASES = {
    "sinh": (lambda x: math.sinh(x), 1.0, {}, math.cosh(1.0), 1e-6, 1e-9),
    "sinh, absolute step": (lambda x: math.sinh(x), 1.0, {"step": 1.49e-8}, math.cosh(1.0), 1e-6, 1e-9),
    "wave": (wave, AT, {}, wave_slope(AT), 1e-6, 1e-7),
    "wave, absolute step": (wave, AT, {"step": 1.49e-8}, wave_slope(AT), 1e-6, 3e-9),
    "exponential of math": (lambda x: math.exp(x), 1.0, {}, math.e, 1e-6, 1e-8),
    "exponential, negative factor": (lambda x: math.exp(-x), 1.0, {"step": 1e-6}, -math.exp(-1.0), 1e-6, 1e-9),
    "product at zero": (lambda x: float(x[0] * x[1]), np.array([1.0, 0.0]), {}, [0.0, 1.0], 1e-6, 1e-9),
    "cosine of a product": (
        lambda x: math.cos(x[0] * x[1]),
        np.array([1.0, 0.0]),
        {},
        [0.0, 0.0],
        1e-6,
        1e-9,
    ),
}


@pytest.mark.parametrize("scheme", ["forward", "central"])
@pytest.mark.parametrize(("loss", "x", "options", "wanted", "one_sided", "two_sided"), CASES.values(), ids=CASES)
def test_a_function_of_scipys_tests(
    loss: Any, x: Any, options: dict[str, Any], wanted: Any, one_sided: float, two_sided: float, scheme: str
) -> None:
    """Forward is SciPy's 2-point, central its 3-point; a derivative of 0 is so to the step's own size."""
    rtol = one_sided if scheme == "forward" else two_sided
    np.testing.assert_allclose(gradient(loss, x, scheme=scheme, **options), wanted, rtol=rtol, atol=2e-8)


def test_a_loss_that_exists_close_to_x_only() -> None:
    """NaN farther away: a small step, or the steps that become shorter by default, find it, but not at any width."""

    def narrow(x: float, width: float) -> float:
        return x if abs(x) <= width else math.nan

    assert gradient(partial(narrow, width=1e-8), 0.0, step=1e-9) == pytest.approx(1)
    assert gradient(partial(narrow, width=1e-8), 0.0) == pytest.approx(1)
    with pytest.raises(optitrip.NoAnswer, match="none of the 1 coordinates has a difference"):
        gradient(partial(narrow, width=1e-20), 0.0)


@pytest.mark.parametrize("point", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [np.float32, np.float64])
def test_parameters_and_losses_in_float32(point: Any, loss: Any) -> None:
    """SciPy's issue 12991, as a mean square: within 1e-3 of the closed form whichever of them is in float32."""
    rng = np.random.default_rng(1)
    x, y = np.linspace(0, 1, 100), rng.random(100)
    residual = P[0] + P[1] * x - y
    wanted = [2 * residual.mean(), 2 * (residual * x).mean()]

    def error(p: Array) -> Any:
        return loss(np.mean((p[0] + p[1] * x - y) ** 2))

    found = optitrip.gradient(error, P.astype(point), executor="serial").gradient["p"]
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.daily
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_error_of_a_sine_is_under_its_bound(dtype: Any) -> None:
    """Truncation h/2 |f''| and rounding, at points of both signs and sizes, as SciPy bounds it."""
    for x in np.random.default_rng(2).uniform(-10, 10, 20):
        found = optitrip.gradient(lambda x: dtype(np.sin(dtype(x))), x, scheme="forward", executor="serial")
        h = float(found.steps["x"])
        rounding = 2 * np.finfo(dtype).eps * (1 + abs(x)) / h  # the argument is rounded too
        assert abs(float(found.gradient["x"]) - math.cos(x)) <= h / 2 + rounding
