"""The best candidates of a noisy search, evaluated again: the mean is honest, and the right one is found as often as
theory says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import optitrip
from command import optitrip as run_optitrip
from optitrip.methods.search.recheck import Recheck, RecheckTable

SPACE = {"x": {"uniform": [-1, 1]}}
SIGMA = 0.5


def noisy(x: float, seed: int) -> float:
    """x squared, with normal noise."""
    return x * x + SIGMA * float(np.random.default_rng(seed).normal())


def steep(x: float, seed: int) -> float:
    """A thousand times x, with the same noise."""
    return 1_000 * x + SIGMA * float(np.random.default_rng(seed).normal())


def test_the_winner_has_the_best_mean() -> None:
    """The mean of the evaluations, which are not those of the search; the answer's loss is that mean."""
    found = optitrip.search(noisy, SPACE, candidates=200, recheck={"best": 20, "repeats": 5})
    again = found.recheck
    assert again is not None
    assert again.losses.shape == (20, 5)
    np.testing.assert_allclose(again.means, again.losses.mean(axis=1))
    np.testing.assert_allclose(again.errors, again.losses.std(axis=1, ddof=1) / np.sqrt(5))
    assert found.loss == again.means[0] == again.means.min()
    assert found.index == again.index[0]
    assert not np.isin(again.losses, found.losses).any()
    assert sorted(again.searched) == sorted(found.losses)[:20]
    assert found.evaluations == 200 + 100
    assert "standard error" in repr(found)


def test_how_sure_a_recheck_is_fits_in_a_line() -> None:
    """The mean's standard error first, then how many may be as good, then how far they are behind."""
    for recheck, doubt in (({"best": 20, "repeats": 5}, True), ({"best": 2, "repeats": 400}, False)):
        found = optitrip.search(noisy if doubt else steep, SPACE, candidates=30, recheck=recheck)
        again: Any = found.recheck
        reasons = found.how_sure()
        assert reasons[0] == f"mean of {recheck['repeats']}, standard error {again.errors[0]:.3g}"
        others = f" and {again.as_good - 1} others" if again.as_good > 1 else ""
        assert (reasons[1] == f"candidate {again.index[1]}{others} may be as good") == doubt
        difference, error = again.behind(1)
        behind = f"candidate {again.index[1]} is {difference:.3g} behind, with a standard error of {error:.3g}"
        assert reasons[1 + doubt :] == [behind, f"in the search it was {again.searched[0]:.6g}"]


def test_the_search_alone_is_too_good_to_be_true() -> None:
    """The best of 200 is far below any true value, which the mean is not."""
    blind = optitrip.search(noisy, SPACE, candidates=200)
    found = optitrip.search(noisy, SPACE, candidates=200, recheck={"best": 20, "repeats": 50})
    assert blind.loss < -0.8
    assert abs(found.loss - found.x["x"] ** 2) < 5 * SIGMA / np.sqrt(50)


def test_of_the_largest_the_best_mean_is_the_largest() -> None:
    """Losses keep their sign."""
    found = optitrip.search(noisy, SPACE, candidates=100, maximize=True, recheck={"best": 5, "repeats": 4})
    assert found.recheck is not None
    assert found.loss == found.recheck.means.max()


def test_candidates_that_fail_again_are_left_out() -> None:
    """Their finite losses count if there are two; without any such candidate there is no answer."""

    def fails_later(x: float, seed: int) -> float:
        return np.nan if x < -0.5 and seed % 2 else x

    found = optitrip.search(fails_later, SPACE, candidates=60, recheck={"best": 10, "repeats": 4})
    assert found.recheck is not None
    assert (found.recheck.counts < 4).any()
    assert found.recheck.counts[0] >= 2
    assert found.failures["nan"] > 0
    searched: list[float] = []

    def only_once(x: float) -> float:
        searched.append(x)
        return x if searched.count(x) == 1 else np.nan

    with pytest.raises(optitrip.NoAnswer, match="evaluated again has 2 finite"):
        optitrip.Session(executor="serial").search(
            optitrip_holder(only_once), SPACE, candidates=10, recheck={"best": 3, "repeats": 2}
        )


class Holder:
    """A loss that cannot be copied, so that it is called in this process as it is."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def __call__(self, x: float) -> float:
        return self.call(x)

    def __reduce__(self) -> Any:
        raise TypeError("it stays here")


def optitrip_holder(call: Any) -> Holder:
    return Holder(call)


@pytest.mark.daily
@pytest.mark.thorough
def test_the_interval_covers_the_true_loss() -> None:
    """The mean ± t·se at 95 % of a fixed candidate covers its true loss in 93 to 97 % of 1,000 sweeps."""
    t = stats.t.ppf(0.975, 4)
    covered = 0
    with optitrip.Session(executor="serial") as session:
        for seed in range(1_000):
            found = session.search(noisy, {"x": 0.5}, candidates=1, seed=seed, recheck={"best": 1, "repeats": 5})
            assert found.recheck is not None
            covered += abs(found.loss - 0.25) <= t * found.recheck.errors[0]
    assert 930 <= covered <= 970


@pytest.mark.daily
@pytest.mark.thorough
def test_the_true_best_is_found_as_often_as_theory_says() -> None:
    """Of 20 candidates, the means of 5 find the one with the best true loss as often as an integral over its mean says,
    to 4 standard errors."""
    error, grid = SIGMA / np.sqrt(5), np.linspace(-8, 8, 2_001)
    chances: list[float] = []
    wins = 0
    with optitrip.Session(executor="serial") as session:
        for seed in range(400):
            found = session.search(noisy, SPACE, candidates=20, seed=seed, recheck={"best": 20, "repeats": 5})
            true = np.array([found.candidates.point(n)["x"][0] for n in range(20)]) ** 2
            best = int(true.argmin())
            means = true[best] + grid * error
            others = np.prod([stats.norm.sf((means - one) / error) for one in np.delete(true, best)], axis=0)
            chances.append(float(np.trapezoid(stats.norm.pdf(grid) * others, grid)))
            wins += found.index == best
    expected = np.array(chances)
    assert abs(wins - expected.sum()) < 4 * np.sqrt((expected * (1 - expected)).sum())


def test_a_recheck_is_kept_and_extended(tmp_path: Path) -> None:
    """It can be added to a finished search, which is not evaluated again, nor are repeats that are stored; taken away
    again, the answer is that of before."""
    (tmp_path / "rechecked_lab.py").write_text(
        "import random\n\n\ndef loss(x, seed):\n    with open('calls', 'a') as calls:\n        calls.write('.')\n"
        "    return x * x + random.Random(seed).gauss(0, 0.5)\n"
    )
    (tmp_path / "lab.toml").write_text(
        '[objective]\nloss = "rechecked_lab:loss"\n[space]\nx = { uniform = [-1, 1] }\n[method]\nuse = "search"\n'
        'candidates = 60\n[tracking]\nuse = "none"\n'
    )
    seen: list[Any] = []

    def run(*options: str) -> int:
        (tmp_path / "calls").write_text("")
        done = run_optitrip(tmp_path, "sweep", "lab.toml", "--executor", "serial", "--json", *options)
        assert done.returncode == 0, done.stderr
        seen.append(json.loads(done.stdout)["best"]["loss"])
        return len((tmp_path / "calls").read_text())

    assert run() == 60
    assert run("--set", "method.recheck={best=8,repeats=3}") == 24
    assert run("--set", "method.recheck={best=8,repeats=5}") == 16
    assert run("--set", "method.recheck={best=8,repeats=5}") == 0
    assert run() == 0
    assert seen[0] == seen[4] < seen[1]
    assert seen[2] == seen[3]
    (folder,) = (tmp_path / ".optitrip").iterdir()
    assert json.loads((folder / "result.json").read_text())["best"]["loss"] == seen[0]


def test_an_adaptive_search_is_rechecked_too() -> None:
    """Its candidates are those of the searcher."""

    class Walk:
        def __init__(self, cube: Any, seed: int, batch: int) -> None:
            self.random = np.random.default_rng(seed)

        def ask(self, count: int) -> Any:
            return self.random.random((count, 1))

        def tell(self, points: Any, losses: Any) -> None:
            del points, losses

    found = optitrip.ask_tell(noisy, SPACE, searcher=Walk, candidates=48, recheck={"best": 6, "repeats": 4})
    assert found.recheck is not None
    assert found.recheck.losses.shape == (6, 4)
    assert found.loss == found.recheck.means.min()


def test_too_few_stored_candidates_are_an_error_at_the_door() -> None:
    """Of more than a million candidates only the best few are all stored."""
    with pytest.raises(optitrip.InputError, match="raise \\[method\\] best"):
        optitrip.search(noisy, SPACE, candidates=2_000_000, recheck={"best": 20})


def test_repeats_are_numbered() -> None:
    """All candidates once, then all again: a stopped recheck has something of each."""
    method = Recheck.__new__(Recheck)
    object.__setattr__(method, "indices", (4, 9))
    object.__setattr__(method, "repeats", RecheckTable().repeats)
    assert [method.point_index(item) for item in range(method.items)] == [4, 9] * 5
