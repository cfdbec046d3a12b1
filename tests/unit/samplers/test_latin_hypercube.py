"""The Latin hypercube sampler: strata, streams, and a number of candidates that is part of the sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import optitrip as command
from optitrip.errors import InputError
from optitrip.samplers.latin_hypercube import MOST_NUMBERS, LatinHypercube
from optitrip.samplers.random import open_unit, permutation, stream_key, words
from optitrip.samplers.sampler import Design
from optitrip.space.candidates import Candidates
from optitrip.space.columns import scalar_columns
from optitrip.space.variables import Space
from optitrip.store.lookup import read

SWEEP = """
seed = 3
[objective]
loss = "optitrip.objectives:Sphere"
[space]
x = { shape = [3], uniform = [-1, 1] }
[method]
use = "search"
sampler = "latin_hypercube"
candidates = 40
[run]
executor = "serial"
[tracking]
use = "none"
"""


def design(count: int | None, **sizes: int) -> Design:
    return Design(sizes, dict.fromkeys(sizes, 0), count)


@given(seed=st.integers(0, 2**40), count=st.integers(1, 300))
def test_one_point_in_each_stratum(seed: int, count: int) -> None:
    """Every coordinate has one of N points in each of N equal intervals."""
    unit = LatinHypercube().unit(seed, design(count, x=3, y=1), range(count))
    for column in np.hstack([unit["x"], unit["y"]]).T:
        assert sorted((column * count).astype(int).tolist()) == list(range(count))


def test_a_row_is_a_permutation_plus_a_point_of_the_random_sampler() -> None:
    """The streams are those that the module names."""
    unit = LatinHypercube().unit(9, design(50, x=2), range(50))["x"]
    for place in range(2):
        strata = permutation(9, "scramble", f"latin_hypercube {place} x", 50)
        within = open_unit(words(stream_key(9, "candidate", "x"), 0, 100)).reshape(50, 2)[:, place]
        assert np.array_equal(unit[:, place], (strata + within) / 50)


def test_coordinates_and_seeds_have_permutations_of_their_own() -> None:
    """Neither another coordinate, nor another variable or seed, has the same order."""
    units = [LatinHypercube().unit(seed, design(64, x=2, y=1), range(64)) for seed in (0, 1)]
    orders = {tuple(np.argsort(column)) for unit in units for column in np.hstack([unit["x"], unit["y"]]).T}
    assert len(orders) == 6


def test_limits() -> None:
    """A candidate for itself, or more numbers than workers shall hold, are refused with advice."""
    LatinHypercube().check(design(MOST_NUMBERS // 2, x=2))
    with pytest.raises(ValueError, match=r'all candidates of a search together.*sampler = "random", "halton"'):
        LatinHypercube().check(design(None, x=2))
    with pytest.raises(ValueError, match=r"33,554,434 in all; every worker holds them, and at most 33,554,432 are"):
        LatinHypercube().check(design(MOST_NUMBERS // 2 + 1, x=2))


def test_the_number_of_candidates_is_part_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is another sweep, which says why; with other samplers it is the same one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cube.toml").write_text(SWEEP)
    sweeps = [read(tmp_path / "cube.toml", [f"method.candidates={count}"]) for count in (40, 80)]
    assert sweeps[0].identity != sweeps[1].identity
    assert sweeps[0].candidates != sweeps[1].candidates
    assert sweeps[0].identity_fields["method"]["design"] == "latin_hypercube of 40 candidates"
    random = [
        read(tmp_path / "cube.toml", ["method.sampler=random", f"method.candidates={count}"]) for count in (40, 80)
    ]
    assert random[0].identity == random[1].identity
    assert "design" not in random[0].identity_fields["method"]
    said = [command(tmp_path, "sweep", "cube.toml", "--set", f"method.candidates={count}").stderr for count in (40, 80)]
    assert "method.design: latin_hypercube of 40 candidates -> latin_hypercube of 80 candidates" in said[1]


def test_one_candidate_of_a_gradient_is_refused(tmp_path: Path) -> None:
    """With the line of the file."""
    text = SWEEP.replace('use = "search"', 'use = "gradient"\nat = { candidate = 0 }').replace("candidates = 40\n", "")
    (tmp_path / "slope.toml").write_text(text)
    with pytest.raises(InputError, match=r"slope\.toml:10: method\.sampler: was 'latin_hypercube', which draws all"):
        read(tmp_path / "slope.toml")


def test_a_table_of_candidates_has_their_values() -> None:
    """Some variables of some rows are those of the whole design."""
    space = Space.parse({"a": {"uniform": [0, 1], "shape": [2]}, "b": {"uniform": [0, 1]}})
    candidates = Candidates(space, 1, "latin_hypercube", together=90)
    columns = scalar_columns(candidates, np.array([80, 3]))
    assert columns["b"].tolist() == [candidates.point(n)["b"][0] for n in (80, 3)]
