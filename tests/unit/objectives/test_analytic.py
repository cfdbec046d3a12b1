"""The built-in test functions against independent answers: plain loops, SciPy, known minima, central differences."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import rosen, rosen_der

from optitrip import objectives
from optitrip.core.arrays import Array
from optitrip.loss.objective import Objective
from optitrip.objectives import Ackley, Beale, Rastrigin, Rosenbrock, Sphere, StyblinskiTang
from optitrip.objectives.analytic import Analytic

PI = math.pi


def ackley(x: list[float]) -> float:
    radius = math.sqrt(sum(v * v for v in x) / len(x))
    waves = sum(math.cos(2 * PI * v) for v in x) / len(x)
    return -20 * math.exp(-0.2 * radius) - math.exp(waves) + 20 + math.e


PLAIN: dict[type[Analytic], Callable[[list[float]], float]] = {
    Sphere: lambda x: sum(v * v for v in x),
    Rosenbrock: lambda x: sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in pairwise(x)),
    Rastrigin: lambda x: 10 * len(x) + sum(v * v - 10 * math.cos(2 * PI * v) for v in x),
    Ackley: ackley,
    StyblinskiTang: lambda x: sum(v**4 - 16 * v**2 + 5 * v for v in x) / 2,
    Beale: lambda x: sum((y - x[0] + x[0] * x[1] ** k) ** 2 for k, y in ((1, 1.5), (2, 2.25), (3, 2.625))),
}
"""The textbook's formula of each, one number after the other."""
FUNCTIONS = [one() for one in vars(objectives).values() if isinstance(one, type) and issubclass(one, Analytic)]
EPS = np.finfo(float).eps

functions = st.sampled_from(FUNCTIONS)


def dimensions(function: Analytic) -> st.SearchStrategy[int]:
    return st.integers(function.dimensions[0], min(function.dimensions[-1], 40))


def batches(function: Analytic, rows: int = 7) -> st.SearchStrategy[Array]:
    """Up to `rows` points of one dimension, with entries from -5 to 5."""
    shapes = st.tuples(st.integers(1, rows), dimensions(function))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-5, 5)))


def test_every_function_is_tested() -> None:
    """One that is added needs the textbook's formula here."""
    assert {type(function) for function in FUNCTIONS} == PLAIN.keys()


@given(functions, st.data())
def test_losses_equal_a_plain_loop(function: Analytic, data: st.DataObject) -> None:
    """To 1e-12 of the largest term, for any number of points of any dimension."""
    x = data.draw(batches(function))
    expected = [PLAIN[type(function)](row) for row in x.tolist()]
    assert function.losses(x) == pytest.approx(expected, rel=1e-12, abs=1e-12 * 10 * x.shape[1])


@given(functions, st.data())
def test_batch_and_plain_call_agree(function: Analytic, data: st.DataObject) -> None:
    """Within 64 eps max(|f|, 1), the bound of the ladder's own check."""
    x = data.draw(batches(function))
    losses = function.losses(x)
    assert losses.shape == (len(x),)
    assert losses.dtype == np.float64
    bound = 64 * EPS * np.maximum(np.abs(losses), 1)
    assert (np.abs(losses - [function(row) for row in x]) <= bound).all()


@given(functions, st.data())
def test_the_bits_of_a_row_do_not_depend_on_others(function: Analytic, data: st.DataObject) -> None:
    """Whatever stands above or below it, however many there are, and however they lie in memory."""
    x = data.draw(batches(function, rows=20))
    first = data.draw(st.integers(0, len(x) - 1))
    last = data.draw(st.integers(first + 1, len(x)))
    whole = function.losses(x)
    assert function.losses(x[first:last]).tobytes() == whole[first:last].tobytes()
    assert function.losses(x[::-1]).tobytes() == whole[::-1].tobytes()
    assert function.losses(np.asfortranarray(x)).tobytes() == whole.tobytes()


@given(functions, st.data())
def test_the_gradient_is_that_of_central_differences(function: Analytic, data: st.DataObject) -> None:
    """At the step eps^(1/3) max(1, |x|), to 1e-7 of the gradient's size, away from the minimum: Ackley's has a tip."""
    x = data.draw(batches(function, rows=1))[0]
    assume(np.linalg.norm(x - function.minimum(len(x))) > 0.1)
    numeric = np.empty_like(x)
    for i in range(len(x)):
        h = np.zeros_like(x)
        h[i] = 6e-6 * max(1, abs(x[i]))
        numeric[i] = (function(x + h) - function(x - h)) / ((x + h)[i] - (x - h)[i])
    analytic = Objective(function).gradient({"x": x[np.newaxis]}, ["x"])["x"]
    assert analytic.dtype == np.float64
    scale = max(1.0, float(np.abs(analytic).max()), abs(function(x)))
    np.testing.assert_allclose(analytic, numeric, rtol=0, atol=1e-7 * scale)


@given(functions, st.data())
def test_the_known_minimum_is_one(function: Analytic, data: st.DataObject) -> None:
    """Its value is as stated and nothing is below it; the gradient there is 0 (for Ackley by agreement).

    Exactly so where the place and the value are numbers of float64, as 0 is.
    """
    d = data.draw(dimensions(function))
    place, least = function.minimum(d), function.least(d)
    assert place.shape == (d,)
    rounding = 64 * EPS * abs(least)
    assert abs(function(place) - least) <= rounding
    assert np.abs(function.gradient(place)).max() <= rounding
    assert function(place + data.draw(arrays(np.float64, d, elements=st.floats(-9, 9)))) >= least - rounding


def test_the_minimum_of_styblinski_and_tang() -> None:
    """Its place and value are the doubles nearest to those that Newton's method finds with 50 digits."""
    with localcontext(prec=50):
        x = Decimal(-3)
        for _ in range(10):
            x -= (4 * x**3 - 32 * x + 5) / (12 * x**2 - 32)
        least = (x**4 - 16 * x**2 + 5 * x) / 2
    assert StyblinskiTang().minimum(3).tolist() == [float(x)] * 3
    assert [StyblinskiTang().least(d) for d in (1, 2, 10)] == [d * float(least) for d in (1, 2, 10)]


@given(batches(Rosenbrock(), rows=1))
def test_rosenbrock_is_that_of_scipy(x: Array) -> None:
    """Value and gradient."""
    assert Rosenbrock()(x[0]) == pytest.approx(rosen(x[0]), rel=1e-13)
    np.testing.assert_allclose(Rosenbrock().gradient(x[0]), rosen_der(x[0]), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize(
    ("function", "x", "value", "gradient"),
    [
        (Rosenbrock(), (-1.2, 1), 24.2, (-215.6, -88)),
        (Beale(), (1, 1), 14.203125, (0, 27.75)),
        (Sphere(), (3, -4), 25, (6, -8)),
        (Rastrigin(), (1, -2), 5, (2, -4)),
        (StyblinskiTang(), (1, -2), -5 - 29, (-11.5, 18.5)),
        # 20 + e - 20 exp(-0.2 r) - e and 4 exp(-0.2 r) x / (d r), r = 5 / sqrt 2: every cosine of a whole number is 1.
        (Ackley(), (3, -4), 20 - 20 * math.exp(-math.sqrt(0.5)), None),
    ],
)
def test_values_that_others_published(
    function: Analytic, x: tuple[float, ...], value: float, gradient: tuple[float, ...] | None
) -> None:
    """Standard starts (More, Garbow, Hillstrom 1981), and points where the waves stand still."""
    if gradient is None:
        gradient = tuple(4 * math.exp(-math.sqrt(0.5)) * v / (5 * math.sqrt(2)) for v in x)
    assert function(np.array(x)) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(function.gradient(np.array(x)), gradient, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize(("function", "leading"), [(Rastrigin(), (1 + 20 * PI**2) * 1e-18), (Ackley(), 4e-9)])
def test_digits_are_kept_next_to_the_minimum(function: Analytic, leading: float) -> None:
    """At 1e-9 from it the loss is its leading term of Taylor, where a sum of the textbook's terms has lost digits."""
    assert function(np.array([1e-9])) == pytest.approx(leading, rel=1e-7)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_x_may_be_float32_or_whole_numbers(function: Analytic) -> None:
    """The computation is in float64 all the same."""
    wide = np.array([2.0, -1.0])
    for x in (wide.astype(np.float32), wide.astype(np.int64)):
        assert function(x) == function(wide)
        assert function.losses(x[np.newaxis]).dtype == np.float64
        assert function.gradient(x).tolist() == function.gradient(wide).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rosenbrock()(np.zeros(1)), r"x has shape \(1,\), wanted \(d,\) with d of at least 2 for Rosenbrock"),
        (lambda: Beale()(np.zeros(3)), r"shape \(3,\), wanted \(d,\) with d = 2 for Beale"),
        (lambda: Beale().losses(np.zeros((5, 3))), r"shape \(3,\), wanted \(d,\) with d = 2"),
        (lambda: Beale().gradient(np.zeros(1)), "d = 2"),
        (lambda: Beale().minimum(4), r"shape \(4,\), wanted \(d,\) with d = 2"),
        (lambda: Beale().least(1), r"shape \(1,\), wanted \(d,\) with d = 2"),
        (lambda: Sphere()(np.zeros(0)), "d of at least 1 for Sphere"),
        (lambda: Ackley()(np.array(3.0)), r"shape \(\), wanted \(d,\)"),
        (lambda: Rastrigin().losses(np.zeros((5, 2, 2))), r"shape \(2, 2\), wanted \(d,\)"),
    ],
)
def test_another_dimension_is_refused(call: Callable[[], Any], message: str) -> None:
    """With the shape that was given and the dimension that was wanted."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_frozen_and_travels(function: Analytic) -> None:
    """Nothing can be set on it; pickled and back it is equal."""
    assert pickle.loads(pickle.dumps(function)) == function
    with pytest.raises(FrozenInstanceError):
        function.block = 1  # pyright: ignore[reportAttributeAccessIssue]
