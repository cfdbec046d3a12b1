"""Mini-batches of a descent: which rows a step takes, the path that follows, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optitrip
from optitrip.core.arrays import Array
from optitrip.methods.descent.mini_batch import MiniBatch
from optitrip.objectives import Softmax
from optitrip.samplers.random import permutation


@pytest.fixture(scope="module")
def digits() -> Softmax:
    return Softmax(data="digits")


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(0, 60))
def test_every_row_once_in_an_epoch(seed: int, size: int, rest: int) -> None:
    """Mini-batches of an epoch are disjoint, of the same size, and leave out fewer rows than one more would take."""
    samples = 2 * size + rest % size
    batches = [MiniBatch(seed, step, size).rows(samples) for step in range(4)]
    for batch in batches:
        assert len(set(batch.tolist())) == size
        assert (np.diff(batch) > 0).all()
        assert 0 <= batch[0] <= batch[-1] < samples
    for first, second in (batches[:2], batches[2:]):
        assert not {*first.tolist()} & {*second.tolist()}


def test_rows_are_drawn_as_said() -> None:
    """The order of an epoch is the permutation of its own stream; another epoch and another seed have others."""
    order = permutation(3, "rows", "1", 10)
    assert MiniBatch(3, 3, 4).rows(10).tolist() == sorted(order[4:8].tolist())
    assert MiniBatch(3, 1, 4).rows(10).tolist() != MiniBatch(3, 3, 4).rows(10).tolist()
    assert MiniBatch(3, 1, 4).rows(10).tolist() != MiniBatch(4, 1, 4).rows(10).tolist()


def test_the_path_is_that_of_a_plain_loop(digits: Softmax) -> None:
    """With the loss's own gradient: momentum on the rows of each step, and the best of the losses on all data."""
    found = optitrip.descend(
        digits, np.zeros((10, 65)), rule="momentum", rate=0.05, steps=25, gradient="own", rows=100, seed=3,
        executor="serial",
    )  # fmt: skip
    weights, buffer, losses = np.zeros((10, 65)), np.zeros((10, 65)), list[float]()
    whole = {0: float(digits(weights))}
    for step in range(25):
        order = permutation(3, "rows", str(step // 14), 1437)
        part = digits.subset(order[step % 14 * 100 : step % 14 * 100 + 100])
        losses.append(part(weights))
        buffer = 0.9 * buffer + part.gradient(weights)
        weights = weights - 0.05 * buffer
        whole |= {step + 1: digits(weights)} if step + 1 in (10, 20, 25) else {}
    assert np.allclose(found.history["losses"], losses, rtol=1e-12, atol=0)
    assert found.loss == pytest.approx(min(whole.values()), rel=1e-12)
    assert found.path.best_step == min(whole, key=lambda step: whole[step])


def test_a_subset_is_the_loss_of_its_rows(digits: Softmax) -> None:
    """Its mean over disjoint subsets of the same size is that over all of their rows, and its differences fit it."""
    W = np.random.default_rng(1).normal(0, 0.1, (10, 65))
    order = permutation(1, "rows", "0", digits.samples)
    parts = [digits.subset(order[start : start + 300]) for start in range(0, 1200, 300)]
    assert np.mean([part(W) for part in parts]) == pytest.approx(digits.subset(order[:1200])(W), rel=1e-12)
    numeric = optitrip.gradient(parts[0], W, executor="serial")
    assert np.allclose(numeric.gradient["W"], parts[0].gradient(W), atol=1e-7)


def descended(*given: Any, **options: Any) -> Any:
    """`optitrip.descend`, for options of any type."""
    descend: Any = optitrip.descend
    return descend(*given, **options)


class Line:
    """A line through points, without batches: mean of (a + b t - y)^2."""

    def __init__(self) -> None:
        self.t = np.linspace(-1, 1, 50)
        self.y = 2 + 3 * self.t
        self.samples = 50

    def __call__(self, x: Array) -> float:
        return float(np.mean((x[0] + x[1] * self.t - self.y) ** 2))

    def subset(self, rows: Array) -> Any:
        part = copy.copy(self)
        part.t, part.y = self.t[rows], self.y[rows]
        return part


@pytest.mark.parametrize("source", [{"gradient": "central"}, {"gradient": "rademacher", "directions": 2}])
def test_numeric_slopes_of_ones_own_loss(source: dict[str, Any]) -> None:
    """A class of a user's reaches the minimum, which is 0 at (2, 3), by differences of its mini-batches."""
    options: dict[str, Any] = {"rate": 0.2, "steps": 200, "rows": 10, "executor": "serial", **source}
    found = descended(Line(), np.zeros(2), **options)
    assert np.allclose(found.x["x"], [2, 3], atol=1e-3)
    assert "of 10 rows" in dict(found.rows())["mini-batches"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 51}, "has 50 rows of data"),
        ({"rows": 0}, "rows"),
        ({"rows": 5, "rate": {"line_search": 1.0}}, "does not go with a line search"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    """With what was wanted."""
    with pytest.raises(optitrip.OptitripError, match=message):
        descended(Line(), np.zeros(2), **{"rate": 0.1, "steps": 3, "executor": "serial", **options})


def test_a_loss_without_rows() -> None:
    """The message says what it would have to offer."""
    with pytest.raises(optitrip.NoAnswer, match=r"subset\(rows\).*samples"):
        optitrip.descend(lambda x: float(x @ x), np.ones(2), rate=0.1, steps=3, rows=4, executor="serial")
