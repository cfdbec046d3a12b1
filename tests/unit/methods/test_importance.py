"""The importance of parameters: against Kruskal and Wallis in SciPy, and in cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kruskal

from optitrip.methods.search.importance import LEAST, binned, importance


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


def test_the_interval_and_the_level_of_chance_are_what_they_say() -> None:
    """Two equal parameters of a sum have half each; the interval holds that in most samples, and noise is rarely above
    its level."""
    random = np.random.default_rng(3)
    inside, above = 0, 0
    for _ in range(100):
        a, b, noise = random.integers(0, 2, (3, 400))
        found, other = importance(a, a + b + 0.0), importance(noise, a + b + 0.0)
        assert found is not None
        assert other is not None
        inside += abs(found.share - 0.5) < found.error
        above += other.share > other.chance
    assert inside > 87
    assert above < 14


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
    assert np.bincount(binned(np.geomspace(1e-9, 1e9, 1_000))).tolist() == pytest.approx([111] * 9, abs=1)
    assert binned(np.array([5, 7, 7, 9])).tolist() == [0, 1, 1, 2]
    assert np.bincount(binned(np.append(np.zeros(900), np.arange(1, 101)))).sum() == 1_000
