"""Conditions over variables: those that Python would compute one by one, and nothing that could do more."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from optitrip.space.expression import Expression

COUNT = 40
DRAW = np.random.default_rng(3)
VALUES: dict[str, Any] = {
    "x": DRAW.uniform(-2, 2, COUNT),
    "n": DRAW.integers(-5, 5, COUNT),
    "w": DRAW.uniform(-1, 1, (COUNT, 2, 3)),
    "kind": DRAW.choice(["rbf", "linear"], COUNT),
    "flag": DRAW.integers(0, 2, COUNT).astype(bool),
    "f": DRAW.uniform(-2, 2, COUNT).astype(np.float32),
}
OPTIONS: dict[str, Any] = dict.fromkeys(VALUES, ()) | {"kind": ("rbf", "linear"), "flag": (False, True)}
CONDITIONS = [
    "x + n < 1",
    "x ** 2 + 1 >= n / 2 - 3",
    "-1 < x < 1.5",
    "n % 3 == 1 or n // 2 == -1",
    "kind == 'rbf' and x > 0",
    "kind != 'rbf' or not flag",
    "kind in ['rbf'] and n not in (1, 2)",
    "flag",
    "not flag and (x > 0 or n > 0)",
    "abs(x) <= 1 and max(x, n) > min(x, 0.5)",
    "f <= 0.1",
    "+x > -n",
]


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_is_what_python_makes_of_it(text: str) -> None:
    """Each row against Python's own evaluation of the same text."""
    rows = [{name: column[row] for name, column in VALUES.items()} for row in range(COUNT)]
    rows = [{name: value.item() for name, value in row.items() if np.ndim(value) == 0} for row in rows]
    wanted = [eval(text, {"abs": abs, "max": max, "min": min}, row) for row in rows]
    Expression(text).check(OPTIONS, VALUES, COUNT)
    assert Expression(text).holds(VALUES, COUNT).tolist() == wanted
    assert {*Expression(text).names} <= rows[0].keys() - {"w"}


def test_arrays() -> None:
    """Entries, sums, least and largest entries, and what holds for all or any of them."""
    w = VALUES["w"]
    assert Expression("w[1, 2] > 0").holds(VALUES, COUNT).tolist() == (w[:, 1, 2] > 0).tolist()
    assert Expression("sum(w) < 0").holds(VALUES, COUNT).tolist() == [math.fsum(one.ravel()) < 0 for one in w]
    assert Expression("max(w) - min(w) < 1.5").holds(VALUES, COUNT).tolist() == (np.ptp(w, (1, 2)) < 1.5).tolist()
    assert Expression("all(w > -0.9)").holds(VALUES, COUNT).tolist() == (w > -0.9).all((1, 2)).tolist()
    assert (
        Expression("any(w > x)").holds(VALUES, COUNT).tolist() == (w > VALUES["x"][:, None, None]).any((1, 2)).tolist()
    )


def test_whole_numbers_do_not_overflow() -> None:
    """They are computed as numbers of double precision, and a division by zero is no error."""
    large = {"n": np.array([2**61, 0])}
    assert Expression("n * n * n > 0").holds(large, 2).tolist() == [True, False]
    assert Expression("1 / n > 1").holds(large, 2).tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x +", "cannot be read"),
        ("x + n", "wanted a condition"),
        ("x < z", "z is no variable"),
        ("kind == 'rfb'", "'rfb' is no option; did you mean rbf"),
        ("kind < 1", "wanted numbers where there is a text"),
        ("w > 0", r"use all\(...\) or any"),
        ("x if flag else n", "is not allowed"),
        ("x.real > 0", "is not allowed"),
        ("__import__('os').system('true') == 0", "is not allowed|not available"),
        ("(lambda: x)() > 0", "is not allowed"),
        ("[y for y in x] == 1", "is no variable|not allowed"),
        ("cosh(x) > 1", "is not available; did you mean cos"),
        ("sqrt(x, n) > 1", "takes one number"),
        ("x is 1", "wanted =="),
        ("kind in 'rbf'", "wanted a list"),
        ("w[0] < 1", r"all\(|shape"),
        ("w[0, 7] < 1", "out of bounds"),
        ("w['a'] < 1", "as an index"),
        ("(" * 500 + "x", "cannot be read"),
        ("x < 1 " + "and x < 1 " * 200, "letters"),
        ("x and n", "wanted a condition"),
        ("x < 'a'", "wanted numbers"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, said: str) -> None:
    """With what is wrong and what was wanted."""
    with pytest.raises(ValueError, match=said):
        Expression(text).check(OPTIONS, VALUES, COUNT)
