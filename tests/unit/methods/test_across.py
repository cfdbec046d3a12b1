"""The gradient explains the slope of the loss in one direction across all coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.methods.gradient import across
from optitrip.methods.gradient.across import Across
from optitrip.methods.gradient.flags import BELOW_NOISE, IMPRECISE
from optitrip.samplers.random import Random

pytestmark = pytest.mark.mostly_daily(4)  # of the cases that are alike

DOUBTED = IMPRECISE | BELOW_NOISE
STEPS = across.with_steps


def wave(x: Array) -> float:
    return float(x[0] ** 2 / 4000 - math.cos(x[0]) + x[1] ** 2)


def slope(x: Array) -> Array:
    return np.array([x[0] / 2000 + math.sin(x[0]), 2 * x[1]])


def with_noise(loss: Callable[[Array], float], level: float) -> Callable[[Array], float]:
    """The loss with uniform noise, drawn anew at each call."""
    rng = np.random.default_rng(3)
    return lambda x: loss(x) + level * math.sqrt(12) * (rng.random() - 0.5)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("coordinates", [None, "x[0]"])
def test_waves_that_are_shorter_than_the_steps(known: bool, coordinates: str | None) -> None:
    """A first step of a fifteenth of x leads over many waves, and seems smooth at times; the derivative is right within
    its error, or doubted. The noise may be known, and a part of the coordinates may be wanted."""
    wrong = 0
    for number in range(12):
        x = np.array([300.0 + 0.37 * number, 1.0])
        options: dict[str, Any] = {"noise": 1e-6} if known else {}
        found = optitrip.gradient(with_noise(wave, 1e-6), x, coordinates=coordinates, executor="serial", **options)
        value, error, flags = found.gradient["x"][:1], found.error["x"][:1], found.flags["x"][:1]
        wrong += int(not ((np.abs(value - slope(x)[:1]) <= error) | (flags & DOUBTED > 0)).all())
    assert wrong == 0


@pytest.mark.daily
@pytest.mark.parametrize("level", [0.0, 1e-10, 1e-6, 1e-3])
def test_smooth_losses_take_no_shorter_steps(level: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their noise, within limits and beside a kink, the gradient explains the slope."""
    rounds: list[Any] = []
    monkeypatch.setattr(across, "with_steps", lambda *args: rounds.append(args) or STEPS(*args))
    for number in range(10):
        x = 0.1 + 2 * Random(purpose="places").unit(number, {"x": 6}, range(1))["x"][0]

        def loss(x: Array) -> float:
            return float(np.sum((x - 0.5) ** 2 * np.exp(x / 2)) + x[0] * x[1] * x[2] + abs(x[5] + 1e-6))

        optitrip.gradient(with_noise(loss, level), x, executor="serial")
        optitrip.gradient(with_noise(loss, level), x, bounds=(x - 1e-3, x), executor="serial")
    assert len(rounds) == 0


def test_the_points_stay_within_limits_and_entries_at_a_limit_where_they_are() -> None:
    """Both sides are needed, so a move is as long as the room to the nearer limit allows."""
    x = np.array([1.0, 2.0, 3.0])
    limits = {"x": (np.array([1.0, 1.9999999, -np.inf]), np.array([5.0, 2.5, np.inf]))}
    found = optitrip.gradient(lambda x: float(np.sum(x**2)), x, bounds=limits["x"], executor="serial")
    line = across.line_across(found.result, 0, 0, limits)
    assert line is not None
    points = line.values(range(4))["x"]
    assert line.coordinates.tolist() == [1, 2]
    assert (points[:, 0] == 1).all()
    assert ((points >= limits["x"][0]) & (points <= limits["x"][1])).all()
    np.testing.assert_allclose(line.moved()[2:], 2 * line.moved()[:2], rtol=1e-6)


def test_lines_are_told_apart_by_what_they_are() -> None:
    """Equal ones have one digest, so that a resumed sweep finds its parts; others have another."""
    center = optitrip.gradient(lambda x: float(x[0] + x[1]), np.ones(2), executor="serial").result.center
    lines = [Across(center, np.arange(2), np.array([h, 1e-3])) for h in (1e-3, 1e-3, 2e-3)]
    assert lines[0] == lines[1]
    assert hash(lines[0]) == hash(lines[1])
    assert lines[0] != lines[2]


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1e150])
def test_losses_and_variables_of_any_size(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing underflows into a slope that seems unexplained."""
    rounds: list[Any] = []
    monkeypatch.setattr(across, "with_steps", lambda *args: rounds.append(args) or STEPS(*args))
    optitrip.gradient(lambda x: size * float(np.exp(x[0]) + x[1] ** 2), np.ones(2), executor="serial")
    optitrip.gradient(lambda x: float(np.exp(x[0] / size)), np.array([size]), executor="serial")
    assert len(rounds) == 0
