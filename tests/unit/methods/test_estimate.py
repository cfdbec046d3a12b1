"""Difference schemes and their error estimates, against exact derivatives of polynomials and of hard functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optitrip
from derivatives.problems import problems
from optitrip.core.arrays import Array
from optitrip.methods.gradient.estimate import derivatives
from optitrip.methods.gradient.flags import BELOW_NOISE, IMPRECISE, KINK, ONE_SIDED, SIDE_FAILED
from optitrip.methods.gradient.schemes import SCHEMES

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

ORDERS = {"forward": 1, "backward": 1, "central": 2, "four_point": 4, "richardson": 6}


def differences(scheme: str, loss: Any, h: float, *, errors: bool, moved: Any = None) -> Any:
    """Derivatives at 0, with points moved elsewhere if so wanted."""
    offsets = SCHEMES[scheme].nodes(errors=errors)
    taken = np.array([[h * offset] for offset in offsets]) if moved is None else np.array(moved)[:, None]
    deltas = np.array([[loss(float(t[0])) - loss(0.0)] for t in taken])
    return derivatives(SCHEMES[scheme], offsets, taken, deltas, np.zeros_like(deltas))


@pytest.mark.parametrize("errors", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_is_exact_to_its_order(scheme: str, errors: bool) -> None:
    """For polynomials of that degree, and its error for the next power is that of the formula."""
    order = ORDERS[scheme]
    for degree in range(1, order + 1):
        found = differences(scheme, lambda t, n=degree: 1 + t + t**n, 0.5, errors=errors)
        assert found.value[0] == pytest.approx(2 if degree == 1 else 1, rel=1e-12)
    wrong = differences(scheme, lambda t: 1 + t + t ** (order + 1), 0.5, errors=errors).value[0] - 1
    factor = {"forward": 1, "backward": -1, "central": 1, "four_point": -4, "richardson": 1 / 64}[scheme]
    assert wrong == pytest.approx(factor * 0.5**order, rel=1e-9)


@given(
    places=st.lists(st.integers(-40, 40).filter(bool), min_size=4, max_size=4, unique=True),
    coefficients=st.lists(st.floats(-3, 3), min_size=5, max_size=5),
)
def test_points_anywhere_give_the_derivative_of_their_polynomial(places: list[int], coefficients: list[float]) -> None:
    """As at limits, where steps are of other lengths: exact for a polynomial of degree four."""
    polynomial = np.polynomial.Polynomial(coefficients)
    found = differences("four_point", lambda t: float(polynomial(t)), 1.0, errors=True, moved=[p / 20 for p in places])
    size = max(1.0, float(np.abs(coefficients).max())) * 1e4
    assert found.value[0] == pytest.approx(coefficients[1], abs=1e-9 * size)


def test_a_missing_side_leaves_the_other() -> None:
    """The polynomial goes through what is left; alone, a single point says nothing of its error."""
    scheme, offsets = SCHEMES["central"], SCHEMES["central"].nodes(errors=True)
    taken = np.array([[offset * 0.1] for offset in offsets])
    deltas = np.expm1(taken)
    deltas[[1, 3]] = np.nan
    found = derivatives(scheme, offsets, taken, deltas, np.zeros_like(deltas))
    assert abs(found.value[0] - 1) <= found.error[0] <= 0.2
    assert found.one_sided[0]
    deltas[2] = np.nan
    found = derivatives(scheme, offsets, taken, deltas, np.zeros_like(deltas))
    assert found.error[0] >= found.value[0] == pytest.approx(math.expm1(0.1) / 0.1)
    deltas[0] = np.nan
    assert np.isnan(derivatives(scheme, offsets, taken, deltas, np.zeros_like(deltas)).value[0])


PROBLEMS = problems()
KINDS = sorted({problem.kind for problem in PROBLEMS})
DAILY = {"noise 1e-10", "noise 0.001", "hard", "nist"}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.daily] * (kind in DAILY)) for kind in KINDS])
@pytest.mark.parametrize("scheme", [None, pytest.param("central", marks=pytest.mark.daily)])
def test_errors_cover_the_truth(kind: str, scheme: str | None) -> None:
    """98 % of the entries of the published problems and 95 % under noise are within their error, which in the median is
    no more than 20 times the true one (50 under noise). Seeded, so this is no matter of luck."""
    within: list[bool] = []
    ratios: list[float] = []
    for problem in (one for one in PROBLEMS if one.kind == kind):
        with np.errstate(all="ignore"):
            found = optitrip.gradient(problem.loss, problem.x, scheme=scheme, executor="serial")
        error, bar = np.abs(found.gradient["x"] - problem.gradient), found.error["x"]
        within += (error <= bar).tolist()
        ratios += (bar / np.maximum(error, 1e-300)).tolist()
    noisy = kind.startswith(("noise", "float32"))
    assert np.mean(within) >= (0.95 if noisy else 0.98)
    assert np.median(ratios) <= (50 if noisy else 20)


def test_the_error_of_a_certified_solution_is_told() -> None:
    """At the solution of a fit, differences with the textbook step are far too large; here they are right, and their
    error is told."""
    (problem,) = (one for one in PROBLEMS if one.name == "MGH10 certified")
    textbook = optitrip.gradient(
        problem.loss, problem.x, scheme="forward", step={"relative": 1.5e-8}, executor="serial"
    )
    found = optitrip.gradient(problem.loss, problem.x, executor="serial")
    assert np.abs(textbook.gradient["x"] / problem.gradient - 1).max() > 10
    assert (textbook.error["x"] >= np.abs(textbook.gradient["x"] - problem.gradient)).all()
    assert np.abs(found.gradient["x"] / problem.gradient - 1).max() < 0.02
    assert (found.error["x"] >= np.abs(found.gradient["x"] - problem.gradient)).all()


@pytest.mark.parametrize("scheme", [None, "central", "richardson"])
def test_a_kink_at_x_is_flagged(scheme: str | None) -> None:
    """There is no derivative; the error spans the slopes to both sides. Beside the kink, it is an ordinary point."""

    def loss(x: Array) -> float:
        return float(abs(x[0]) + 2 * max(0.0, float(x[1])) + x[2] ** 2)

    found = optitrip.gradient(loss, np.array([0.0, 0.0, 1.0]), scheme=scheme, executor="serial")
    assert (found.flags["x"] & KINK > 0).tolist() == [True, True, False]
    assert abs(found.gradient["x"][0]) <= 1
    assert found.error["x"][0] >= 1 - 1e-6
    assert (abs(found.gradient["x"][1] - np.array([0, 2])) <= found.error["x"][1] * (1 + 1e-6)).all()
    assert "at kinks" in dict(found.rows())
    beside = optitrip.gradient(loss, np.array([1e-4, -1e-6, 1.0]), scheme=scheme, executor="serial")
    np.testing.assert_allclose(beside.gradient["x"], [1, 0, 2], atol=1e-6)
    assert (beside.flags["x"] & KINK == 0).all()
    assert (np.abs(beside.gradient["x"] - [1, 0, 2]) <= beside.error["x"]).all()


def test_a_small_scale_is_found() -> None:
    """1/x at 1e-12, where the first step reaches over the pole: a second round with a step in proportion to x."""
    found = optitrip.gradient(lambda x: 1 / x, 1e-12, executor="serial")
    assert found.gradient["x"] == pytest.approx(-1e24, rel=1e-8)
    assert found.flags["x"] == 0


def test_at_the_edge_of_a_domain_the_other_side_gives_the_derivative() -> None:
    """x^1.5 has none below 0; the failure is recorded, and the coordinate flagged."""
    found = optitrip.gradient(lambda x: x * math.sqrt(x), 0.0, executor="serial")
    assert abs(found.gradient["x"]) <= found.error["x"]
    assert found.flags["x"] & ONE_SIDED
    assert found.flags["x"] & SIDE_FAILED
    assert found.failures == {"raised": 1}


def test_what_is_lost_in_noise_is_flagged() -> None:
    """An entry of 1e-20 beside a loss of 1e6 cannot be told from 0."""
    found = optitrip.gradient(lambda x: 1e6 + float(x[0]) + 1e-20 * float(x[1]), np.ones(2), executor="serial")
    assert (found.flags["x"] & (IMPRECISE | BELOW_NOISE) > 0).tolist() == [False, True] or found.flags["x"][1] & 1
    assert found.gradient["x"][0] == pytest.approx(1, rel=1e-6)
