"""The laws of every sampler: points of the open unit cube that their index alone decides."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from optitrip.core.arrays import Array
from optitrip.samplers import SAMPLERS, Sampler
from optitrip.samplers.sampler import Design

SIZES = {"b": 3, "a": 1, "c": 2}
LEVELS = {"b": 11, "a": 7, "c": 3}
DESIGN = Design(SIZES, LEVELS, candidates=50_000)
WORDS = sorted(SAMPLERS)
DENSE = [word for word in WORDS if SAMPLERS[word].most(DESIGN) is None]
"""Samplers whose points come near to every point of the cube."""
ENDLESS = [word for word in DENSE if not SAMPLERS[word].identity(DESIGN)]
"""Samplers whose points are decided by the index alone, without the number of candidates, or the variables' order."""


def drawn(sampler: Sampler, items: range, seed: int = 5) -> Array:
    """All coordinates, side by side."""
    return np.hstack(list(sampler.unit(seed, DESIGN, items).values()))


@pytest.mark.parametrize("word", WORDS)
def test_a_sampler_is_found_by_its_own_word(word: str) -> None:
    """Sweep files find it under its name, and a few coordinates are no trouble."""
    assert SAMPLERS[word].name == word
    SAMPLERS[word].check(DESIGN)


@pytest.mark.parametrize("word", WORDS)
@given(start=st.integers(0, 2**53 - 10), count=st.integers(0, 9), seed=st.integers(-(2**70), 2**70))
def test_points_are_in_the_open_cube(word: str, start: int, count: int, seed: int) -> None:
    """Every variable has an array of its size; none reaches 0 or 1, nor comes nearer than distributions can take."""
    found = SAMPLERS[word].unit(seed, DESIGN, range(start, start + count))
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


@pytest.mark.parametrize("word", DENSE)
@given(order=st.permutations(list(SIZES)), start=st.integers(0, 1_000))
def test_the_order_of_variables_does_not_matter(word: str, order: list[str], start: int) -> None:
    """Another order of the same variables in a sweep file gives the same values."""
    items = range(start, start + 3)
    one, other = (SAMPLERS[word].unit(5, design, items) for design in (DESIGN, DESIGN.only(order)))
    assert {name: unit.tobytes() for name, unit in one.items()} == {
        name: unit.tobytes() for name, unit in other.items()
    }


@pytest.mark.parametrize("word", DENSE)
def test_points_are_uniform(word: str) -> None:
    """Each coordinate of 50,000 points fills a hundred cells evenly: chi-square is not above its mean by five standard
    deviations."""
    unit = drawn(SAMPLERS[word], range(50_000))
    for column in unit.T:
        counts = np.bincount((column * 100).astype(int), minlength=100)
        assert ((counts - 500) ** 2 / 500).sum() < 99 + 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize("word", DENSE)
def test_coordinates_are_not_correlated(word: str) -> None:
    """Correlations of coordinates over 50,000 points stay within five standard deviations of zero."""
    correlations = np.corrcoef(drawn(SAMPLERS[word], range(50_000)).T)
    assert np.abs(correlations - np.eye(len(correlations))).max() < 5 / np.sqrt(50_000)


@pytest.mark.parametrize("word", ENDLESS)
def test_seeds_differ_and_rows_differ(word: str) -> None:
    """Two seeds share no point, nor do two rows, near the first and far out."""
    rows = [drawn(SAMPLERS[word], range(start, start + 500), seed) for start in (0, 2**53 - 500) for seed in (0, 1, -1)]
    assert len(np.unique(np.vstack(rows), axis=0)) == 3_000


@pytest.mark.parametrize("word", WORDS)
@given(names=st.sets(st.sampled_from(list(SIZES))), start=st.integers(0, 10**6))
def test_a_variable_that_stands_alone_keeps_its_points(word: str, names: set[str], start: int) -> None:
    """Points that are said to be the same whatever other variables there are, are."""
    items = range(start, start + 3)
    whole, some = (SAMPLERS[word].unit(5, design, items) for design in (DESIGN, DESIGN.only(sorted(names))))
    assert not SAMPLERS[word].separate or all(np.array_equal(some[name], whole[name]) for name in names)


@pytest.mark.parametrize("word", ENDLESS)
def test_the_number_of_candidates_moves_no_point(word: str) -> None:
    """What is not part of a sweep's identity does not matter."""
    one, other = (replace(DESIGN, candidates=count) for count in (10, None))
    units = [SAMPLERS[word].unit(5, design, range(20)) for design in (one, other)]
    assert all(np.array_equal(units[0][name], units[1][name]) for name in SIZES)
    SAMPLERS[word].check(other)


def medians(dimensions: int, *, seeds: int, points: int) -> dict[str, float]:
    """L2-star discrepancy of each sampler that is dense, the median over seeds."""
    design = Design({"x": dimensions}, {"x": 0}, candidates=points)
    return {
        word: float(
            np.median(
                [
                    qmc.discrepancy(SAMPLERS[word].unit(seed, design, range(points))["x"], method="L2-star")
                    for seed in range(seeds)
                ]
            )
        )
        for word in DENSE
    }


@pytest.mark.daily
@pytest.mark.parametrize("dimensions", [2, 5, 10])
def test_discrepancy_is_below_that_of_random_points(dimensions: int) -> None:
    """Of 1,024 points, by SciPy, the median of 20 seeds: every other sampler fills the cube more evenly."""
    found = medians(dimensions, seeds=20, points=1_024)
    random = found.pop("random")
    assert len(found) >= 3
    assert max(found.values()) < random
