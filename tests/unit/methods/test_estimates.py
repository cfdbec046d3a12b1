"""Estimates of gradients from slopes along directions, against their formulas and exact gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import optitrip
from command import optitrip as command
from optitrip.core.arrays import Array
from optitrip.core.failures import Record
from optitrip.core.point import Point
from optitrip.loss.objective import Objective
from optitrip.methods.estimate.combination import Combination
from optitrip.methods.estimate.directions import Directions, Kind, relative_variance
from optitrip.methods.estimate.route import estimate_route
from optitrip.objectives import Softmax

D = 50
KINDS: tuple[Kind, ...] = get_args(Kind)
G = np.random.default_rng(0).standard_normal(D)


def estimates(kind: Kind, count: int, draws: int) -> Array:
    """Estimates of the gradient G of a linear loss, each from so many directions of their own; shape (draws, D)."""
    found = np.zeros((draws, D))
    for seed in range(draws):
        directions = Directions(kind, seed, count, D)
        vectors = np.array([directions.vector(n) for n in range(count)])
        found[seed] = (vectors @ G) @ vectors / count
    return found


@pytest.mark.mostly_daily
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "draws"), [(10, 2_000), (100, 300)])
def test_mean_and_variance(kind: Kind, count: int, draws: int) -> None:
    """Unbiased, and E|estimate - g|^2 is the formula's to 3 %; orthogonal directions in whole groups are exact."""
    found = estimates(kind, count, draws)
    spread = relative_variance(kind, count, D)
    errors = (np.square(found - G).sum(axis=1) / (G @ G)).mean()
    assert errors == pytest.approx(spread, rel=0.03, abs=1e-12)
    assert np.linalg.norm(found.mean(axis=0) - G) <= 1.3 * np.linalg.norm(G) * (spread / draws) ** 0.5 + 1e-9


def test_directions_are_drawn_again_by_index() -> None:
    """Any entries of any direction, in any order, are those of the whole; another seed or kind has others."""
    for kind in KINDS:
        directions = Directions(kind, 3, 7, 200)
        whole = np.array([directions.vector(n) for n in range(7)])
        again = Directions(kind, 3, 7, 200)
        for n in (6, 0, 3):
            for entries in (range(200), range(63, 65), range(10, 200), range(5, 5)):
                assert again.vector(n, entries).tobytes() == whole[n, entries.start : entries.stop].tobytes()
        assert not np.array_equal(Directions(kind, 5, 7, 200).vector(0), whole[0])
    vectors = np.array([Directions("orthogonal", 0, 20, 50).vector(n) for n in range(20)])
    np.testing.assert_allclose(vectors @ vectors.T, 50 * np.eye(20), atol=1e-11)
    assert set(np.abs(Directions("rademacher", 0, 1, 999).vector(0)).tolist()) == {1.0}


def answered(loss: Any, x: Array, kind: Kind, count: int, step: float | None = None, limits: Any = None) -> Any:
    objective, point, result = Objective(loss), Point({"x": x}, ("x",)), None
    route = estimate_route(point, Directions(kind, 1, count, x.size), step, objective.capabilities, limits)
    while True:
        try:
            stage = route.send(result)
        except StopIteration as end:
            return end.value
        result = stage.result(stage.evaluate(stage.prepare(objective), range(stage.items)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_as_many_orthogonal_directions_as_entries_are_exact(dtype: type) -> None:
    """For a quadratic; in float32, x + h v is rounded, and the displacement that was taken counts."""
    x = np.random.default_rng(2).standard_normal(40).astype(dtype)
    found = answered(lambda x: float(np.sum(np.square(x, dtype=np.float64))), x, "orthogonal", 40)
    assert found.gradient["x"].dtype == dtype
    np.testing.assert_allclose(found.gradient["x"], 2 * x, atol=1e-8 if dtype is np.float64 else 2e-3)
    error = float(np.linalg.norm(found.gradient["x"].astype(np.float64) - 2 * x))
    assert found.cosine == 1.0
    assert 0 < found.error < 1e-2 * found.norm
    assert error <= 10 * found.error


def test_coordinates_are_central_differences() -> None:
    """As many as entries give the whole gradient, fewer leave 0 along the others, in the units of a step of the
    entries."""
    x = np.linspace(1, 2, 40)
    found = answered(lambda x: float(x @ x), x, "coordinates", 40)
    np.testing.assert_allclose(found.flat, 2 * x, rtol=1e-9)
    moves = found.method.ends[0].values(range(41))["x"][1:] - x
    assert (np.count_nonzero(moves, axis=1) == 1).all()
    assert 1e-6 < np.abs(moves).max() < 1e-4
    few = answered(lambda x: float(x @ x), x, "coordinates", 10, 1e-3)
    assert np.count_nonzero(few.flat) == 10
    moved = np.flatnonzero(few.flat)
    np.testing.assert_allclose(few.flat[moved], 4 * 2 * x[moved], rtol=1e-9)


def test_a_direction_that_fails_is_left_out() -> None:
    """It is counted, and the estimate is the mean of the others."""
    x = np.ones(30)
    found = answered(lambda x: float(x @ x) if x[0] + x[1] > 1.99 else float("nan"), x, "rademacher", 40, 1e-2)
    assert 5 < found.known < 40
    assert found.failures["nan"] == 40 - found.known
    assert "left out" in dict(found.rows())
    directions = Directions("rademacher", 1, 40, 30)
    kept = [n for n in range(40) if np.isfinite(found.slopes[n])]
    wanted = np.mean([found.slopes[n] * directions.vector(n) for n in kept], axis=0)
    np.testing.assert_allclose(found.gradient["x"], wanted, rtol=1e-9)


@pytest.mark.mostly_daily(8)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_no_entry_leaves_its_limits(kind: Kind, dtype: type) -> None:
    """Points beside a limit lie around the nearest one that has room, so the estimate stays unbiased; an entry that is
    outside itself, and one whose limits are nearly equal, move, too."""
    x = np.array([0.0, 1.0, 0.5, 1e-7, 0.25, 2.0], dtype)
    low, high = np.array([0.0, 0, 0, 0, 0.25, 0]), np.array([1.0, 1, 1, 1, 0.2500005, 1])
    low, high = low.astype(dtype).astype(float), high.astype(dtype).astype(float)
    outside: list[Array] = []
    slope = np.array([3.0, -2, 1, 5, 0.5, -4])

    def loss(x: Array) -> float:
        outside.append((x.astype(float) < low) | (x.astype(float) > high))
        return float(slope @ x + 0.1 * np.sum(np.square(x, dtype=np.float64)))

    found = answered(loss, x, kind, 6000, None, {"x": (low, high)})
    assert not np.any(outside, axis=0)[:5].any()
    truth = slope + 0.2 * x.astype(float)
    np.testing.assert_allclose(found.flat[[0, 1, 2, 3, 5]], truth[[0, 1, 2, 3, 5]], atol=0.5)


def test_the_noise_of_the_loss_is_in_the_error() -> None:
    """And in the step: an exact estimate of a noisy loss is off by the error that it tells."""
    x = np.linspace(1, 2, 30)
    for noise in (1e-10, 1e-6, 1e-3):

        def loss(x: Array, noise: float = noise) -> float:
            smooth = float(x @ x)
            return smooth * (1 + noise * np.sin(1e12 * smooth + 1e13 * float(x.sum())))

        found = answered(loss, x, "orthogonal", 30)
        off = float(np.linalg.norm(found.flat - 2 * x))
        assert found.error / 20 < off < 4 * found.error
        assert off < 30 * noise ** (2 / 3) * found.norm


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_that_no_step_changes_is_missing(kind: Kind) -> None:
    """It is never 0."""
    x = np.array([1.0, 1e18, 2.0])
    found = answered(lambda x: float(x[0] + x[2] + x[1] / 1e18), x, kind, 3, 1e-3)
    assert np.isnan(found.flat).tolist() == [False, True, False]
    assert "missing" in dict(found.rows())


def test_a_sum_that_fails_is_told() -> None:
    """The coordinate is missing, counted and named; nothing else is."""
    objective, point = Objective(lambda x: float(x @ x)), Point({"x": np.ones(4)}, ("x",))
    route: Any = estimate_route(point, Directions("rademacher", 1, 3, 4), None, objective.capabilities)
    stage, found = next(route), None
    while found is None:
        part = stage.evaluate(stage.prepare(objective), range(stage.items))
        if isinstance(stage, Combination):
            lost = stage.failed_part(range(2, 3), [("died", Record(2, "WorkerDied", "3 workers died", ""))])
            part = stage.merge(stage.evaluate(objective, range(2)), lost, stage.evaluate(objective, range(3, 4)))
        try:
            stage = route.send(stage.result(part))
        except StopIteration as end:
            found = end.value
    assert np.isnan(found.gradient["x"]).tolist() == [False, False, True, False]
    assert found.failures == {"combination": 1}
    assert "missing" in dict(found.rows())


def test_the_sum_does_not_depend_on_slices() -> None:
    """Entry by entry in the order of the directions, to the bit."""
    point = Point({"a": np.ones((70, 1000)), "b": np.ones(3, np.float32)}, ("a", "b"))
    for kind in ("gaussian", "rademacher"):
        directions = Directions(kind, 5, 4, point.size)
        method = Combination(point, directions, np.array([1.0, np.nan, -2.0, 0.3]), 1e-3)
        whole = method.evaluate(None, range(method.items))
        parts = [method.evaluate(None, one) for one in (range(1), range(1, 66_000), range(66_000, method.items))]
        assert method.merge(*parts).columns["estimate"].tobytes() == whole.columns["estimate"].tobytes()


SWEEP = """
seed = 1
[objective]
loss = "optitrip.objectives:Softmax"
[objective.arguments]
data = "digits"
[space]
W = { shape = [10, 65], normal = [0, 0.03] }
[method]
use = "estimate"
directions = 130
at = { candidate = 0 }
[tracking]
use = "none"
"""


def test_the_command(tmp_path: Path) -> None:
    """It prints norm, cosine and error; the estimate has the angle to the gradient that was announced."""
    (tmp_path / "digits.toml").write_text(SWEEP)
    done = command(tmp_path, "sweep", "digits.toml", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    assert "from 130 orthogonal directions" in done.stdout
    answer: Any = optitrip.sweep(tmp_path / "digits.toml", executor="serial")
    true = Softmax().gradient(**answer.x)
    found = answer.gradient["W"]
    cosine = float((found * true).sum() / np.linalg.norm(found) / np.linalg.norm(true))
    assert cosine == pytest.approx(answer.cosine, abs=0.08)
    assert answer.norm == pytest.approx(float(np.linalg.norm(true)), rel=0.2)
