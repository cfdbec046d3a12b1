"""Further rounds of differences with better steps, against exact derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import optitrip
from derivatives.problems import problems
from optitrip.core.arrays import Array
from optitrip.methods.gradient.flags import KINK, ONE_SIDED, SIDE_FAILED

CERTIFIED = [problem for problem in problems() if problem.name.endswith("certified")]


def test_two_steps_narrow_the_errors_at_solutions() -> None:
    """At a solution the terms of the Taylor series tell little of the truncation error; the difference of two rounds
    does, so that errors are small beside entries that are a trillionth of the curvature."""
    ratios: list[float] = []
    for problem in CERTIFIED:
        found = optitrip.gradient(problem.loss, problem.x, executor="serial")
        error = np.abs(found.gradient["x"] - problem.gradient)
        assert (error <= found.error["x"]).all(), problem.name
        assert (found.error["x"] <= 0.15 * np.abs(problem.gradient)).all(), problem.name
        ratios += (found.error["x"] / error).tolist()
    assert np.median(ratios) <= 25


@pytest.mark.parametrize("distance", [1e-4, -1e-5, 1e-6, -1e-7, 3e-8])
@pytest.mark.parametrize("slopes", [(-1.0, 1.0), (0.0, 3.0), (1.0, 1.5)])
def test_a_kink_nearby_is_stepped_around(distance: float, slopes: tuple[float, float]) -> None:
    """Steps become shorter until they no longer cross it."""

    def loss(x: float) -> float:
        return math.sin(x) + (slopes[0] if x < 0.3 else slopes[1]) * (x - 0.3)

    x = 0.3 + distance
    found = optitrip.gradient(loss, x, executor="serial")
    true = math.cos(x) + slopes[distance > 0]
    assert abs(found.gradient["x"] - true) <= found.error["x"] <= 1e-5 * max(1.0, abs(true))
    assert not found.flags["x"] & KINK


@pytest.mark.parametrize("scheme", [None, "central"])
def test_a_kink_at_x_has_an_error_that_spans_all_slopes(scheme: str | None) -> None:
    """Also where the slopes beside it differ from those farther away."""

    def loss(x: float) -> float:
        return 1e3 * x if x > 0 else -1e-3 * x

    found = optitrip.gradient(loss, 0.0, scheme=scheme, executor="serial")
    assert found.flags["x"] & KINK
    assert found.gradient["x"] - found.error["x"] <= -1e-3
    assert found.gradient["x"] + found.error["x"] >= 1e3


@pytest.mark.parametrize(
    "loss", [lambda x: 1 + x * x if x <= 1 else math.inf, lambda x: 1 + x * x if x <= 1 else -math.inf]
)
def test_infinity_on_one_side_leaves_the_other(loss: Any) -> None:
    """It says nothing of the noise, so the error is a number."""
    found = optitrip.gradient(loss, 1.0, executor="serial")
    assert abs(found.gradient["x"] - 2) <= found.error["x"] <= 1e-3
    assert found.flags["x"] & ONE_SIDED
    assert found.flags["x"] & SIDE_FAILED


def test_steps_that_overflow_are_shortened() -> None:
    """The first step of an entry of this size leads out of the range of exp; the third does not."""

    def loss(x: Array) -> float:
        return float(x[1] ** 2 + math.cosh(x[0] - 3e9))

    found = optitrip.gradient(loss, np.array([3e9 + 1, 2.0]), executor="serial")
    assert np.abs(found.gradient["x"] - [math.sinh(1), 4]).max() <= 1e-3
    assert (np.abs(found.gradient["x"] - [math.sinh(1), 4]) <= found.error["x"]).all()


def test_the_error_of_a_tiny_scale_is_a_number() -> None:
    """x log x at 1e-300: the weights of the losses overflow when squared."""
    found = optitrip.gradient(lambda x: x * math.log(x), 1e-300, executor="serial")
    assert abs(found.gradient["x"] / (math.log(1e-300) + 1) - 1) <= 1e-9
    assert np.isfinite(found.error["x"])


@pytest.mark.parametrize("knot", [3.5, 3.49, 3.6])
def test_a_loss_with_few_derivatives_is_covered(knot: float) -> None:
    """Beside a jump of the third derivative, as at the knots of a spline, errors fall more slowly than by the order."""

    def loss(x: float) -> float:
        return math.exp(-((x - 3) ** 2)) + 0.2 * max(0.0, x - 3.5) ** 3

    found = optitrip.gradient(loss, knot, executor="serial")
    true = -2 * (knot - 3) * math.exp(-((knot - 3) ** 2)) + 0.6 * max(0.0, knot - 3.5) ** 2
    assert abs(found.gradient["x"] - true) <= found.error["x"] <= 1e-5


def test_limits_that_keep_the_step_are_no_evidence() -> None:
    """Both rounds take the same points between close limits, and agree without saying anything."""
    found = optitrip.gradient(lambda x: math.exp(20 * x), 0.5, bounds=(0.4999, 0.5001), executor="serial")
    assert abs(found.gradient["x"] - 20 * math.exp(10)) <= found.error["x"]
    assert np.isfinite(found.error["x"])
