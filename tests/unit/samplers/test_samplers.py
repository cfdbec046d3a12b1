"""The laws of every sampler: points of the open unit cube that their index alone decides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optitrip.core.arrays import Array
from optitrip.samplers import SAMPLERS, Sampler

SIZES = {"b": 3, "a": 1, "c": 2}
WORDS = sorted(SAMPLERS)


def drawn(sampler: Sampler, items: range, seed: int = 5) -> Array:
    """All coordinates, side by side."""
    return np.hstack(list(sampler.unit(seed, SIZES, items).values()))


@pytest.mark.parametrize("word", WORDS)
def test_a_sampler_is_found_by_its_own_word(word: str) -> None:
    """Sweep files find it under its name, and a few coordinates are no trouble."""
    assert SAMPLERS[word].name == word
    SAMPLERS[word].check(SIZES, 10)


@pytest.mark.parametrize("word", WORDS)
@given(start=st.integers(0, 2**53 - 10), count=st.integers(0, 9), seed=st.integers(-(2**70), 2**70))
def test_points_are_in_the_open_cube(word: str, start: int, count: int, seed: int) -> None:
    """Every variable has an array of its size; none reaches 0 or 1, nor comes nearer than distributions can take."""
    found = SAMPLERS[word].unit(seed, SIZES, range(start, start + count))
    assert list(found) == list(SIZES)
    for name, unit in found.items():
        assert unit.shape == (count, SIZES[name])
        assert unit.dtype == np.float64
        assert ((unit >= 2.0**-53) & (unit <= 1 - 2.0**-53)).all()


@pytest.mark.parametrize("word", WORDS)
@given(start=st.integers(0, 2**53 - 400) | st.integers(0, 400), cuts=st.sets(st.integers(1, 299), max_size=5))
def test_any_cuts_give_the_bits_of_the_whole(word: str, start: int, cuts: set[int]) -> None:
    """A row does not depend on where a draw begins or ends, so that a larger search begins as a smaller one."""
    edges = [0, *sorted(cuts), 300]
    pieces = [drawn(SAMPLERS[word], range(start + lo, start + hi)) for lo, hi in itertools.pairwise(edges)]
    assert np.vstack(pieces).tobytes() == drawn(SAMPLERS[word], range(start, start + 300)).tobytes()


@pytest.mark.parametrize("word", WORDS)
@given(order=st.permutations(list(SIZES)), start=st.integers(0, 1_000))
def test_the_order_of_variables_does_not_matter(word: str, order: list[str], start: int) -> None:
    """Another order of the same variables in a sweep file gives the same values."""
    items = range(start, start + 3)
    one, other = (SAMPLERS[word].unit(5, sizes, items) for sizes in (SIZES, {name: SIZES[name] for name in order}))
    assert {name: unit.tobytes() for name, unit in one.items()} == {
        name: unit.tobytes() for name, unit in other.items()
    }


@pytest.mark.parametrize("word", WORDS)
def test_points_are_uniform(word: str) -> None:
    """Each coordinate of 50,000 points fills a hundred cells evenly: chi-square is not above its mean by five standard
    deviations."""
    unit = drawn(SAMPLERS[word], range(50_000))
    for column in unit.T:
        counts = np.bincount((column * 100).astype(int), minlength=100)
        assert ((counts - 500) ** 2 / 500).sum() < 99 + 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize("word", WORDS)
def test_coordinates_are_not_correlated(word: str) -> None:
    """Correlations of coordinates over 50,000 points stay within five standard deviations of zero."""
    correlations = np.corrcoef(drawn(SAMPLERS[word], range(50_000)).T)
    assert np.abs(correlations - np.eye(len(correlations))).max() < 5 / np.sqrt(50_000)


@pytest.mark.parametrize("word", WORDS)
def test_seeds_differ_and_rows_differ(word: str) -> None:
    """Two seeds share no point, nor do two rows, near the first and far out."""
    rows = [drawn(SAMPLERS[word], range(start, start + 500), seed) for start in (0, 2**53 - 500) for seed in (0, 1, -1)]
    assert len(np.unique(np.vstack(rows), axis=0)) == 3_000
