"""What a comparison of an analytic gradient says: at kinks, of other scales, below the errors, of some coordinates."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.methods.gradient.checking.taylor import extrapolated


def check(loss: Any, x: Any, gradient: Any, **options: Any) -> optitrip.Gradcheck:
    return optitrip.gradcheck(loss, x, gradient, executor="serial", **options)


def absolute(x: Array) -> float:
    return float(np.abs(x).sum() + 0.5 * x @ x)


@pytest.mark.parametrize("entry", [-1.0, -0.3, 0.0, 1.0])
def test_a_subgradient_at_a_kink_passes(entry: float) -> None:
    """It lies between the slopes to both sides, which are told."""
    found = check(absolute, np.array([0.0, 2.0]), np.array([entry, 3.0]))
    assert found, repr(found)
    assert "between the slopes to both sides of a kink: 1" in found.comparison.verdict


@pytest.mark.parametrize("entry", [-1.01, 1.01, 5.0, np.nan])
def test_an_entry_beyond_both_slopes_is_wrong(entry: float) -> None:
    found = check(absolute, np.array([0.0, 2.0]), np.array([entry, 3.0]))
    assert list(found.comparison.wrong) == [True, False]
    assert "slopes at a kink from -1" in found.worst(1)[0]


def test_each_variable_has_its_own_rounding() -> None:
    """An entry of 2e-8 beside one of 1e8 is compared as finely, though it is below the rounding of the largest."""

    def loss(a: float, b: float) -> float:
        return float(np.sin(1e8 * a) + (1e-8 * b - 2) ** 2)

    x = {"a": 3e-9, "b": 1e8}
    right = {"a": 1e8 * np.cos(0.3), "b": -2e-8}
    assert check(loss, x, right)
    for off in (0.0, 2.0, 1 + 1e-6):
        assert list(check(loss, x, {**right, "b": off * right["b"]}).comparison.wrong) == [False, True]


def test_an_agreement_that_shows_little_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """At a minimum all entries are below their errors, and any gradient of this size passes."""
    A, y = np.random.default_rng(0).standard_normal((9, 3)), np.arange(9.0)
    there = np.linalg.lstsq(A, y)[0]

    def loss(x: Array) -> float:
        return float(np.sum((A @ x - y) ** 2))

    with caplog.at_level(logging.WARNING, "optitrip"):
        found = check(loss, there, lambda x: 2 * A.T @ (A @ x - y))
    assert found
    assert "below the error: 3" in found.comparison.verdict
    assert "shows little; check at another x" in repr(found).replace("\n    ", " ")
    assert "shows little" in caplog.text
    caplog.clear()
    beside = check(loss, there + 0.1, lambda x: 2 * A.T @ (A @ x - y))
    assert "of an entry in the median" in beside.comparison.verdict
    assert beside.comparison.fineness < 1e-6
    assert not caplog.text


def test_a_step_over_a_kink_is_no_proof_of_a_mistake() -> None:
    """Steps of float32 losses are long and cross kinks that no single difference shows; shorter ones contradict it."""
    rng = np.random.default_rng(1)
    A, hidden = rng.standard_normal((40, 4)), rng.standard_normal(40)
    for seed in range(8):
        x = np.random.default_rng(seed).standard_normal(4).astype(np.float32)

        def loss(x: Array) -> np.float32:
            return np.float32(np.mean(np.maximum(0, A @ x.astype(float) - 0.1 * hidden)))

        found = check(loss, x, lambda x: (A @ x.astype(float) > 0.1 * hidden) @ A / 40)
        assert found, repr(found)
        assert not check(loss, x, lambda x: 1.2 * (A @ x.astype(float) > 0.1 * hidden) @ A / 40)


def test_other_coordinates_than_those_compared_show_on_a_line() -> None:
    """As a warning, not in the verdict: a line may cross kinks."""
    x = np.linspace(1, 2, 50)
    wrong = np.where(np.arange(50) < 40, 3 * x**2, 3.1 * x**2)
    for gradient, codes in {"right": (3 * x**2, []), "wrong": (wrong, ["gradient-doubtful"])}.values():
        found = check(lambda x: float(np.sum(x**3)), x, gradient, coordinates="x[:10]")
        assert found
        assert "agrees along 10 of 50 coordinates" in found.comparison.verdict
        assert [notice.code for notice in found.answer.notices()] == codes
        assert found.answer.on_line.apart == bool(codes)


def test_a_cast_is_named() -> None:
    """A gradient of float32 by variables of float64 is wrong by its rounding, and right by variables of float32."""
    x = np.linspace(0.3, 1, 5)
    found = check(lambda x: float(np.sum(np.exp(x))), x, np.exp(x).astype(np.float32))
    assert "The entries are float32 numbers: is it cast?" in found.comparison.verdict
    x = x.astype(np.float32)
    assert check(lambda x: float(np.sum(np.exp(x.astype(float)))), x, np.exp(x))


X = {"W": np.array([[0.3, -0.7, 1.1], [0.2, 0.9, -1.4]]), "b": np.array([0.5, 1.0])}
RIGHT = {"W": 3 * X["W"] ** 2 + 0.2 * X["W"], "b": np.cos(X["b"])}


@pytest.mark.parametrize(
    ("name", "wrong", "hint"),
    [
        ("W", 2 * RIGHT["W"], "W: every analytic entry is 2 times the numeric one"),
        ("W", -RIGHT["W"], "W: every analytic entry is -1 times the numeric one"),
        ("W", RIGHT["W"] - 0.2 * X["W"], "W: analytic - numeric is -0.2 times x, as for a regulariser"),
        ("W", RIGHT["W"].T.reshape(2, 3), "W: the analytic entries are the numeric ones, transposed"),
        ("W", RIGHT["W"] + 0.25, "W: every analytic entry is +0.25 off"),
        ("b", 0 * RIGHT["b"], "b: every analytic entry is 0"),
        ("b", RIGHT["b"] * [1, 2], ""),
    ],
)
def test_a_simple_pattern_is_named(name: str, wrong: Array, hint: str) -> None:
    """In the text and in a notice, which a failing test shows whole; nothing where no pattern fits."""
    found = check(lambda W, b: float(np.sum(W**3) + 0.1 * np.sum(W**2) + np.sum(np.sin(b))), X, {**RIGHT, name: wrong})
    assert not found
    (notice,) = found.answer.notices()
    assert (notice.code, notice.level) == ("gradient-wrong", "warning")
    assert hint in notice.text
    assert ("every" in notice.text or "times x" in notice.text or "transposed" in notice.text) == bool(hint)
    lines = repr(found).splitlines()
    assert hint in " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= 79


def test_slopes_are_extrapolated() -> None:
    """The limit of difference quotients of exp at 0, known to rounding and noise, and what a kink leaves unknown."""
    t = 0.01 / 2.0 ** np.arange(8)
    value, error = extrapolated(t, np.expm1(t) / t, np.full(8, 1e-16))
    assert abs(value - 1) <= error < 1e-12
    value, error = extrapolated(t, np.where(t > 1e-3, 2.0, 1.0), np.zeros(8))
    assert abs(value - 1) <= error
    assert np.isnan(extrapolated(t, np.full(8, np.nan), np.zeros(8))[0])
