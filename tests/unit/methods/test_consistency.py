"""The gradient explains the slope of the loss on the short line on which its noise was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.methods.gradient import consistency
from optitrip.methods.gradient.flags import BELOW_NOISE, IMPRECISE
from optitrip.samplers.random import Random

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

DOUBTED = IMPRECISE | BELOW_NOISE
SHORTER = consistency.with_shorter_steps
WAVES: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], float], float]] = {
    "a fast sine": (lambda x, k: math.sin(k * x), lambda x, k: k * math.cos(k * x), 0.0),
    "a ripple": (lambda x, k: x * x + 1e-6 * math.cos(k * x), lambda x, k: 2 * x - 1e-6 * k * math.sin(k * x), 0.0),
    "far from 0": (lambda x, k: math.sin(x - 1e8), lambda x, k: math.cos(x - 1e8), 1e8),
}
"""Losses, their derivatives and an offset of x."""


def places(count: int) -> Array:
    return 0.1 + 2 * Random(purpose="places").unit(7, {"x": count}, range(1))["x"][0]


@pytest.mark.mostly_daily(12)
@pytest.mark.mostly_thorough(3)
@pytest.mark.parametrize("k", [1e4, 1e5, 1e6, 1e7])
@pytest.mark.parametrize("wave", WAVES)
def test_a_loss_that_oscillates_faster_than_the_steps(wave: str, k: float) -> None:
    """Its derivative is right within its error, or to seven digits; or doubted. At steps alone it may look smooth:
    sin(1e4 x) at 0.3 had the derivative 37.35 +- 4e-5 instead of -9,757."""
    loss, slope, offset = WAVES[wave]
    for x in offset + places(20):
        answer = optitrip.gradient(lambda x: loss(x, k), float(x), executor="serial")
        found, error = float(answer.gradient["x"]), float(answer.error["x"])
        truth = slope(float(x), k)
        assert abs(found - truth) <= max(error, 1e-7 * abs(truth)) or answer.flags["x"] & DOUBTED, (x, found, truth)


def test_one_of_many_coordinates_that_oscillates() -> None:
    """It is found among fifty that do not, whose derivatives keep small errors."""
    x = places(50)
    answer = optitrip.gradient(lambda x: float(np.sum(np.exp(x[1:])) + math.sin(1e5 * x[0])), x, executor="serial")
    truth = np.concatenate([[1e5 * math.cos(1e5 * x[0])], np.exp(x[1:])])
    told = (np.abs(answer.gradient["x"] - truth) <= answer.error["x"]) | (answer.flags["x"] & DOUBTED > 0)
    assert told.all()
    assert (answer.error["x"][1:] < 1e-6).all()


@pytest.mark.daily
@pytest.mark.mostly_thorough(2)
@pytest.mark.parametrize("noise", [0.0, 1e-10, 1e-6, 1e-3])
def test_smooth_losses_take_no_further_steps(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their noise, the gradient explains the slope: there is no third round."""
    rounds: list[Any] = []
    monkeypatch.setattr(consistency, "with_shorter_steps", lambda *args: rounds.append(args) or SHORTER(*args))
    x = places(6)
    for seed in range(50):
        shift = Random(purpose="shift").unit(seed, {"x": 1}, range(1))["x"][0, 0]

        def loss(x: Any, shift: float = shift) -> float:
            smooth = float(np.sum((x - shift) ** 2 * np.exp(x / 2)))
            return smooth * (1 + noise * math.sin(1e12 * smooth + 1e13 * float(x.sum())))

        optitrip.gradient(loss, x, executor="serial")
    assert len(rounds) == 0
    optitrip.gradient(lambda x: math.sin(1e5 * x), 0.3, executor="serial")
    assert len(rounds) > 0
