"""The measured noise of a loss, against published numbers and known levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.methods.gradient.measuring import unit_of
from optitrip.methods.gradient.noise import ON_LINE, Noise, NoiseLines, noise_level

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

WILD = [1.00327, 1.01081, 1.0205, 1.0325, 1.04117, 1.04955, 1.05907]


def test_the_table_of_more_and_wild() -> None:
    """Seven values with noise of 1e-3 give 8.6470e-4 (section 3 of their paper; ECnoise.m)."""
    found = noise_level(np.array(WILD))
    assert found.status == "found"
    assert found.level == pytest.approx(8.6470e-4, rel=1e-4)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e160, 1e300])
def test_losses_of_any_size_have_noise(size: float) -> None:
    """Squares of them are out of range; the noise is in proportion to them."""
    losses = np.array([1.00327, 1.01081, 1.0205, 1.0325, 1.04117, 1.04955, 1.05907])
    assert noise_level(size * losses).level == pytest.approx(8.6470e-4 * size, rel=1e-4)


def test_uniform_noise_is_found() -> None:
    """Of cos + sin with uniform noise of 1e-3: nearly always, within a factor of four, and right in the median."""
    rng = np.random.default_rng(0)
    x = 1.0 + 1e-2 * np.arange(ON_LINE)
    drawn = [
        noise_level(np.cos(x) + np.sin(x) + 1e-3 * rng.uniform(0, 2 * math.sqrt(3), ON_LINE)) for _ in range(2_000)
    ]
    levels = np.array([one.level for one in drawn if one.status == "found"])
    assert len(levels) > 0.99 * len(drawn)
    assert np.median(levels) == pytest.approx(1e-3, rel=0.15)
    assert ((levels > 1e-3 / 4) & (levels < 4e-3)).mean() > 0.99


def test_what_shows_no_noise_says_why() -> None:
    """Points that are too close give equal losses, points that are too far a curve; a missing loss gives nothing."""
    assert noise_level(np.ones(7)).status == "too close"
    assert noise_level(np.array([1, 1, 1, 1, 1, 1 + 2.0**-52, 1])).status == "too close"
    assert noise_level(np.arange(1.0, 8)).status == "too far"
    assert noise_level(1 + 1e-3 * np.arange(7.0) ** 3).status == "too far"
    assert noise_level(np.array([1, 1, np.nan, 1, 1, 1, 1])).status == "failed"


def test_the_model_is_the_largest_of_four() -> None:
    """A level at x, growth with the root of f, a share of f, and half a unit in the last place."""
    losses = np.array([0.0, 4.0, -1e20])
    assert Noise(1e-3).at(losses).tolist() == [1e-3, 1e-3, 1e20 * 2.0**-53]
    assert Noise(1e-3, growth=0.1).at(losses)[1] == pytest.approx(0.2)
    assert Noise(1e-3, share=0.1).at(losses).tolist() == [1e-3, 0.4, 1e19]
    assert Noise(1e-3).relative(1.0) == 1e-3
    assert Noise(10.0).relative(1.0) == 0.05
    assert Noise().relative(0.0) == 2.0**-52


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_lines_start_at_x_and_keep_zeros_and_limits(dtype: type) -> None:
    """The first point is x itself, entries that are 0 stay 0 unless all are, and limits are never left."""
    x = np.array([1.0, 0.0, -2.0, 3.0], dtype)
    limits = {"x": (np.array([1.0, -1, -2, 0]), np.array([1.0, 1, -1.9999, 3]))}
    lines = NoiseLines(Point({"x": x}, ("x",)), 0, 1e-4, limits)
    points = lines.values(range(2 * ON_LINE))["x"]
    assert points.dtype == dtype
    assert points[0].tobytes() == x.tobytes()
    assert (points[:, 1] == 0).all()
    assert (points >= limits["x"][0]).all()
    assert (points <= limits["x"][1].astype(dtype)).all()
    assert len(np.unique(points[:, 2])) > ON_LINE
    zero = NoiseLines(Point({"x": np.zeros(2)}, ("x",)), 0, 1e-4).values(range(ON_LINE))["x"]
    assert (zero[1:] != 0).all()


@pytest.mark.parametrize("level", [1e-12, 1e-9, 1e-6, 1e-3])
def test_the_noise_of_a_loss_is_measured(level: float) -> None:
    """Within a factor of three of what was added, for any size of x; a known noise is believed."""
    rng = np.random.default_rng(5)

    def loss(x: Array) -> float:
        return float(np.cos(x).sum()) + level * rng.standard_normal()

    for scale in (1e-3, 1.0, 10.0):
        x = scale * np.array([0.3, -1.2, 0.8])
        found = optitrip.gradient(loss, x, executor="serial", coordinates=1)
        assert level / 3 < found.noise < 3 * level
        assert optitrip.gradient(loss, x, executor="serial", coordinates=1, noise=level).noise == level


@pytest.mark.mostly_daily
@pytest.mark.parametrize("level", [1e-9, 1e-6, 1e-3])
def test_noise_around_a_loss_of_0(level: float) -> None:
    """At a solution noise is as large as the losses: it is what stays where points come closer."""
    for seed in range(10):
        rng = np.random.default_rng(seed)

        def loss(x: Array, rng: Any = rng) -> float:
            return float(np.sum((x - 1) ** 2)) + level * rng.uniform(-1, 1)

        found = optitrip.gradient(loss, np.ones(3), executor="serial")
        assert level / 3 < found.noise * 3**0.5 < 3 * level  # a uniform draw has the deviation 1 / sqrt(3)
        assert (np.abs(found.gradient["x"]) <= found.error["x"]).all()


@pytest.mark.mostly_daily
@pytest.mark.parametrize("level", [1e-9, 1e-6, 1e-3])
def test_noise_that_is_proportional_to_the_loss(level: float) -> None:
    """At a solution there is next to none, and beside it as much as the loss is large."""
    for seed in range(10):
        rng = np.random.default_rng(seed)

        def loss(x: Array, rng: Any = rng) -> float:
            return (1e-12 + float(np.sum((x - 1) ** 2))) * (1 + level * rng.standard_normal())

        found = optitrip.gradient(loss, np.ones(3), executor="serial")
        assert level / 4 < found.measured.at(np.array([1e3]))[0] / 1e3 < 4 * level


def test_losses_that_differ_and_are_not_noise() -> None:
    """Those of a steep loss differ by over a tenth at first, and by a hundredth of that where points come closer."""
    found = optitrip.gradient(lambda x: float(np.exp(1e9 * x) - 1), 1e-9, executor="serial")
    assert found.noise < 1e-13
    assert abs(found.gradient["x"] - 1e9 * np.e) <= found.error["x"]


@pytest.mark.parametrize("decimals", [1, 3, 6, 9])
def test_a_loss_that_was_rounded_to_decimals(decimals: int) -> None:
    """Its digits tell; what it was rounded from is not known, and the errors of the derivatives allow for that."""

    def loss(x: Array) -> float:
        return round(3 + float(x[0] ** 2 * x[1] + x[1] ** 3), decimals)

    for x in (np.array([1.3, 0.7]), np.array([0.2, -1.0]), np.array([5.0, 3.0])):
        found = optitrip.gradient(loss, x, executor="serial")
        truth = np.array([2 * x[0] * x[1], x[0] ** 2 + 3 * x[1] ** 2])
        assert 10.0**-decimals / 12**0.5 <= found.noise * (1 + 1e-9)
        assert (np.abs(found.gradient["x"] - truth) <= found.error["x"]).all()


def test_the_unit_of_rounded_losses() -> None:
    """A unit is believed if no coincidence explains it; full digits, one loss, and float32 numbers have none."""
    assert unit_of(np.array([1.25, 1.24, 1.31, np.nan])) == pytest.approx(0.01)
    assert unit_of(np.array([0.025, 0.05, 0.125, 0.2])) == pytest.approx(0.025)
    assert unit_of(np.array([120.0, 80.0, 100.0, 40.0])) == pytest.approx(20)
    assert unit_of(np.array([0.1, 0.3])) == pytest.approx(0.1)
    assert unit_of(np.array([3.0, 3.0])) == 0
    assert unit_of(1 + np.random.default_rng(0).random(14)) == 0
    assert unit_of(np.random.default_rng(0).random(14, np.float32).astype(np.float64)) == 0


@pytest.mark.parametrize("level", [1e-6, 1e-3])
def test_relative_noise_beside_a_zero_of_the_loss(level: float) -> None:
    """A loss of 1e-6 at x is 0.1 a step away, and so is its noise; a constant noise does not grow."""
    x = np.array([1.001, 0.999])
    for seed in range(10):
        rng = np.random.default_rng(seed)

        def loss(x: Array, rng: Any = rng, relative: bool = True) -> float:
            smooth = float(np.sum((x - 1) ** 2))
            return smooth + level * rng.standard_normal() * (smooth if relative else 1.0)

        found = optitrip.gradient(loss, x, executor="serial")
        assert level / 4 < found.measured.at(np.array([0.1]))[0] / 0.1 < 4 * level
        assert (np.abs(found.gradient["x"] - 2 * (x - 1)) <= found.error["x"]).all()
