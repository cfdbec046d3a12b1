"""The importance of variables: against Kruskal and Wallis in SciPy, in cases with a known answer, and of a search."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import kruskal, rankdata

import optitrip
from optitrip.core.arrays import Array
from optitrip.methods.importance import LEAST, MOST_BINS, binned, importance
from optitrip.objectives import Ishigami, SobolG


def test_a_choice_is_the_statistic_of_kruskal_and_wallis() -> None:
    """(n - 1) times the plain ratio, ties included."""
    random = np.random.default_rng(1)
    codes, loss = random.integers(0, 4, 300), random.normal(size=300).round(1)
    loss += 0.3 * codes
    found = importance(codes, loss)
    assert found is not None
    statistic, _ = kruskal(*(loss[codes == code] for code in range(4)))
    ratio = statistic / 299
    assert found.share == pytest.approx(1 - (1 - ratio) * 299 / 296, abs=1e-12)
    assert found.chance == pytest.approx(1 - (1 - 7.814727903251179 / 299) * 299 / 296)  # chi-squared, 3 degrees, 95 %


def test_a_loss_of_one_parameter() -> None:
    """It explains nearly all, any other nearly nothing; a monotone function of the loss changes nothing."""
    random = np.random.default_rng(2)
    x, y = random.uniform(size=(2, 20_000))
    alone, nothing = importance(x, (x - 0.5) ** 2), importance(y, (x - 0.5) ** 2)
    assert alone is not None
    assert nothing is not None
    assert alone.share > 0.98
    assert abs(nothing.share) < 3 * nothing.chance
    assert importance(x, np.exp(50 * (x - 0.5) ** 2)) == alone


def drawn(case: str, count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Variables, of shape (d, count), and losses."""
    if case == "ishigami":
        x = random.uniform(-np.pi, np.pi, (3, count))
        return x, Ishigami().losses(*x)
    if case == "g":
        x = random.uniform(size=(8, count))
        return x[:4], SobolG().losses(**{f"x{n}": column for n, column in enumerate(x, 1)})
    if case == "one of nearly all":
        x = random.uniform(size=(2, count))
        return x, x[0] + 0.1 * x[1]
    if case == "a step":
        x = random.uniform(size=(3, count))
        return x, (x[0] > 0.137) + 0.5 * x[1] + 0.2 * x[2]
    x = random.integers(0, 2, (3, count))  # two equal variables of a sum, and one without influence
    return x, x[0] + x[1] + 0.0


@cache
def known(case: str) -> list[float]:
    """Shares of the variance of the ranks, from two million points and 800 slices of each variable."""
    x, loss = drawn(case, 2_000_000, np.random.default_rng(99))
    ranks = rankdata(loss) / len(loss)
    shares: list[float] = []
    for column in x:
        bins = column if column.dtype.kind == "i" else rankdata(column, "ordinal") * 800 // (len(column) + 1)
        bins = bins.astype(int)
        means = np.bincount(bins, ranks) / np.bincount(bins)
        levels = bins.max() + 1
        left = np.square(ranks - means[bins]).mean() * len(bins) / (len(bins) - levels)
        shares.append(1 - left / ranks.var())
    return shares


CASES = ["ishigami", "g", "one of nearly all", "a step", "two of a sum"]


@pytest.mark.daily
@pytest.mark.parametrize("count", [100, 1_000, 5_000])
@pytest.mark.parametrize("case", CASES)
def test_the_interval_and_the_level_of_chance_are_what_they_say(case: str, count: int) -> None:
    """Of 95 % intervals nine tenths hold the share, three quarters at the very least for the smoothest or roughest, and
    6 % or so of variables without influence are above their level."""
    random, shares = np.random.default_rng(3), np.array(known(case))
    times = 150
    inside, above, errors = np.zeros(len(shares)), 0, np.zeros((times, len(shares)))
    for turn in range(times):
        x, loss = drawn(case, count, random)
        for i, column in enumerate(x):
            found = importance(column, loss)
            assert found is not None
            errors[turn, i] = found.share - shares[i]
            inside[i] += abs(errors[turn, i]) < found.interval
        alone = importance(random.uniform(size=count), loss)
        above += alone is not None and alone.share > alone.chance
    assert inside.min() / times > 0.75
    assert inside.mean() / times > 0.9
    assert above / times < 0.1
    assert (np.abs(errors.mean(axis=0)) < 0.5 * errors.std(axis=0) + 0.01).all()


def test_shares_of_ishigami_are_not_lost_between_bins() -> None:
    """The second variable, whose loss rises and falls four times: bins of n^(1/3) would lose 0.08 of its 0.51."""
    x, loss = drawn("ishigami", 1_000, np.random.default_rng(4))
    for column, share in zip(x, (0.303, 0.513, 0.0), strict=True):
        found = importance(column, loss)
        assert found is not None
        assert abs(found.share - share) < 2 * found.error < 0.08


SPACE = {
    "a": {"log_uniform": [1e-3, 1]},
    "b": {"choice": ["x", "y", "z"]},
    "c": {"integer": [1, 1000]},
    "W": {"normal": [0, 1], "shape": [2]},
    "d": 3,
}


def test_the_variables_of_a_search_by_importance() -> None:
    """Scalars that are drawn, the most important first; too few candidates tell nothing."""

    def loss(a: float, b: str, c: int, W: Array, d: int) -> float:
        return np.nan if c > 900 else np.log(a) + 2 * (b == "x")

    found = optitrip.search(loss, SPACE, candidates=500, executor="serial").importance()
    assert list(found) == ["a", "b", "c"]
    a, b, c = found.values()
    assert a is not None
    assert b is not None
    assert c is not None
    assert a.share > 0.7 > b.share > 0.1 > c.chance > c.share
    few = optitrip.search(loss, SPACE, candidates=30, executor="serial").importance()
    assert few == {"a": None, "b": None, "c": None}
    largest = optitrip.search(lambda **x: -loss(**x), SPACE, candidates=500, maximize=True, executor="serial")
    assert largest.importance()["a"] == pytest.approx(a, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "loss"),
    [
        (np.arange(LEAST - 1), np.arange(LEAST - 1.0)),
        (np.zeros(100), np.arange(100.0)),
        (np.arange(100), np.zeros(100)),
    ],
)
def test_nothing_is_said_where_nothing_can_be_known(values: np.ndarray, loss: np.ndarray) -> None:
    """Too few candidates, a parameter that does not vary, a loss that does not."""
    assert importance(values, loss) is None


def test_bins_have_equal_counts_or_one_value_each() -> None:
    """Whatever the values, none is left out."""
    bins, few = binned(np.geomspace(1e-9, 1e9, 1_000))
    assert (np.bincount(bins).tolist(), few) == (pytest.approx([1_000 / 47] * 47, abs=1), False)
    places, few = binned(np.array([5, 7, 7, 9]))
    assert (places.tolist(), few) == ([0, 1, 1, 2], True)
    bins, few = binned(np.append(np.zeros(900), np.arange(1, 101)))
    assert (np.bincount(bins).sum(), few) == (1_000, False)
    assert binned(np.arange(10**6))[0].max() == MOST_BINS - 1


def test_a_conditional_variable_is_compared_where_it_exists() -> None:
    """Its share is that of a search of these candidates alone; points that a person gave are left out."""
    space: dict[str, Any] = {
        "kernel": {"choice": ["linear", "rbf"]},
        "gamma": {"uniform": [0, 1], "when": "kernel == 'rbf'"},
        "shape": {"choice": ["a", "b"], "when": "kernel == 'rbf'"},
    }

    def loss(kernel: str, gamma: float = 0.0, shape: str = "a") -> float:
        return (5.0 if kernel == "linear" else gamma) + (shape == "b") / 10

    first = [{"kernel": "linear"}] * 3
    found = optitrip.search(loss, space, candidates=400, executor="serial", first=first)
    trials = found.trials().iloc[3:]
    there = trials[trials.kernel == "rbf"]
    shares = found.importance()
    for name, values in {"gamma": there.gamma.to_numpy(), "shape": (there["shape"] == "b").to_numpy(float)}.items():
        assert shares[name] == importance(values, there.loss.to_numpy()), name
    assert shares["gamma"]
    assert shares["gamma"].share > 0.8
    assert found.stored.sample().independent
    few = optitrip.search(loss, space, candidates=60, executor="serial").importance()
    assert (few["gamma"], few["shape"]) == (None, None)
