"""What an estimate says of itself, its error, norm and cosine, against the truth over many seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Objective
from optitrip.methods.estimate.directions import Directions, Kind, expected_cosine, relative_variance, variance_of
from optitrip.methods.estimate.lengths import scale_by_size
from optitrip.methods.estimate.route import estimate_route
from optitrip.store.lookup import read

D = 50
KINDS: tuple[Kind, ...] = get_args(Kind)
X = np.random.default_rng(1).standard_normal(D)


def answered(loss: Any, x: Array, kind: Kind, count: int, seed: int = 1, **options: Any) -> Any:
    """The answer of the route, in this process."""
    objective, point, result = Objective(loss), Point({"x": x}, ("x",)), None
    step = options.pop("step", None)
    route = estimate_route(point, Directions(kind, seed, count, x.size), step, objective.capabilities, **options)
    while True:
        try:
            stage = route.send(result)
        except StopIteration as end:
            return end.value
        result = stage.result(stage.evaluate(stage.prepare(objective), range(stage.items)))


@pytest.mark.mostly_daily(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 20, 50, 75])
def test_the_expected_cosine(kind: Kind, size: int, count: int) -> None:
    """Within 2 % of the mean over directions and over gradients of any direction, for few entries, too, and where
    sqrt(n / (n + d + 1)) is up to 23 % too large."""
    rng, found = np.random.default_rng(7), []
    for seed in range(120 if size > 1 else 2):
        directions = Directions(kind, seed, count, size)
        vectors = np.array([directions.vector(n) for n in range(count)])
        gradients = rng.standard_normal((300, size))
        estimates = gradients @ vectors.T @ vectors
        sizes = np.linalg.norm(estimates, axis=1) * np.linalg.norm(gradients, axis=1)
        found.append(np.mean((estimates * gradients).sum(axis=1) / np.where(sizes > 0, sizes, np.inf)))
    assert np.mean(found) == pytest.approx(expected_cosine(kind, count, size), rel=0.02)


@pytest.mark.mostly_daily(4)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [20, 50, 130])
def test_the_variance_without_some_directions(kind: Kind, count: int) -> None:
    """Those of which a loss failed leave groups that are not whole."""
    rng, found, told = np.random.default_rng(3), [], []
    for seed in range(1500 if kind == "coordinates" or count < D else 400):
        directions, known = Directions(kind, seed, count, D), rng.random(count) < 0.8
        vectors = np.array([directions.vector(n) for n in range(count) if known[n]])
        found.append(np.square((vectors @ X) @ vectors / len(vectors) - X).sum() / (X @ X))
        told.append(variance_of(directions, known))
    assert np.mean(found) == pytest.approx(np.mean(told), rel=0.04)
    every = np.ones(count, bool)
    assert variance_of(Directions(kind, 0, count, D), every) == relative_variance(kind, count, D)


def rosenbrock(x: Array) -> float:
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def rosenbrock_gradient(x: Array) -> Array:
    found, beside = np.zeros_like(x), x[1:] - x[:-1] ** 2
    found[:-1] = -400 * x[:-1] * beside - 2 * (1 - x[:-1])
    found[1:] += 200 * beside
    return found


DATA = np.random.default_rng(5).standard_normal((40, 10))
LABELS = np.arange(40) % 5


def probabilities(x: Array) -> Array:
    scores = DATA @ x.reshape(5, 10).T
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def noisy(level: float) -> Callable[[Array], float]:
    rng = np.random.default_rng(9)
    return lambda x: float(x @ x) + level * rng.standard_normal()


def softmax(x: Array) -> float:
    return float(-np.mean(np.log(probabilities(x)[np.arange(40), LABELS])))


LOSSES: dict[str, tuple[Any, Callable[[Array], Array]]] = {
    "quadratic": (lambda x: float(x @ x), lambda x: 2 * x),
    "Rosenbrock": (rosenbrock, rosenbrock_gradient),
    "softmax": (softmax, lambda x: ((probabilities(x) - np.eye(5)[LABELS]).T @ DATA / 40).ravel()),
    "noise of a millionth": (noisy(5e-5), lambda x: 2 * x),
    "noise of a thousandth": (noisy(0.05), lambda x: 2 * x),
    "noise of 3 %": (noisy(1.5), lambda x: 2 * x),
    "float32": (lambda x: np.float32(np.sum(x.astype(np.float32) ** 2)), lambda x: 2 * x),
    "huge": (lambda x: 1e300 * float(x @ x), lambda x: 2e300 * x),
    "tiny": (lambda x: 1e-300 * float(x @ x), lambda x: 2e-300 * x),
    "waves of a millionth": (lambda x: float(np.sum(np.sin(1e6 * x))), lambda x: 1e6 * np.cos(1e6 * x)),
}


@pytest.mark.mostly_daily(4)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [10, 50])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_error_is_as_large_as_told(loss: str, count: int, kind: Kind) -> None:
    """In the median of many seeds, within a third, and where directions are as many as orthogonal entries, so that
    only rounding and noise are left, within a factor of 3; the norm is right in the mean, the cosine to 0.06,
    unless the slopes are little more than noise, which is told."""
    function, gradient = LOSSES[loss]
    truth = gradient(X)
    unit = float(np.abs(truth).max())
    size = float(np.linalg.norm(truth / unit))
    ratios, norms, cosines, told, doubtful = [], [], [], [], []
    for seed in range(30):
        found = answered(function, X, kind, count, seed)
        flat = found.flat / unit
        ratios.append(np.linalg.norm(flat - truth / unit) / (found.error / unit))
        norms.append(found.norm / unit / size)
        cosines.append(flat @ (truth / unit) / np.linalg.norm(flat) / size)
        told.append(found.cosine)
        doubtful.append(bool(found.doubts))
    exact = relative_variance(kind, count, D) == 0
    sparse = kind == "coordinates" and not exact
    near, skewed = (3.5 if exact else 1.33), sparse and loss == "Rosenbrock"
    assert np.median(ratios) < (2 if skewed else near)
    assert np.median(ratios) > (0.25 if exact else 0.75)
    if kind == "coordinates" and loss == "noise of 3 %":  # a slope is smaller by sqrt(d): the norm is too large by half
        assert np.mean(doubtful) > 0.8
    elif not skewed:  # a few entries dominate the gradient, of which coordinates say nothing
        loud = loss == "noise of 3 %"
        assert np.sqrt(np.mean(np.square(norms))) == pytest.approx(1, rel=0.2 if sparse or loud else 0.1)
        assert np.mean(cosines) == pytest.approx(np.mean(told), abs=0.09 if loud else 0.06)


def test_beside_a_minimum_noise_is_no_gradient() -> None:
    """Its norm is near 0, its cosine small, and the error as large as the noise makes it; the answer says so."""
    rng = np.random.default_rng(2)
    found = [
        answered(lambda x: 5 + float((x - X) @ (x - X)) + 1e-3 * rng.standard_normal(), X, "orthogonal", D, seed)
        for seed in range(10)
    ]
    errors = [float(np.linalg.norm(one.flat)) for one in found]
    assert 0.5 < np.median([error / one.error for error, one in zip(errors, found, strict=True)]) < 2
    assert np.mean([one.cosine for one in found]) < 0.4
    assert any("little more than noise" in text for one in found for text in one.doubts)


def test_a_step_that_is_too_long_is_told() -> None:
    """One that is given is kept, and its error told; waves of which half the step shows nothing, too."""
    truth = np.cos(X)
    found = answered(lambda x: float(np.sum(np.sin(x))), X, "orthogonal", D, step=1.5)
    off = float(np.linalg.norm(found.flat - truth))
    assert found.step == 1.5
    assert off / 3 < found.error < 3 * off
    assert any("too long" in text for text in found.doubts)
    assert "too long" in repr(found)
    waves = answered(lambda x: float(np.sum(np.sin(x))), X, "rademacher", 60, step=4 * np.pi)
    assert any("too long" in text for text in waves.doubts)
    short = answered(lambda x: float(np.sum(np.sin(x))), X, "orthogonal", D, step=1e-4)
    assert short.doubts == []
    assert float(np.linalg.norm(short.flat - truth)) < 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_an_automatic_step_that_is_too_long_is_shortened(kind: Kind) -> None:
    """The loss changes over a ten-millionth, as x is; the estimate is as good as others."""
    x = 1e-7 * X
    found = answered(lambda x: float(np.sum(np.exp(1e7 * x))), x, kind, D)
    truth = 1e7 * np.exp(1e7 * x)
    assert found.step < 1e-8
    assert found.doubts == []
    assert np.linalg.norm(found.flat - truth) < 1.33 * found.error + 1e-6 * np.linalg.norm(truth)
    assert found.method.kind == "again"


SIZES = np.where(np.arange(D) % 2, 1e8, 1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_entries_of_very_different_sizes(kind: Kind) -> None:
    """1e8 and 1e-3 in one point: the directions are scaled, which the answer says, and with which its error holds."""
    x = SIZES * np.random.default_rng(3).uniform(0.5, 2, D)
    truth = np.cos(x / SIZES) / SIZES
    found = answered(lambda x: 5 + float(np.sum(np.sin(x / SIZES))), x, kind, D)
    scale = found.scale["x"]
    np.testing.assert_array_equal(scale, np.maximum(0.01, np.abs(x)))
    off = float(np.linalg.norm(scale * (found.flat - truth)))
    if kind in ("orthogonal", "coordinates"):
        np.testing.assert_allclose(SIZES * found.flat, SIZES * truth, rtol=0, atol=1e-7)
        assert off < 10 * found.error
    else:
        assert found.error / 1.5 < off < 1.5 * found.error
        assert found.norm == pytest.approx(float(np.linalg.norm(scale * truth)), rel=0.4)
    assert "scaled" in repr(found)
    assert "scaled" in dict(found.rows())


def test_sizes_that_are_alike_do_not_scale() -> None:
    """Normal weights never do, large or small, nor with a few zeros; one small variable among many entries does."""
    rng = np.random.default_rng(0)
    for size in (1e-8, 1.0, 30.0, 1e6):
        assert scale_by_size(Point({"W": size * rng.standard_normal((100, 100))}, ("W",))) is None
    assert scale_by_size(Point({"W": np.full(10_000, 1e6), "b": np.array(1e-3)}, ("W", "b"))) is not None
    assert scale_by_size(Point({"W": np.append(np.ones(10_000), 1e8)}, ("W",))) is not None
    assert scale_by_size(Point({"x": np.array([1e300, 1e300])}, ("x",))) is None


@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_their_own(kind: Kind) -> None:
    """Every entry moves by its step times its entry of a direction; equal steps are as one."""
    steps = np.linspace(1e-3, 1e-2, 40)
    found = answered(lambda x: float(x @ x), X[:40], kind, 40, step=steps)
    moves = found.method.ends[0].values(range(41))["x"][1:] - X[:40]
    directions = Directions(kind, 1, 40, 40)
    np.testing.assert_allclose(
        moves, [directions.length * steps * directions.vector(n) for n in range(40)], rtol=1e-9, atol=1e-15
    )
    if kind in ("orthogonal", "coordinates"):
        np.testing.assert_allclose(found.flat, 2 * X[:40], rtol=1e-7, atol=1e-9)
    one = answered(lambda x: float(x @ x), X[:40], kind, 40, step=np.full(40, 1e-3))
    assert one.scale is None
    assert one.flat.tobytes() == answered(lambda x: float(x @ x), X[:40], kind, 40, step=1e-3).flat.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_one_parameter(kind: Kind) -> None:
    """Its derivative is exact but for normal directions, whose lengths differ."""
    found = answered(lambda x: float(np.exp(x[0])), np.array([1.0]), kind, 5)
    assert found.cosine == 1
    assert found.error == pytest.approx(np.e * (2 / 5) ** 0.5, rel=1) if kind == "gaussian" else found.error < 1e-8
    assert abs(found.flat[0] - np.e) <= max(3 * found.error, 1e-9)


def test_a_known_noise_and_no_errors_save_evaluations() -> None:
    """With both a step and `errors=False`, only the slopes and f(x) are left; the estimate is the same to the bit."""
    calls: list[float] = []

    def loss(x: Array) -> float:
        calls.append(float(x @ x))
        return calls[-1]

    numbers, flats = [], set[bytes]()
    every: list[dict[str, Any]] = [{}, {"noise": 1e-9}, {"errors": False}, {"noise": 1e-9, "errors": False}]
    for options in every:
        calls.clear()
        found = answered(loss, X, "rademacher", 10, step=1e-3, **options)
        numbers.append(len(calls))
        flats.add(found.flat.tobytes())
    assert numbers == [21 + 14 + 9 + 5, 21 + 9 + 5, 21, 21]
    assert len(flats) == 1
    assert answered(loss, X, "rademacher", 10, noise=1.0).step > 10 * answered(loss, X, "rademacher", 10).step


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_losses_that_are_none(bad: float) -> None:
    """A direction with one is left out, counted, and told; at x itself the slopes do without; alone they are an
    error."""
    found = answered(lambda x: float(x @ x) if x[0] < X[0] + 1e-3 else bad, X, "gaussian", 40, step=1e-3)
    assert 5 < found.known < 40
    assert sum(found.failures.values()) == 40 - found.known
    assert f"{40 - found.known} left out" in repr(found)
    assert np.isfinite(found.flat).all()
    assert np.isfinite(found.error)
    hole = answered(lambda x: float(x @ x) if (x != X).any() else bad, X, "orthogonal", D)
    np.testing.assert_allclose(hole.flat, 2 * X, atol=1e-6)
    assert np.isfinite([hole.error, hole.cosine, hole.norm]).all()
    with pytest.raises(NoAnswer, match="has a slope"):
        answered(lambda x: bad, X, "orthogonal", 5, noise=1e-9)


def test_a_slope_out_of_range_is_counted() -> None:
    """Losses are finite, their difference is not: no direction is left out in silence."""
    found = answered(lambda x: 1.7e308 * float(np.sign(x[0] - X[0])), X, "coordinates", D, step=1e-3)
    assert found.failures == {"infinite quotient": 1}
    assert found.known == D - 1


@pytest.mark.parametrize("kind", KINDS)
def test_flags_name_the_entries_without_a_value(kind: Kind) -> None:
    """No step changes them, or no coordinate was drawn."""
    x = np.array([1.0, 1e18, 2.0, 3.0])
    found = answered(lambda x: float(x[0] + x[2] + x[3]), x, kind, 8, step=1e-3)
    assert found.flags["x"].tolist() == [0, 4, 0, 0]
    few = answered(lambda x: float(x.sum()), np.ones(4), kind, 1)
    assert np.count_nonzero(few.flags["x"] == 8) == (3 if kind == "coordinates" else 0)


@pytest.mark.daily
@pytest.mark.parametrize(("kind", "variance"), [("gaussian", D + 1), ("rademacher", D - 1), ("coordinates", D - 1)])
def test_the_published_variance_of_a_pair(kind: Kind, variance: float) -> None:
    """E|estimate - g|^2 / |g|^2 of 200,000 single pairs is d + 1 for normal directions, and d - 1 for those of fixed
    length, to 3 %; their mean is the gradient."""
    count, block = 200_000, 10_000
    directions = Directions(kind, 1, count, D)
    total, squares = np.zeros(D), 0.0
    for first in range(0, count, block):
        vectors = np.array([directions.vector(n) for n in range(first, first + block)])
        estimates = (vectors @ X)[:, np.newaxis] * vectors
        total += estimates.sum(axis=0)
        squares += float(np.square(estimates - X).sum())
    assert squares / count / (X @ X) == pytest.approx(variance, rel=0.03)
    assert np.linalg.norm(total / count - X) < 0.03 * np.linalg.norm(X)


SWEEP = """
objective = {{ loss = "optitrip.objectives:Rosenbrock" }}
tracking = {{ use = "none" }}
[space]
x = {{ shape = [4], uniform = [-2, 2] }}
[method]
use = "estimate"
directions = 4
at = {{ fill = {fill} }}
{more}
"""


def test_the_keys_of_a_sweep_file(tmp_path: Path) -> None:
    """Steps, bounds, a known noise; those that are off leave the identity of older files, and so do numbers of
    another type."""
    identities: dict[str, Any] = {}
    texts = ("", 'step = "auto"', "errors = true", "step = 1", "step = 1.0", "step = { x = 0.01 }", "noise = 1e-9")
    for text in (*texts, "errors = false", "bounds = { x = [0, 1] }", "step = { relative = 1e-5 }"):
        (tmp_path / "sweep.toml").write_text(SWEEP.format(fill=0.5, more=text))
        identities[text] = read(tmp_path / "sweep.toml").identity
    assert identities[""] == identities['step = "auto"'] == identities["errors = true"]
    assert identities["step = 1"] == identities["step = 1.0"]
    assert len(set(identities.values())) == len(identities) - 3
    (tmp_path / "sweep.toml").write_text(SWEEP.format(fill=1.0, more="bounds = { x = [0, 1] }"))
    answer: Any = optitrip.sweep(tmp_path / "sweep.toml", executor="serial")
    assert answer.method.ends[0].values(range(5))["x"].max() <= 1
    for wrong in ("step = { y = 1 }", "step = -1", "bounds = { x = [1, 0] }", "noise = 0", "errors = 1"):
        (tmp_path / "sweep.toml").write_text(SWEEP.format(fill=0.5, more=wrong))
        with pytest.raises(optitrip.InputError, match=wrong.split(" ")[0]):
            read(tmp_path / "sweep.toml")
