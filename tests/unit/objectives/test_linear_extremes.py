"""Deltas and gradients of the linear classifiers where probabilities underflow, and steps are long, against mpmath and
rational numbers."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.objectives import Hinge, Softmax
from optitrip.objectives.linear.hinge import HingeAround
from optitrip.objectives.linear.softmax import SoftmaxAround, changes

EPS = 2.0**-52
SMALLEST = float(np.finfo(float).tiny)
STEPS = [1e-300, 1e-9, 1e-3, 0.3, 3.0, 45.0, 800.0, 1e10, 1e100, 1e300]


@pytest.fixture(autouse=True)
def digits_of_mpmath() -> Iterator[None]:
    with mpmath.workdps(60):
        yield


def log_sum(log_p: Any, log_q: Any, t: Any) -> Any:
    """log(q + p e^t), from log p and log q = log(1 - p), to at least 30 digits."""
    rise = mpmath.exp(log_p) * mpmath.expm1(t)
    if abs(rise) < 0.5:
        return mpmath.log1p(rise)
    larger, smaller = max(log_q, log_p + t), min(log_q, log_p + t)
    return larger + mpmath.log1p(mpmath.exp(smaller - larger))


def other(log_p: float) -> Any:
    """log(1 - p) from log p."""
    return mpmath.log(-mpmath.expm1(mpmath.mpf(log_p)))


def points(kind: str) -> tuple[Array, Array]:
    """Return 300 pairs of log p and t: of ordinary size, of any size, or such that p e^t is near q."""
    random = np.random.default_rng(11)
    low, high = (-300, 308) if kind == "any" else (-17, 3.3)
    log_p = -(10 ** random.uniform(low, high, 300))
    signs = random.choice([-1.0, 1.0], 300)
    if kind == "balanced":
        return log_p, np.array([float(other(p)) for p in log_p]) - log_p + signs * 10 ** random.uniform(-15, 1, 300)
    return log_p, signs * 10 ** random.uniform(low, high, 300)


@pytest.mark.parametrize("kind", ["ordinary", "any", "balanced"])
def test_changes_keep_their_digits_over_all_doubles(kind: str) -> None:
    """log(q + p e^t) from log p, and for the right class, where p and q exchange places and t changes its sign."""
    for log_p, t in zip(*points(kind), strict=True):
        log_q = other(log_p)
        wanted = log_sum(mpmath.mpf(log_p), log_q, mpmath.mpf(t))
        plain = changes(np.array(log_p), np.array(float(log_q)), np.array(t), np.array(False))
        right = changes(np.array(float(log_q)), np.array(log_p), np.array(-t), np.array(True))
        assert plain == right
        # What rounding log p to a double leaves: eps |log p| of p, which is 0 from 745 on.
        allowed = 2 * EPS * (2 + min(abs(log_p), 745))
        assert abs(plain - wanted) <= allowed * abs(wanted) + SMALLEST, (log_p, t)


def test_a_class_whose_probability_underflows_comes_back() -> None:
    """Where exp(log p) is denormal or 0, a long step has the value log(q + p e^t) all the same."""
    for log_p, t, wanted in [(-740.0, 744.0, 4.01815), (-746.0, 745.0, 0.3132617), (-800.0, 1000.0, 200.0)]:
        found = changes(np.array(log_p), np.array(0.0), np.array(t), np.array(False))
        assert found == pytest.approx(wanted, rel=1e-5)


def small_data(scale: float = 1.0) -> tuple[Array, Array, Array]:
    """Features, labels and weights whose scores are exact in float64: 24 images of 5 features, 4 classes."""
    random = np.random.default_rng(12)
    x = random.integers(-16, 17, (24, 5)).astype(float)
    x[:, 1] = 0  # a black pixel
    x[6:, 2] = 0  # a pixel of few images
    return x, np.arange(24) % 4, random.integers(-2000, 2001, (4, 5)) / 64.0 * scale


@pytest.mark.mostly_daily
@pytest.mark.parametrize("label", ["all", "one class", "another class"])
@pytest.mark.parametrize("scale", [2.0**-8, 1.0, 2.0**5, 2.0**24, 2.0**100])
def test_deltas_of_softmax_keep_their_digits(scale: float, label: str) -> None:
    """To 1e-12 of the sum of the images' changes, from steps that change nothing to those that decide every image."""
    x, labels, W = small_data(scale)
    if label != "all":
        labels = np.full(24, label == "another class", int)
    around = SoftmaxAround(x, labels, x @ W.T, W, 0.0)
    scores = [[mpmath.mpf(score) for score in row] for row in x @ W.T]
    for step in (sign * size for size in STEPS for sign in (1, -1)):
        coordinates = np.arange(5)  # of class 0
        found = around.deltas(coordinates, np.full(5, step))
        for j, delta in zip(coordinates, found, strict=True):
            each = []
            for row, y, feature in zip(scores, labels, x[:, j], strict=True):
                top = max(row)
                total = mpmath.fsum(mpmath.exp(s - top) for s in row)
                rest = mpmath.fsum(mpmath.exp(s - top) for s in row[1:])
                log_p, log_q = row[0] - top - mpmath.log(total), mpmath.log(rest / total)
                t = mpmath.mpf(step) * mpmath.mpf(feature)
                each.append(log_sum(log_q, log_p, -t) if y == 0 else log_sum(log_p, log_q, t))
            size = mpmath.fsum(map(abs, each)) / 24
            wanted = mpmath.fsum(each) / 24
            assert abs(delta - wanted) <= 1e-12 * size + SMALLEST, (step, j)


@pytest.mark.parametrize("scale", [2.0**-8, 1.0, 2.0**24, 2.0**100])
def test_deltas_of_hinge_keep_their_digits(scale: float) -> None:
    """To 1e-15 of the sum of the images' changes, against rational numbers: a long step takes a margin of 1 away."""
    x, labels, W = small_data(scale)
    around = HingeAround(x, labels, x @ W.T, W, 0.0)
    for step in (sign * size for size in STEPS for sign in (1, -1)):
        coordinates = np.arange(5)
        for j, delta in zip(coordinates, around.deltas(coordinates, np.full(5, step)), strict=True):
            total, size = Fraction(0), Fraction(0)
            for row, y, feature in zip((x @ W.T).tolist(), labels, x[:, j], strict=True):
                t = Fraction(step) * Fraction(feature)
                # The margin 1 is lost beside scores above 2^53, in the plain loss as well.
                margins = [Fraction(s - (row[y] - 1)) for s in row]
                for k in [0] if y else [1, 2, 3]:
                    change = max(0, margins[k] + (t if y else -t)) - max(0, margins[k])
                    total, size = total + change, size + abs(change)
            assert abs(Fraction(delta) * 24 - total) <= Fraction(1e-15) * size + Fraction(SMALLEST), (step, j)


@pytest.mark.mostly_daily(8)
@pytest.mark.parametrize("make", [Softmax, Hinge])
@pytest.mark.parametrize(
    ("scale", "scheme", "step"),
    [
        (10, "forward", 100.0),
        (10, "backward", 1e20),
        (1e7, "central", None),
        (1e8, "central", None),
        (1e30, "forward", None),
        (1e300, "central", None),
    ],
)
def test_deltas_agree_with_plain_calls_at_huge_weights(make: Any, scale: float, scheme: Any, step: float) -> None:
    """At every coordinate, within what the rounding of scores leaves of a difference of plain losses."""
    loss, W = make(), np.random.default_rng(1).standard_normal((10, 65)) * scale
    steps = step or EPS ** (1 / 3 if scheme == "central" else 1 / 2) * np.abs(W)
    options: dict[str, Any] = {"scheme": scheme, "step": steps, "errors": False, "executor": "serial"}
    fast = optitrip.gradient(loss, W, **options)
    plain = optitrip.gradient(loss, W, plain=True, **options)
    assert np.isfinite(plain.gradient["W"]).all()
    steps = np.abs(plain.steps["W"])
    largest = (np.abs(loss.x).mean(axis=0) * (np.abs(W) + steps)).sum(axis=1).max()
    allowed = 32 * EPS * max(1, largest) / steps
    assert (np.abs(fast.gradient["W"] - plain.gradient["W"]) <= allowed).all()


def test_a_huge_weight_of_a_black_pixel_leaves_its_neighbours_alone() -> None:
    """Its step has powers that overflow, and it changes nothing."""
    x, labels, W = small_data(1 / 64)
    steps = np.array([1e-3, 1e250, 1e-3, 1e-3, 1e-3])
    alone = SoftmaxAround(x, labels, x @ W.T, W, 0.0).deltas(np.arange(5), np.array([1e-3, 0, 1e-3, 1e-3, 1e-3]))
    assert SoftmaxAround(x, labels, x @ W.T, W, 0.0).deltas(np.arange(5), steps).tobytes() == alone.tobytes()


def test_a_step_of_one_weight_beyond_all_doubles_is_told() -> None:
    """h x overflows: the change of an image is infinite, or has a limit, and is never NaN."""
    x, labels, W = small_data()
    for make in (SoftmaxAround, HingeAround):
        up, down = make(x, labels, x @ W.T, W, 0.0).deltas(np.array([0, 0]), np.array([1.5e308, -1.5e308]))
        assert up == down == np.inf
        # All images of class 0 with a feature of one sign: in that direction all are right.
        positive = np.abs(x)
        around = make(positive, labels * 0, positive @ W.T, W, 0.0)
        assert around.deltas(np.array([0]), np.array([1.5e308]))[0] == pytest.approx(-limit(make, positive, W))


def limit(make: Any, x: Array, W: Array) -> float:
    """The loss of images of class 0 that have something of feature 0: all that a step can take away."""
    scores = (x @ W.T)[x[:, 0] > 0]
    losses = (
        np.logaddexp.reduce(scores, axis=1) - scores[:, 0]
        if make is SoftmaxAround
        else np.maximum(scores[:, 1:] - scores[:, :1] + 1, 0).sum(axis=1)
    )
    return float(losses.sum()) / len(x)


def test_the_analytic_gradient_of_a_sure_classifier_keeps_its_digits() -> None:
    """p - 1 of the right class is 0 where p is nearly 1, and the rest of its row would not sum to 0."""
    loss: Any = Softmax.__new__(Softmax)
    scores = np.array([[0.0, -50.0, -60.0], [-90.0, 5.0, 3.0], [1.0, 2.0, -700.0]])
    labels = np.array([0, 1, 1])
    found = scores.copy()
    loss.slopes(found, labels)
    for row, given, y in zip(found, scores, labels, strict=True):
        exponentials = [mpmath.exp(s) for s in given]
        for c in range(3):
            others = mpmath.fsum(e for k, e in enumerate(exponentials) if k != y)
            wanted = (-others if c == y else exponentials[c]) / mpmath.fsum(exponentials)
            assert abs(row[c] - wanted) <= 1e-13 * abs(wanted)
