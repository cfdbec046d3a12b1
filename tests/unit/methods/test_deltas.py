"""Deltas of the linear classifiers against longdouble differences, the black box and known numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from examples import ENTRIES, Structured, deltas, route_of
from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.errors import NoAnswer
from optitrip.executors.serial import Worker
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.method import gradient_of
from optitrip.methods.gradient.structured import DeltasAgreement, deltas_of
from optitrip.methods.shared import Report
from optitrip.objectives import Hinge, Softmax
from optitrip.objectives.linear.softmax import ratios, terms_needed

CLASSIFIERS = [Softmax, Hinge]
EPS = float(np.finfo(float).eps)
STEPS = [1e-10, 1.5e-8, 6e-6, 1e-4, -1e-4, 1e-2, 0.3, -3.0]


def exactly(loss: Any, W: Array, coordinate: int, step: float) -> tuple[float, float]:
    """The change of the loss in longdouble, and the mean of its magnitudes over the images."""
    wide = np.longdouble
    images, c, j = np.arange(len(loss.x)), *divmod(coordinate, loss.x.shape[1])

    def each(scores: Array) -> Array:
        right = scores[images, loss.labels][:, np.newaxis]
        if isinstance(loss, Softmax):
            return np.log(np.exp(scores - right).sum(axis=1))
        margins = scores - right + 1
        margins[images, loss.labels] = 0
        return np.maximum(margins, 0).sum(axis=1)

    before = loss.x.astype(wide) @ W.T.astype(wide)
    after = before.copy()
    after[:, c] += wide(step) * loss.x[:, j].astype(wide)
    change = each(after) - each(before)
    penalty = wide(loss.l2) * wide(step) * (2 * wide(W[c, j]) + wide(step))
    return float(change.sum() / len(images) + penalty), float(np.abs(change).mean() + abs(penalty))


@pytest.mark.mostly_daily
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("scale", [1e-4, 0.03])
@pytest.mark.parametrize("make", CLASSIFIERS)
def test_deltas_have_no_cancellation(make: type, scale: float, step: float) -> None:
    """To 1e-12 of the mean magnitude of the images' changes, whatever the step; the penalty included."""
    loss = make(l2=0.1)
    W = scale * np.random.default_rng(5).standard_normal((10, 65))
    coordinates = np.random.default_rng(6).permutation(650)[:12]
    found = loss.around(W).deltas(coordinates, np.full(12, step))
    for coordinate, delta in zip(coordinates.tolist(), found, strict=True):
        wanted, size = exactly(loss, W, coordinate, step)
        # At the smallest steps the longdouble difference is what has lost digits.
        assert abs(delta - wanted) <= 1e-12 * size + float(np.finfo(np.longdouble).eps)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("make", CLASSIFIERS)
def test_deltas_agree_with_the_black_box(make: type, precision: str) -> None:
    """Within 64 eps max(|f|, 1) of a difference of losses, or the tolerance of float32."""
    loss = make(precision=precision)
    W = 0.03 * np.random.default_rng(5).standard_normal((10, 65))
    bound = 64 * EPS * max(loss(W), 1) if precision == "float64" else loss.tolerance * loss(W)
    for coordinate, step in ((3, 1e-4), (200, -1e-2), (640, 6e-6)):
        moved = W.copy()
        moved.ravel()[coordinate] += step
        taken = moved.ravel()[coordinate] - W.ravel()[coordinate]
        (delta,) = loss.around(W).deltas(np.array([coordinate]), np.array([taken]))
        assert abs(delta - (loss(moved) - loss(W))) <= bound


def test_the_cumulants_are_those_of_a_coin() -> None:
    """k_2 to k_5 over pq: 1, q - p, 1 - 6pq, (q - p)(1 - 12pq)."""
    p = np.linspace(0, 1, 7)
    pq = p * (1 - p)
    wanted = [np.ones(7), 1 - 2 * p, 1 - 6 * pq, (1 - 2 * p) * (1 - 12 * pq)]
    for (polynomial, largest), values in zip(ratios(), wanted, strict=False):
        np.testing.assert_allclose(np.polynomial.polynomial.polyval(p, polynomial), values, atol=1e-14)
        assert largest == pytest.approx(1)


def test_the_series_is_as_long_as_its_rest_is_small() -> None:
    """Longer for longer steps, and none beyond a fifth; its own length is enough for the longest |t|."""
    lengths = [terms_needed(reach) for reach in (1e-8, 1e-4, 1e-3, 0.01, 0.1, 0.2)]
    assert lengths == sorted(lengths, key=lambda count: count or 99)
    assert terms_needed(0.0) == 1
    assert all(terms_needed(reach) is None for reach in (1.0, 50.0, 1e200, math.inf))
    for reach in (1e-8, 1e-4, 0.01, 0.2):
        p = np.linspace(0.001, 0.999, 99).astype(np.longdouble)
        count = terms_needed(reach)
        assert count is not None
        for t in (np.longdouble(reach), -np.longdouble(reach)):
            total = p * t
            for m in range(2, count + 1):
                ratio = np.polynomial.polynomial.polyval(p, ratios()[m - 2][0].astype(np.longdouble))
                total += p * (1 - p) * ratio * t**m / math.factorial(m)
            exact = np.log1p(p * np.expm1(t))
            assert (np.abs(total - exact) <= 2 * EPS * np.abs(exact)).all()


def test_kinks_are_counted_by_coordinate() -> None:
    """A margin changes its sign between W and W + h e: as many as a plain count finds."""
    loss = Hinge()
    W = 0.03 * np.random.default_rng(5).standard_normal((10, 65))
    images = np.arange(len(loss.x))

    def positive(W: Array) -> Array:
        scores = loss.x @ W.T
        margins = scores - scores[images, loss.labels][:, np.newaxis] + 1
        margins[images, loss.labels] = -1
        return margins > 0

    coordinates, steps = np.array([3, 200, 333]), np.array([0.01, -0.02, 1e-3])
    around: Any = loss.around(W)
    counted = around.kinks(coordinates, steps)
    for coordinate, step, count in zip(coordinates, steps, counted, strict=True):
        moved = W.copy()
        moved.ravel()[coordinate] += step
        assert count == (positive(moved) != positive(W)).sum()
    assert counted.sum() > 50


def answer(loss: Any, W: Array, scheme: str, step: float | None = None, plain: bool = False) -> Any:
    objective = Objective(loss, plain=plain)
    by_losses = gradient_of(Point({"W": W}, ("W",)), np.arange(W.size), scheme, step)
    route, result = route_of(by_losses, objective.capabilities, 0), None
    while True:
        try:
            stage = route.send(result)
        except StopIteration as end:
            return end.value
        result = stage.result(stage.evaluate(stage.prepare(objective), range(stage.items)))


@pytest.mark.parametrize("scheme", ["forward", "backward", "central"])
@pytest.mark.parametrize("make", CLASSIFIERS)
def test_a_gradient_by_deltas_is_the_gradient_by_losses(make: type, scheme: str) -> None:
    """Within the rounding of the losses, 64 eps max(|f|, 1) / h, at every coordinate; the table shows losses."""
    W = 0.03 * np.random.default_rng(5).standard_normal((10, 65))
    fast, slow = (answer(make(), W, scheme, 1e-4, plain) for plain in (False, True))
    bound = 64 * EPS * max(fast.loss, 1) / 1e-4
    assert (np.abs(fast.gradient["W"] - slow.gradient["W"]) <= bound).all()
    assert fast.steps["W"].tobytes() == slow.steps["W"].tobytes()
    for offset in fast.result.offsets:
        np.testing.assert_allclose(fast.result.losses(offset), slow.result.losses(offset), rtol=1e-14)


def test_tiny_steps_are_as_good_as_the_analytic_gradient() -> None:
    """Where a difference of losses has lost all its digits, deltas have lost none."""
    W = 0.03 * np.random.default_rng(5).standard_normal((10, 65))
    assert answer(Softmax(), W, "central", 1e-9).difference < 1e-12
    assert answer(Softmax(), W, "central", 1e-9, plain=True).difference > 1e-8


class Wrong(Softmax):
    """A classifier whose deltas are slightly wrong."""

    def around(self, W: Array) -> Any:
        around = super().around(W)
        right = around.deltas
        around.deltas = lambda coordinates, steps: right(coordinates, steps) * (1 + 1e-4)  # type: ignore[method-assign]
        return around


def test_deltas_that_differ_from_the_plain_call_end_the_sweep() -> None:
    """Evaluation never switches silently: both values are named."""
    W = 0.03 * np.random.default_rng(5).standard_normal((10, 65))
    with pytest.raises(NoAnswer, match=r"x with W\[\d+, \d+\] one step \+h: deltas gives .* where the plain"):
        answer(Wrong(center=False, bias=False, l2=1.0), W[:, :64] + 1, "forward", 1e-2)


class Refuses(Softmax):
    def around(self, W: Array) -> Any:
        raise MemoryError("no room for the scores")


def test_an_objective_that_cannot_be_prepared_is_reported_as_it_raised() -> None:
    """With its own message, not that of a worker; and the loss reports weights of another shape."""
    with pytest.raises(NoAnswer) as caught:
        answer(Refuses(), np.zeros((10, 65)), "forward")
    assert "MemoryError: no room for the scores" in str(caught.value)
    objective = Objective(Softmax())
    method = deltas_of(gradient_of(Point({"W": np.zeros((10, 64))}, ("W",)), np.arange(640), "forward"))
    part = method.evaluate(method.prepare(objective), range(1))
    assert "wanted (10, 65)" in part.failures.records["raised"][0].message


def test_a_coordinate_without_a_step_does_not_end_the_sweep() -> None:
    """The check of deltas passes over what the gradient itself flags."""
    W = 0.03 * np.random.default_rng(5).standard_normal((10, 65))
    W[0, 0] = 1e9  # where a step of 1e-9 changes nothing; its pixel is 0 in every image
    found = answer(Softmax(center=False), W, "forward", 1e-9)
    assert np.isnan(found.gradient["W"][0, 0])
    assert found.failures == {"no step": 1}
    assert np.isfinite(found.gradient["W"].ravel()[1:]).all()


def test_the_check_and_the_gradient_share_what_is_prepared() -> None:
    """Preparing an objective around a point may take longer than all deltas: a worker does it once."""
    prepared: list[Any] = []

    class Counted(Structured):
        def around(self, x: Array, k: int, c: float) -> Any:
            prepared.append(x)
            return super().around(x, k, c)

    worker = Worker(Objective(Counted(ENTRIES)))
    method = deltas(1 + ENTRIES)
    worker.evaluate(DeltasAgreement(method.points, 3, method=method), range(3))
    for items in (range(40), range(40, 1 + ENTRIES)):
        worker.evaluate(method, items)
    assert len(prepared) == 1
    worker.evaluate(Report(method.points, 0), range(1))
    worker.evaluate(method, range(3))
    assert len(prepared) == 2
