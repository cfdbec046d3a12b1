"""The Halton sampler: known points, strata, and every place where a sweep draws a candidate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc
from typer.testing import CliRunner

from optitrip.cli.main import app
from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.samplers import Sampler
from optitrip.samplers.halton import EDGE, MOST_COORDINATES, PRIMES, Halton, digits, radical_inverse, scramble
from optitrip.samplers.random import Random
from optitrip.space.candidates import Candidates
from optitrip.space.variables import arguments
from optitrip.store.lookup import read
from optitrip.store.provenance import hash_of_candidates

HALTON: Sampler = Halton()
HERE = Path(__file__).parents[2] / "support"
SEARCH = """
seed = 3
[objective]
loss = "examples:scalar"
[space]
x = { shape = [3], normal = [0, 1] }
k = { integer = [1, 9] }
c = 2.5
[method]
use = "search"
sampler = "halton"
candidates = 300
[run]
executor = "serial"
[tracking]
use = "none"
"""
GRADIENT = (
    SEARCH.replace('use = "search"', 'use = "gradient"\nat = { candidate = 77 }')
    .replace("candidates = 300\n", "")
    .replace("k = { integer = [1, 9] }", "k = { uniform = [1, 9] }")
)


def unscrambled(items: range, base: int) -> Array:
    return radical_inverse(items, base, np.tile(np.arange(base), (digits(base), 1)))


@pytest.mark.parametrize("start", [0, 1, 12_345])
def test_without_permutations_it_is_the_sequence_of_the_textbooks(start: int) -> None:
    """SciPy's Halton sequence gives the same points in all coordinates."""
    theirs = qmc.Halton(MOST_COORDINATES, scramble=False).fast_forward(start).random(500)
    ours = np.column_stack([unscrambled(range(start, start + 500), base) for base in PRIMES])
    assert ours == pytest.approx(theirs, rel=0, abs=1e-15)


def one(index: int, base: int, permutations: Array) -> float:
    """A point in Python's integers, digit by digit."""
    total = 0
    for permutation in permutations.tolist():
        index, digit = divmod(index, base)
        total = total * base + permutation[digit]
    return (2 * total + 1) / (2 * base ** len(permutations))


@given(st.integers(0, 2**53), st.sampled_from(PRIMES), st.integers(0, 3))
def test_a_point_is_its_digits(index: int, base: int, seed: int) -> None:
    """Any index up to 2^53 gives the number that its permuted digits say, to the last bit but one."""
    permutations = scramble(seed, base)
    assert base ** len(permutations) > 2**53
    (found,) = radical_inverse(range(index, index + 1), base, permutations)
    assert found == pytest.approx(one(index, base, permutations), rel=2.0**-51)


@pytest.mark.parametrize("base", PRIMES)
def test_a_scramble_permutes_every_digit(base: int) -> None:
    """Each place has a permutation of all digits; places and seeds have their own."""
    found = scramble(0, base)
    assert (np.sort(found, axis=1) == np.arange(base)).all()
    assert len(np.unique(found, axis=0)) > min(base - 1, len(found) // 2)
    assert not np.array_equal(found, scramble(1, base))


@pytest.mark.parametrize("digit", [0, -1])
def test_the_outermost_points_are_inside(digit: int) -> None:
    """If every digit is the lowest, or the highest, the point is not nearer to 0 or 1 than distributions can take."""
    for base in PRIMES:
        order = np.roll(np.arange(base), -digit if digit else 0)
        (found,) = radical_inverse(range(0, 1), base, np.tile(order, (digits(base), 1)))
        assert EDGE <= (1 - found if digit else found) <= 4 * EDGE


@pytest.mark.parametrize("place", range(0, MOST_COORDINATES, 3))
def test_every_coordinate_is_stratified(place: int) -> None:
    """b^k rows from a multiple of b^k on have one point in each of b^k intervals, in every coordinate."""
    base = PRIMES[place]
    count = base ** max(1, int(np.log(5_000) / np.log(base)))
    for start in (0, 3 * count, 2**40 // count * count):
        unit = Halton().unit(9, {"x": MOST_COORDINATES}, range(start, start + count))["x"][:, place]
        assert sorted((unit * count).astype(int).tolist()) == list(range(count))


@pytest.mark.parametrize(("coordinates", "ratio"), [(2, 0.1), (5, 0.2), (10, 0.4), (20, 0.8)])
def test_points_are_more_even_than_random_ones(coordinates: int, ratio: float) -> None:
    """The discrepancy of 1,000 points, as SciPy computes it, is a fraction of that of random points."""
    sizes = {"x": coordinates}
    ours, theirs = (
        np.median([qmc.discrepancy(sampler.unit(seed, sizes, range(1_000))["x"]) for seed in range(5)])
        for sampler in (Halton(), Random())
    )
    assert ours < ratio * theirs


def test_bases_go_to_variables_by_name() -> None:
    """Variables take the primes in the order of their names: one that comes last moves nothing, one before does."""
    items = range(100)
    few = Halton().unit(0, {"b": 2}, items)["b"]
    later, earlier = (Halton().unit(0, {"b": 2, name: 1}, items)["b"] for name in "ca")
    assert later.tobytes() == few.tobytes()
    assert earlier[:, 0].tobytes() == few[:, 1].tobytes()


def test_more_coordinates_than_it_is_good_for_are_refused(tmp_path: Path) -> None:
    """The message has the file's line, how many numbers it draws, and which sampler takes them."""
    Halton().check({"x": MOST_COORDINATES})
    path = tmp_path / "wide.toml"
    path.write_text(SEARCH.replace("shape = [3]", "shape = [10, 65]"))
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "wide.toml:11: method.sampler: was 'halton' for 651 numbers per candidate" in message
    assert 'at most 40. Use sampler = "random"' in message


def run(*words: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, words), "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    (tmp_path / "even.toml").write_text(SEARCH)
    (tmp_path / "slope.toml").write_text(GRADIENT)
    return tmp_path


def candidate(folder: Path, index: int, file: str = "even.toml") -> dict[str, Any]:
    """A candidate without anything of a sweep: the sampler's point, through the space."""
    sweep = read(folder / file)
    unit = Halton().unit(3, sweep.space.sizes, range(index, index + 1))
    return arguments(sweep.space.values(unit, 1), 0)


def same(one: Any, other: Any) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_search_finds_a_halton_candidate_and_replays_it(folder: Path) -> None:
    """The best, its file and its replay are the candidate of that index; a random search has another identity."""
    found = run("sweep", "even.toml")
    index, loss = found["best"]["index"], found["best"]["loss"]
    with np.load(found["best"]["file"]) as best:
        assert same(candidate(folder, index), {name: best[name] for name in best.files})
    x = candidate(folder, index)["x"]
    shown = CliRunner().invoke(app, ["replay", "even", str(index)])
    lines = shown.stdout.splitlines()
    assert lines[1] == f"  x = {np.array2string(x)}"
    assert float(lines[-1]) == loss
    assert read(folder / "even.toml").identity != read(folder / "even.toml", ["method.sampler=random"]).identity


@pytest.mark.daily
def test_resuming_and_shards_change_nothing(folder: Path) -> None:
    """A search that is extended, and one that is shared out and merged, have the losses of one that was not."""
    whole = run("sweep", "even.toml", "--state-dir", "whole")
    run("sweep", "even.toml", "--state-dir", "resumed", "--set", "method.candidates=120")
    resumed = run("sweep", "even.toml", "--state-dir", "resumed")
    assert resumed["evaluated"] == 180
    for shard in ("1/2", "2/2"):
        run("sweep", "even.toml", "--state-dir", "shards", "--shard", shard)
    parts = sorted(str(path) for path in (folder / "shards").iterdir())
    merged = run("merge", *parts, "--state-dir", "merged")
    assert whole["best"]["loss"] == resumed["best"]["loss"] == merged["best"]["loss"]
    files = [Path(one["state_dir"]) / "candidates.parquet" for one in (whole, resumed, merged)]
    assert len({file.read_bytes() for file in files}) == 1


def test_a_gradient_starts_at_the_candidate_of_its_sampler(folder: Path) -> None:
    """`at = { candidate = n }` is candidate n of a search with that sampler, not one of the random sampler."""
    wanted = candidate(folder, 77, "slope.toml")
    found = run("sweep", "slope.toml")
    with np.load(Path(found["state_dir"]) / "point.npz") as point:
        assert same(wanted, {name: point[name] for name in point.files})
    random = read(folder / "slope.toml", ["method.sampler=random"])
    assert not same(wanted, random.start_point.values)


def test_provenance_hashes_halton_points(folder: Path) -> None:
    """The hash in a sweep's provenance is of its own candidates: a sampler that changed is found."""
    sweep = read(folder / "even.toml")
    assert sweep.candidates == Candidates(sweep.space, 3, "halton", together=sweep.items)
    assert hash_of_candidates(sweep.candidates) != hash_of_candidates(Candidates(sweep.space, 3, "random"))
