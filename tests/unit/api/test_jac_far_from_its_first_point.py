"""The numeric derivative at other points than that at which its steps were measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import optitrip
from optitrip.api.repeated import Jacobian, RepeatedGradient, repeated
from optitrip.core.arrays import Array


def softplus(x: Array) -> float:
    return float(np.log1p(np.exp(20 * (x[0] - 1))) + np.log1p(np.exp(-20 * x[0])) + (x[1] - x[0]) ** 2)


def softplus_slope(x: Array) -> Array:
    up, down = 20 / (1 + np.exp(-20 * (x[0] - 1))), -20 / (1 + np.exp(20 * x[0]))
    return np.array([up + down - 2 * (x[1] - x[0]), 2 * (x[1] - x[0])])


def log_barrier(x: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.sum(x - 0.01 * np.log(x)))


def kinked(x: Array) -> float:
    return float(np.sum(np.abs(x - 0.3) + x**2))


def peak(x: Array) -> float:
    return float(-np.sum(1 / (1 + ((x - 1) / 0.01) ** 2)))


def peak_slope(x: Array) -> Array:
    u = (x - 1) / 0.01
    return 2 * u / 0.01 / (1 + u**2) ** 2


CASES = [
    ("a bend, from where the loss is straight", softplus, [5.0, -5.0], softplus_slope, [[0.679, 0.678], [0.0, 0.1]]),
    ("an edge of the domain", log_barrier, [2.0, 3.0], lambda x: 1 - 0.01 / x, [[1e-3, 1], [1e-7, 1], [1e-12, 1e-9]]),
    (
        "a kink",
        kinked,
        [1.0, 2.0],
        lambda x: np.sign(x - 0.3) + 2 * x,
        [[0.3 + 1e-5, 1], [0.3 - 1e-6, 0.31], [0.2999, 0.299999]],
    ),
    ("a narrow peak", peak, [3.0], peak_slope, [[1.001], [0.995], [1.05]]),
    (
        "sizes that change by 16 powers of ten",
        lambda x: float(x[0] ** 4),
        [1e8],
        lambda x: 4 * x**3,
        [[1e-2], [1.0], [-1e-8 + 1e-3]],
    ),
    ("zero", lambda x: float(np.sum(np.exp(x))), [1.0, -2.0], np.exp, [[0.0, 0.0], [1e-30, -3.0]]),
    ("a start at the minimum", lambda x: float(np.sum(np.expm1(x) ** 2)), [0.0, 0.0], None, [[0.5, 2.0], [1e-3, -1]]),
]


@pytest.mark.parametrize(("loss", "x0", "slope", "points"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_steps_follow_the_loss(loss: Any, x0: list[float], slope: Any, points: list[list[float]]) -> None:
    """The derivative has five digits, and mostly nine, where the loss bends otherwise than at the first point."""
    derivative = optitrip.jac(loss, x0)
    slope = slope or (lambda x: 2 * np.expm1(x) * np.exp(x))
    for point in points:
        x = np.array(point)
        np.testing.assert_allclose(derivative(x), slope(x), rtol=1e-5, err_msg=str(point))


def test_residuals_are_differentiated_again_where_they_must_be() -> None:
    """Of a loss of several numbers, the whole column of a parameter decides."""
    times = np.linspace(0.1, 2, 12)
    jacobian = optitrip.jac(lambda b: b[0] * np.exp(-b[1] * times), [1.0, 1e-3])
    b = np.array([1e6, 60.0])
    wanted = np.stack([np.exp(-60 * times), -1e6 * times * np.exp(-60 * times)], axis=1)
    np.testing.assert_allclose(jacobian(b), wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    root = optitrip.jac(lambda b: np.sqrt(b + 0j).real * times, [2.0])
    np.testing.assert_allclose(root([1e-9])[:, 0], times / 2 / np.sqrt(1e-9), rtol=1e-6)


def test_a_call_of_a_smooth_loss_costs_one_round() -> None:
    """Four evaluations a coordinate, and f(x)."""
    seen: list[Array] = []

    def loss(x: Array) -> float:
        seen.append(x)
        return float(rosen(x))

    derivative = optitrip.jac(loss, [1.3, 0.7, 0.8])
    seen.clear()
    derivative(np.array([-1.2, 1.0, 0.4]))
    assert len(seen) == 4 * 3 + 1
    assert len({x.tobytes() for x in seen}) == len(seen)  # each call has an array of its own


def test_the_derivative_depends_on_x_alone() -> None:
    """Whatever was asked before."""
    derivative = optitrip.jac(kinked, [1.0, 2.0])
    x = np.array([0.3 + 1e-7, 5.0])
    first = derivative(x)
    for scale in (1e-6, 1.0, 1e6):
        derivative(scale * x)
    assert derivative(x).tobytes() == first.tobytes()


@pytest.mark.mostly_daily
@pytest.mark.parametrize("loss", [rosen, softplus, log_barrier, kinked])
def test_workers_give_the_same_bits(loss: Any) -> None:
    """A session's function, whose losses come from its workers, is that of `optitrip.jac`."""
    x0 = np.array([2.0, 3.0])
    options: Any = {"args": (), "step": "auto", "bounds": (1e-7, 50), "plain": False, "constants": None}
    with optitrip.Session(executor="serial") as session:
        here = session.jac(loss, x0, bounds=(1e-7, 50))
        there = repeated(session.gradient, loss, x0, here=lambda: False, arguments=None, **options)
        assert isinstance(here, Jacobian)
        assert isinstance(there, RepeatedGradient)
        for point in ([0.679, 0.678], [1e-6, 1e-7], [0.3 + 1e-6, 40.0], [0.2, 2.0]):
            assert here(point).tobytes() == there(point).tobytes()
    np.testing.assert_allclose(optitrip.jac(rosen, x0)(x0), rosen_der(x0), rtol=1e-9)
