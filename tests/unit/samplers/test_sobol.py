"""The Sobol sampler: the points of SciPy's before they are scrambled, and what a digital net promises after."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from optitrip.core.arrays import Array
from optitrip.samplers.random import Random
from optitrip.samplers.sobol import DIGITS, INDEX_BITS, MOST_COORDINATES, Sobol, digital, directions, odd, scramble
from optitrip.space.variables import Space

ALIGN = np.uint64(64 - DIGITS)


def unscrambled(items: range, coordinate: int) -> Array:
    """Points of one coordinate without scrambling, in [0, 1)."""
    return digital(items, np.array(directions(coordinate), np.uint64) << ALIGN, 0) / 2.0**64


@pytest.mark.parametrize("blocks", [0, 1, 37])
def test_without_scrambling_they_are_the_points_of_scipy(blocks: int) -> None:
    """In all coordinates; SciPy takes the indices in the order of the Gray code."""
    start, count = blocks * 256, 256
    theirs = qmc.Sobol(MOST_COORDINATES, scramble=False).random(2**14)[start : start + count]
    index = np.arange(start, start + count)
    gray = index ^ index >> 1
    first = int(gray.min())
    ours = np.column_stack([unscrambled(range(first, first + count), c) for c in range(MOST_COORDINATES)])
    assert np.array_equal(ours[gray - first], theirs)


@given(start=st.integers(0, 2**53 - 40), count=st.integers(0, 40), coordinate=st.integers(0, MOST_COORDINATES - 1))
def test_a_row_combines_the_numbers_of_its_binary_digits(start: int, count: int, coordinate: int) -> None:
    """The table of low digits gives what a loop over the digits of each index does."""
    numbers, shift = scramble(4, coordinate)
    wanted = list[int]()
    for index in range(start, start + count):
        row = shift
        for place in range(INDEX_BITS):
            row ^= int(numbers[place]) * (index >> place & 1)
        wanted.append(row)
    assert digital(range(start, start + count), numbers, shift).tolist() == wanted


@pytest.mark.parametrize("seed", [0, 1, -3])
@pytest.mark.parametrize("coordinate", [0, 1, 17, MOST_COORDINATES - 1])
def test_the_matrix_is_lower_triangular(seed: int, coordinate: int) -> None:
    """Digit i of a product is digit i of the number, plus some of those before it: so strata are exchanged whole."""
    numbers, _ = scramble(seed, coordinate)
    plain = np.array(directions(coordinate), np.uint64) << ALIGN
    for number, given_number in zip(numbers.tolist(), plain.tolist(), strict=True):
        assert number.bit_length() == given_number.bit_length()
        assert number % 2 ** (64 - DIGITS) == 0
    assert odd(np.array([0, 1, 3, 7, 2**63, 2**63 + 1], np.uint64)).tolist() == [False, True, False, True, True, False]


@pytest.mark.parametrize("exponent", [1, 5, 10])
@settings(max_examples=5)
@given(seed=st.integers(0, 2**40), block=st.integers(0, 2**20))
def test_aligned_rows_are_stratified_in_every_coordinate(exponent: int, seed: int, block: int) -> None:
    """2^k rows from a multiple of 2^k on have one point in each of 2^k equal intervals."""
    count = 2**exponent
    unit = Sobol().unit(seed, {"x": MOST_COORDINATES}, range(block * count, (block + 1) * count))["x"]
    cells = np.sort((unit * count).astype(int), axis=0)
    assert (cells == np.arange(count)[:, np.newaxis]).all()


@given(seed=st.integers(0, 2**40), block=st.integers(0, 2**20), exponent=st.integers(0, 8))
def test_two_coordinates_fill_every_shape_of_box(seed: int, block: int, exponent: int) -> None:
    """The first two are a (0, 2)-sequence: one of 2^k points in each box of 2^-j by 2^-(k - j), for every j."""
    count = 2**exponent
    unit = Sobol().unit(seed, {"x": 2}, range(block * count, (block + 1) * count))["x"]
    for j in range(exponent + 1):
        boxes = (unit[:, 0] * 2**j).astype(int) * 2 ** (exponent - j) + (unit[:, 1] * 2 ** (exponent - j)).astype(int)
        assert sorted(boxes.tolist()) == list(range(count))


def test_the_mean_of_a_smooth_function_is_nearer() -> None:
    """The root mean square error over seeds is a twentieth of that of random points, or less."""
    sizes = {"x": 4}

    def error(sampler: Sobol | Random) -> float:
        means = [np.prod(1.5 - sampler.unit(seed, sizes, range(1_024))["x"], axis=1).mean() for seed in range(30)]
        return float(np.sqrt(np.mean(np.square(np.array(means) - 1))))

    assert error(Sobol()) < error(Random()) / 20


def test_coordinates_go_to_variables_by_name() -> None:
    """Variables take the coordinates in the order of their names: a last one moves nothing, one before does."""
    items = range(100)
    few = Sobol().unit(0, {"b": 2}, items)["b"]
    later, earlier = (Sobol().unit(0, {"b": 2, name: 1}, items)["b"] for name in "ca")
    assert later.tobytes() == few.tobytes()
    assert earlier[:, 0].tobytes() == few[:, 1].tobytes()


def test_more_coordinates_than_it_is_good_for_are_refused() -> None:
    """The message has how many numbers it draws, and which sampler takes them."""
    Sobol().check({"x": MOST_COORDINATES})
    with pytest.raises(ValueError, match=r"was 'sobol' for 51 numbers per candidate; it suits at most 50\. Use"):
        Sobol().check(Space.parse({"x": {"shape": [51], "uniform": [0, 1]}}).design())
