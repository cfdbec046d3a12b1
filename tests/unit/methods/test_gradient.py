"""The numeric gradient against independent answers: analytic gradients, published problems, quotients by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, rosen

from examples import WIDE_LOSSES, around, gradient, route_of
from more_garbow_hillstrom import PROBLEMS, Problem
from optitrip import objectives
from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.flags import FAILED, LEFT_OUT, ONE_SIDED, SIDE_FAILED, UNCHANGED, WITHOUT_STEP
from optitrip.methods.gradient.method import gradient_of
from optitrip.methods.gradient.result import GradientResult
from optitrip.methods.shared import ReportResult
from optitrip.objectives import Hinge, Softmax
from optitrip.objectives.analytic import Analytic

SCHEMES = ["forward", "backward", "central"]
EPS = float(np.finfo(float).eps)


def at(x: Any, dtype: type = np.float64) -> Point:
    return Point({"x": np.asarray(x, dtype)}, ("x",))


def result(loss: Any, point: Point, scheme: str = "central", step: float | None = None) -> GradientResult:
    method = gradient_of(point, np.arange(point.size), scheme, step)
    objective = loss if isinstance(loss, Objective) else Objective(loss)
    return method.result(method.evaluate(objective, range(method.items)))


def relative_difference(a: Array, b: Array) -> float:
    """||a - b|| / (||a|| + ||b||)."""
    return float(np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b)))


@pytest.mark.parametrize(("scheme", "bound"), [("forward", 1e-6), ("backward", 1e-6), ("central", 1e-7)])
@pytest.mark.parametrize("make", [Softmax, Hinge])
def test_digits_against_the_analytic_gradient(make: type, scheme: str, bound: float) -> None:
    """Normwise, in float64, at weights where no margin is near its kink for either loss."""
    loss = make()
    W = 1e-4 * np.random.default_rng(3).standard_normal((10, 65))
    found = result(loss, Point({"W": W}, ("W",)), scheme)
    assert relative_difference(found.gradient["W"], loss.gradient(W)) <= bound


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_problems_of_more_garbow_and_hillstrom(problem: Problem, scheme: str) -> None:
    """Central to 1e-8 and one-sided to 2e-7, relative to each coordinate; what is zero, to the largest coordinate.

    Powell's badly scaled function has a curvature of 2e8 along its first coordinate and Brown's a value of 1e12, whose
    rounding alone is 1e-4; they have their own bounds.
    """
    found = result(problem.loss, at(problem.start), scheme)
    wanted = np.array(problem.gradient)
    assert found.loss == pytest.approx(problem.value, rel=1e-14)
    error = np.abs(found.gradient["x"] - wanted) / np.where(wanted, np.abs(wanted), np.abs(wanted).max())
    bounds = np.full(len(wanted), 1e-8 if scheme == "central" else 2e-7)
    if problem.name == "Powell badly scaled" and scheme != "central":
        bounds[0] = 7.6e-5
    if problem.name == "Brown badly scaled":  # the second coordinate, -4e-6, is lost in noise of 73
        bounds = np.array([5e-6 if scheme == "central" else 6e-4, np.inf])
        noise = 2 * EPS * problem.value / found.steps["x"][1]
        assert abs(found.gradient["x"][1] - wanted[1]) <= noise
    assert (error <= bounds).all(), error


STEPS = {1e-1: 5.171e-2, 1e-2: 5.017e-3, 1e-3: 5.002e-4, 1e-4: 5.000e-5, 1e-5: 5.000e-6, 1e-6: 5.000e-7}
CENTRAL = {1e-1: 1.668e-3, 1e-2: 1.667e-5, 1e-3: 1.667e-7, 1e-4: 1.667e-9}


@pytest.mark.parametrize(("scheme", "errors"), [("forward", STEPS), ("central", CENTRAL)])
def test_the_step_sweep_of_the_exponential(scheme: str, errors: dict[float, float]) -> None:
    """Relative errors at x = 1 within 1 % of the tabulated ones, and the best step as good as theory allows."""

    def error(step: float) -> float:
        return abs(float(result(lambda x: math.exp(x), at(1.0), scheme, step).gradient["x"]) / math.e - 1)

    for step, wanted in errors.items():
        assert error(step) == pytest.approx(wanted, rel=0.01)
    assert min(error(10.0**-k) for k in range(1, 15)) <= (1e-10 if scheme == "central" else 1e-8)


ANALYTIC = [one() for one in vars(objectives).values() if isinstance(one, type) and issubclass(one, Analytic)]


@pytest.mark.parametrize("loss", ANALYTIC, ids=lambda loss: type(loss).__name__)
def test_analytic_functions(loss: Analytic) -> None:
    """Central differences agree with the formulas."""
    x = np.random.default_rng(8).uniform(-2, 2, min(7, loss.dimensions[-1]))
    np.testing.assert_allclose(result(loss, at(x)).gradient["x"], loss.gradient(x), rtol=1e-7, atol=1e-7)


def test_scipy_agrees() -> None:
    """Its forward differences with the same steps divide by what was taken too; only the last bits differ."""
    x = np.random.default_rng(2).standard_normal(6)
    steps = np.sqrt(EPS) * np.maximum(1, np.abs(x))
    ours = result(lambda x: float(rosen(x)), at(x), "forward")
    np.testing.assert_allclose(ours.gradient["x"], np.asarray(approx_fprime(x, rosen, steps)), rtol=1e-12)


@given(
    x=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
    step=st.floats(1e-12, 1e3),
    scheme=st.sampled_from(SCHEMES),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_the_quotient_is_by_the_step_that_was_taken(x: list[float], step: float, scheme: str, dtype: type) -> None:
    """Law 9: a linear loss has its slope exactly where the step is representable; where x + h is x, it is flagged."""
    point = at(x, dtype)
    seen: list[Array] = []

    def loss(x: Array) -> float:
        seen.append(x.copy())
        return float(np.sum(x, dtype=np.float64))

    found = result(loss, point, scheme, step)
    base = point.values["x"].astype(np.float64)
    up = (base + step).astype(dtype).astype(np.float64) if scheme != "backward" else base
    down = (base - step).astype(dtype).astype(np.float64) if scheme != "forward" else base
    unmoved = ((up == base) & (scheme != "backward")) | ((down == base) & (scheme != "forward"))
    assert (found.flags["x"] == WITHOUT_STEP).tolist() == unmoved.tolist()
    assert np.isnan(found.gradient["x"]).tolist() == unmoved.tolist()
    taken = (up - down) / (2 if scheme == "central" else 1)
    assert found.steps["x"].tolist() == taken.tolist()
    slack = 1e-10 * (1 + np.abs(base).sum()) / np.where(unmoved, 1, taken)
    assert (np.abs(found.gradient["x"] - 1)[~unmoved] <= slack[~unmoved]).all()
    assert all(x.dtype == dtype for x in seen)


def test_a_step_below_resolution_is_flagged_never_zero() -> None:
    """Float32 at 5 with h = 1e-8: x + h is x, so there is no derivative, and the failure says what to do."""
    found = result(lambda x: float(np.sum(x, dtype=float)), at([5.0, 0.0], np.float32), "forward", 1e-8)
    assert np.isnan(found.gradient["x"][0])
    assert found.gradient["x"][1] == pytest.approx(1)
    assert found.flags["x"].tolist() == [WITHOUT_STEP, 0]
    assert found.failures.counts() == {"no step": 1}
    assert "wanted a larger step" in found.failures.records["no step"][0].message


def test_a_zero_step_and_a_base_of_nan_are_flagged() -> None:
    """Nothing silent: with no step, or at a coordinate that is no number, a derivative is missing."""
    found = result(lambda x: float(np.nansum(x)), at([1.0, 2.0]), "forward", 0.0)
    assert found.flags["x"].tolist() == [WITHOUT_STEP, WITHOUT_STEP]
    found = result(lambda x: float(np.nansum(x)), at([1.0, np.nan]), "forward")
    assert found.flags["x"].tolist() == [0, WITHOUT_STEP]
    assert np.isnan(found.gradient["x"]).tolist() == [False, True]


def test_default_steps_are_those_of_the_dtype() -> None:
    """eps^(1/2) max(1, |x|) for one-sided differences, eps^(1/3) max(1, |x|) for central ones."""
    x = [0.0, -0.5, 3.0, -200.0]
    for dtype in (np.float64, np.float32):
        eps = float(np.finfo(dtype).eps)
        for scheme, power in (("forward", 1 / 2), ("backward", 1 / 2), ("central", 1 / 3)):
            found = result(lambda x: float(np.sum(x)), at(x, dtype), scheme)
            np.testing.assert_allclose(found.steps["x"], eps**power * np.maximum(1, np.abs(x)), rtol=1e-3)


def test_an_unchanged_loss_is_flagged() -> None:
    """A loss that a step leaves as it is, to the bit, gives 0 with a flag."""
    found = result(lambda x: float(x[0]) ** 2, at([3.0, 4.0]))
    assert found.gradient["x"].tolist() == [pytest.approx(6), 0]
    assert found.flags["x"].tolist() == [0, UNCHANGED]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_fails_is_missing_and_flagged(scheme: str) -> None:
    """Law 5: exceptions, NaN and infinities on either side, by their coordinate; every other one has its value."""
    bad = {1: ValueError("no"), 2: math.nan, 3: math.inf, 4: "text"}

    def loss(x: Array) -> Any:
        moved = np.flatnonzero(x != 1)
        if len(moved) and int(moved[0]) in bad:
            outcome = bad[int(moved[0])]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        return float(np.sum(x**2))

    found = result(loss, at(np.ones(6)), scheme)
    assert (found.flags["x"] & ~np.uint16(SIDE_FAILED | ONE_SIDED)).tolist() == [0, 2, 2, 2, 2, 0]
    assert found.flags["x"].tolist() == [0, FAILED, FAILED, FAILED, FAILED, 0]
    assert np.isnan(found.gradient["x"]).tolist() == [False, True, True, True, True, False]
    np.testing.assert_allclose(found.gradient["x"][[0, 5]], 2, rtol=1e-7)
    assert found.failures.runs == {
        "infinite": ((4, 5),), "invalid": ((5, 6),), "nan": ((3, 4),), "raised": ((2, 3),)
    }  # fmt: skip


def test_one_side_of_a_central_difference_may_fail() -> None:
    """Outside of the domain on one side only: the other side gives the derivative, flagged, and the failure is recorded
    once, with its own exception."""
    found = result(lambda x: math.sqrt(x), at(0.0), step=0.1)
    assert found.failures.counts() == {"raised": 1}
    assert found.failures.records["raised"][0].type == "ValueError"
    assert found.gradient["x"] == pytest.approx(math.sqrt(0.1) / 0.1)
    assert found.flags["x"] == ONE_SIDED | SIDE_FAILED


def test_several_variables_and_constants() -> None:
    """Each variable has its own shape; what does not vary arrives as it is."""
    values = {"a": np.array(2.0), "k": np.array("rbf"), "W": np.array([[1.0, 2.0], [3.0, 4.0]]), "n": np.array(3)}

    def loss(a: float, k: str, W: Array, n: int) -> float:
        assert (type(a), k, n) == (float, "rbf", 3)
        return a**n * float(W[1, 0]) + float(W[0, 1])

    found = result(loss, Point(values, ("a", "W")))
    assert found.gradient["a"].shape == ()
    assert float(found.gradient["a"]) == pytest.approx(36)
    np.testing.assert_allclose(found.gradient["W"], [[0, 1], [8, 0]], atol=1e-9)


def test_the_base_point_is_untouched() -> None:
    """Law 8: whatever a loss does to its parameters, x is what it was, and the loss gets an error."""
    point = at([1.0, 2.0])
    before = point.values["x"].tobytes()

    def loss(x: Array) -> float:
        if x[0] > 1:
            x += 1
        return float(np.sum(x))

    found = result(loss, point, "forward")
    assert point.values["x"].tobytes() == before
    assert "read-only" in found.failures.records["raised"][0].message


def test_coordinates_that_were_not_asked_for_are_flagged() -> None:
    """A gradient along some coordinates: the others are NaN and left out, and those are as in the whole gradient."""
    some, whole = (gradient(items, "forward") for items in (21, 151))
    objective = WIDE_LOSSES["scalar"]
    part = some.result(some.evaluate(objective, range(some.items)))
    full = whole.result(whole.evaluate(objective, range(whole.items)))
    asked = part.flags["x"] != LEFT_OUT
    assert asked.sum() == 20
    assert part.gradient["x"][asked].tobytes() == full.gradient["x"][asked].tobytes()
    assert np.isnan(part.gradient["x"][~asked]).all()


def test_the_order_of_coordinates_changes_no_value_of_a_plain_loss() -> None:
    """Which item a coordinate is, is a matter of speed."""
    point = around()
    orders = [np.arange(150), np.arange(150)[::-1].copy(), np.random.default_rng(1).permutation(150)]
    found = set()
    for order in orders:
        method = gradient_of(point, order, "central")
        found.add(method.result(method.evaluate(WIDE_LOSSES["scalar"], range(151))).gradient["x"].tobytes())
    assert len(found) == 1


def test_at_zero_weights_the_losses_are_known() -> None:
    """CS231n's checks: softmax ln 10, hinge 9, and the hinge's gradient there."""
    W = np.zeros((10, 65))
    assert result(Softmax(), Point({"W": W}, ("W",))).loss == pytest.approx(math.log(10), rel=1e-14)
    hinge = result(Hinge(), Point({"W": W}, ("W",)))
    assert hinge.loss == 9
    assert relative_difference(hinge.gradient["W"], Hinge().gradient(W)) <= 1e-9


def test_digests_tell_gradients_apart() -> None:
    """Point, order, scheme and step are in the digest; how many coordinates is not."""
    point, order = around(5), np.arange(5)
    moved = Point({**point.values, "k": np.array(4)}, ("x",))
    digests = [
        gradient_of(point, order, "forward").digest(),
        gradient_of(point, order, "backward").digest(),
        gradient_of(point, order, "central").digest(),
        gradient_of(point, order, "forward", 1e-4).digest(),
        gradient_of(point, order[::-1].copy(), "forward").digest(),
        gradient_of(moved, order, "forward").digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert gradient_of(point, order, "forward", items=3).digest() == digests[0]


class Slopes:
    """A loss with a constant beside its array, whose analytic gradient is as its author likes."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __call__(self, W: Array, l2: float) -> float:
        return float(W @ [1.0, 2.0]) + l2

    def gradient(self, W: Array, l2: float) -> Any:
        return self.given


def answered(loss: Any) -> Any:
    point = Point({"W": np.array([3.0, 4.0]), "l2": np.array(0.5)}, ("W",))
    method, objective = gradient_of(point, np.arange(2), "central"), Objective(loss)
    route = route_of(method, objective.capabilities, 0)
    result: Any = None
    while True:
        try:
            stage = route.send(result)
        except StopIteration as end:
            return end.value
        result = stage.result(stage.evaluate(objective, range(stage.items)))


@pytest.mark.parametrize("given", [np.array([1.0, 2.0]), {"W": [1, 2]}, {"W": np.array([1.0, 2.0]), "l2": 1.0}])
def test_the_analytic_gradient_is_that_of_what_varies(given: Any) -> None:
    """Constants need none and may have one."""
    assert answered(Slopes(given)).difference < 1e-9


def test_an_analytic_gradient_of_nan_does_not_agree() -> None:
    """Nothing silent: a missing gradient differs from one that is known."""
    found = answered(Slopes(np.array([1.0, np.nan])))
    assert math.isnan(found.difference)
    assert found.fields(None)["gradient"]["from_analytic"] is None


def test_a_wrong_analytic_gradient_is_a_failure() -> None:
    """Its message names the shapes that were wanted; the numeric gradient is unaffected."""
    found = answered(Slopes(np.ones(3)))
    assert found.failures == {"analytic": 1}
    assert "(2,)" in found.message()
    assert found.analytic is None


def test_norms_do_not_overflow() -> None:
    """1e200 squared is infinite, a norm of 1e200 is not."""
    found = result(lambda x: 1e200 * float(np.sum(x)), at([1.0, 1.0]), step=0.5)
    method = gradient_of(at([1.0, 1.0]), np.arange(2), "central")
    assert GradientAnswer(found, method, ReportResult(), ReportResult()).norm == pytest.approx(math.sqrt(2) * 1e200)


def test_a_step_out_of_range_is_reported_as_such() -> None:
    """It is neither evaluated at infinity without a message, nor called too small."""
    found = result(lambda x: float(x[1]), at([1.7e308, 1.0]), "forward", 1e308)
    assert found.flags["x"].tolist() == [WITHOUT_STEP, 0]
    assert "after the step it is inf; wanted another step" in found.failures.records["no step"][0].message


def test_x_is_evaluated_once() -> None:
    """Central differences share f(x), whose loss may be expensive."""
    calls: list[list[float]] = []
    result(lambda x: calls.append(x.tolist()) or float(np.sum(x)), at([1.0, 2.0]))
    assert calls.count([1.0, 2.0]) == 1
    assert len(calls) == 5
