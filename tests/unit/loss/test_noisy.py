"""Random losses: seeds are pure functions of point and repeat, and repeats make a mean with its standard error."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.core.part import Part
from optitrip.loss.noisy import SEEDS, Noisy, seed_of, takes_seed
from optitrip.loss.objective import Objective

SPACE = {"x": {"uniform": [-1, 1]}, "k": {"integer": [1, 3]}}


def drawn(x: float, k: int, seed: int) -> dict[str, float]:
    """A loss that shows its seed."""
    return {"loss": x + k + np.random.default_rng(seed).normal(), "seed": seed}


def drawn_in_batches(x: Array, k: Array, seed: Array) -> dict[str, Array]:
    return {"loss": x + k + [np.random.default_rng(one).normal() for one in seed], "seed": seed}


def test_seeds_are_those_of_the_point() -> None:
    """The same point has the same seed, whatever the type of its numbers; other points and repeats have others."""
    one = seed_of(7, 0, {"x": 0.5, "k": 3, "c": "red"})
    assert one == seed_of(7, 0, {"c": np.str_("red"), "k": np.int64(3), "x": np.float64(0.5)})
    assert 0 <= one < SEEDS
    others = {seed_of(7, 1, {"x": 0.5}), seed_of(8, 0, {"x": 0.5}), seed_of(7, 0, {"x": 0.25}), one}
    assert len(others | {seed_of(7, 0, {"x": 0.5})}) == 5


def test_seeds_are_evenly_distributed() -> None:
    """Of 4,000 seeds, each sixteenth of the range has its share, by a chi-squared test at one in a million."""
    counts = Counter(seed_of(0, 0, {"x": n / 7}) * 16 // SEEDS for n in range(4_000))
    assert sum((counts[n] - 250) ** 2 / 250 for n in range(16)) < 59


@pytest.mark.parametrize("loss", [drawn, optitrip.batched(drawn_in_batches)], ids=["plain", "batched"])
def test_a_loss_that_takes_a_seed_gets_one(loss: Any) -> None:
    """Another one for each candidate, the same in each run, and for the point by itself."""
    found = optitrip.search(loss, SPACE, candidates=50)
    table = found.trials()
    assert table["seed"].nunique() == 50
    assert found.loss == optitrip.search(loss, SPACE, candidates=50).loss
    assert found.named["seed"] == seed_of(0, 0, found.x)
    assert optitrip.search(loss, SPACE, candidates=50, seed=1).named["seed"] != found.named["seed"]
    assert "luck" in found.how_sure()[0]


def test_batches_and_plain_calls_have_the_same_seeds() -> None:
    """Otherwise they would seem to disagree."""
    plain = optitrip.search(drawn, SPACE, candidates=80, repeats=3)
    batched = optitrip.search(optitrip.batched(block=16)(drawn_in_batches), SPACE, candidates=80, repeats=3)
    np.testing.assert_allclose(batched.losses, plain.losses, rtol=1e-14)


def test_a_seed_of_the_space_or_an_argument_is_the_users() -> None:
    """It is passed as any other."""
    found = optitrip.search(drawn, {**SPACE, "seed": {"integer": [5, 6]}}, candidates=9)
    assert found.named["seed"] in (5, 6)
    assert optitrip.search(drawn, SPACE, candidates=9, arguments={"seed": 11}).named["seed"] == 11
    assert optitrip.search(drawn, SPACE, candidates=9, constants={"seed": 12}).named["seed"] == 12


def test_repeats_make_a_mean() -> None:
    """Of as many evaluations, with the standard error of the mean, and the means of other numbers."""
    (found,) = optitrip.search(drawn, SPACE, candidates=1, repeats=5).top(1)
    each = [drawn(**found.x, seed=seed_of(0, n, found.x))["loss"] for n in range(5)]
    answer = optitrip.search(drawn, SPACE, candidates=1, repeats=5)
    assert answer.loss == math.fsum(each) / 5
    assert answer.named["standard_error"] == pytest.approx(np.std(each, ddof=1) / math.sqrt(5), rel=1e-12)
    assert answer.evaluations == 5


def test_one_failed_repeat_fails_the_candidate() -> None:
    """A mean of the others would be that of another loss."""

    def fails_for_some(x: float, k: int, seed: int) -> float:
        return math.nan if seed % 3 == 0 else x * k

    found = optitrip.search(fails_for_some, SPACE, candidates=400, repeats=4)
    assert 0.65 < found.failures["nan"] / 400 < 0.95  # 1 - (2/3)^4 is 0.80


def test_a_mean_of_single_precision_is_known_as_such() -> None:
    """Steps of differences depend on it."""
    loss = Objective(Noisy(lambda x: np.float32(x * x), None, 3))
    found = loss.evaluate(lambda items: {"x": np.linspace(0, 1, len(items))}, range(4))
    assert set(found.eps) == {2.0**-23}


def test_differences_are_those_of_one_smooth_function() -> None:
    """All points have the same seed, so the noise cancels; that of `jac` and of a descent is the same again."""

    def bowl(x: Array, seed: int) -> float:
        return float(np.square(x - 1).sum() + 100 * np.random.default_rng(seed).normal())

    x = np.array([3.0, -1.0])
    np.testing.assert_allclose(optitrip.gradient(bowl, x).gradient["x"], [4, -4], rtol=1e-6)
    np.testing.assert_allclose(optitrip.jac(bowl, x)(x), [4, -4], rtol=1e-6)
    np.testing.assert_allclose(optitrip.descend(bowl, x, rule="sgd", rate=0.5, steps=1).x["x"], [1, 1], atol=1e-6)


def test_who_takes_a_seed() -> None:
    """A parameter of that name, by itself or among others, but not one that is only passed on or by position."""
    assert takes_seed(drawn)
    assert takes_seed(lambda x, *, seed=0: x + seed)
    assert not takes_seed(lambda x: x)
    assert not takes_seed(lambda **values: values)
    assert not takes_seed(lambda seed, /: seed)


@pytest.mark.parametrize(("noise", "agree"), [(0.0, False), (1e-13, False), (1e-9, True)])
def test_parts_agree_within_the_noise(noise: float, agree: bool) -> None:
    """Losses may differ by a relative difference, and then which is the best may differ, too."""
    one = Part(range(2), {"loss": np.array([1.0, np.nan]), "best": np.array([0])})
    other = Part(range(2), {"loss": np.array([1.0 + 1e-11, np.nan]), "best": np.array([1])})
    assert one.agrees(other, noise) is agree
    assert one.agrees(one, noise)


def noisy_file(folder: Path, deterministic: str) -> str:
    """Write a loss whose last digits change from run to run, and return its sweep file."""
    (folder / "noisy_lab.py").write_text(
        "import os\n\ndef loss(x):\n    return x * (1 + 1e-13 * (os.getpid() % 97 + 1))\n"
    )
    (folder / "lab.toml").write_text(
        f'[objective]\nloss = "noisy_lab:loss"\ndeterministic = {deterministic}\n[space]\nx = {{ uniform = [1, 2] }}\n'
        '[method]\nuse = "search"\ncandidates = 50\n[tracking]\nuse = "none"\n'
    )
    return str(folder / "lab.toml")


@pytest.mark.parametrize(
    ("written", "wrong"), [("1e-9", ""), ("0.0", "1e-9"), ("2.0", "1e-9"), ('"no"', "true, false, or the relative")]
)
def test_the_key_is_checked(tmp_path: Path, written: str, wrong: str) -> None:
    """It is true, false, or a relative difference, with one mistake for all others."""
    if not wrong:
        assert optitrip.sweep(noisy_file(tmp_path, written), executor="serial").items == 50
        return
    with pytest.raises(optitrip.InputError, match=wrong):
        optitrip.sweep(noisy_file(tmp_path, written))
