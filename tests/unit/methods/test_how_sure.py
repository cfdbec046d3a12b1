"""How sure an answer is, in words: the numbers in them are right."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.methods.search.words import best_of_half
from optitrip.objectives import Hinge, Softmax
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space


def square(x: float) -> float:
    if x > 0.9:
        raise ValueError("too large")
    return x * x


SPACE: Any = {"x": {"uniform": [-1.0, 1.0]}}


@pytest.mark.parametrize(("found", "kept"), [(7, 7), (8, 8), (12, 10), (2, 2)])
def test_the_best_of_half(found: int, kept: int) -> None:
    """The mean over all halves of the candidates, counted one by one."""
    losses = np.sort(np.random.default_rng(found).normal(size=found))
    halves = [min(half) for half in combinations(losses.tolist(), found // 2)]
    assert best_of_half(losses[:kept], found) == pytest.approx(np.mean(halves), abs=0.02)
    if kept == found:
        assert best_of_half(losses, found) == pytest.approx(np.mean(halves), rel=1e-12)
    assert best_of_half(losses[:3], 100) is None
    assert best_of_half(losses[:1], 1) is None


def test_the_chance_of_a_better_one_is_that_of_more_candidates() -> None:
    """Half of all seeds find a better one among as many again, and nine tenths among nine times as many."""
    space, seeds, better = Space.parse({"x": {"uniform": [-1.0, 1.0]}}), 1_000, {20: 0, 180: 0}
    for seed in range(seeds):
        losses = np.square(Candidates(space, seed).values(range(200))["x"])
        for n in better:
            better[n] += int(losses[20 : 20 + n].min() < losses[:20].min())
    for n, count in better.items():
        chance = n / (20 + n)
        assert abs(count - seeds * chance) < 4 * math.sqrt(seeds * chance * (1 - chance))


def test_the_words_of_a_search() -> None:
    """A sequence with a structure has no such chance, and neither has a search that its losses ended."""
    answer = optitrip.search(square, SPACE, candidates=100, seed=3)
    behind = np.sort(answer.losses)[1] - answer.loss
    second = int(np.argsort(answer.losses)[1])
    found = 100 - sum(answer.failures.values())
    assert found < 100
    assert answer.how_sure()[:3] == [
        f"the runner-up (candidate {second}) is {behind:.3g} behind",
        f"{found} more finite losses beat it with a chance of 50 %",
        f"{9 * found} with 90 %",
    ]
    assert answer.verdict() == f"min loss {answer.loss:.8g} at candidate {answer.index}"
    assert answer.parameters() == f"x {answer.x['x']:.6g}"
    other = optitrip.search(square, SPACE, candidates=100, sampler="halton")
    for one in (other, replace(answer, ended="candidate 3 met the target")):
        assert not [reason for reason in one.how_sure() if "%" in reason]
    assert "partly luck: recheck" in replace(answer, noisy=True).how_sure()[0]
    tied = optitrip.search(lambda x: 1.0, SPACE, candidates=10)
    assert tied.how_sure()[:2] == [
        "the runner-up (candidate 1) is as good",
        "10 more candidates beat it with a chance of at most 50 %",
    ]
    assert optitrip.search(square, SPACE, candidates=1, seed=5).how_sure()[0] == "it is the only finite loss"


def test_the_words_of_a_gradient() -> None:
    """They count what is missing, and compare with the analytic one."""
    answer = optitrip.gradient(Softmax(), {"W": np.zeros((10, 65))})
    first, *others = answer.how_sure()
    assert first.startswith("the analytic gradient agrees along 650 coordinates")
    assert others == [
        "none of 650 is missing or imprecise",
        f"the largest estimated error of an entry is {answer.largest_error:.2g}, "
        f"{answer.largest_error / answer.max_abs:.2g} of the largest entry",
    ]
    assert answer.verdict().startswith(f"gradient of norm {answer.norm:.8g}, largest at W[")
    wrong = optitrip.gradcheck(lambda x: float(x @ x), np.ones(3), lambda x: np.array([2.0, 2.0, 3.0])).answer
    assert wrong.how_sure()[0].startswith("the analytic gradient is WRONG along 1 of 3 coordinates, x[2]")
    partial = optitrip.gradient(lambda x: float(x[0] if x[1] == 0 else math.nan), {"x": np.array([1.0, 0.0])})
    assert partial.how_sure()[0] == "1 missing of 2"


@pytest.mark.parametrize("loss", [Softmax, Hinge])
def test_classifiers_tell_how_to_read_their_figures(loss: Any) -> None:
    """Guessing is what weights of 0 do, and their loss is the one that is told."""
    answer = optitrip.search(loss(), {"W": {"shape": [10, 65], "normal": [0, 0.03]}}, candidates=3)
    assert f"With all weights 0 the loss is {loss()(np.zeros((10, 65))):.4g}" in answer.how_to_read
    assert "among 10 classes is right for about 10 %" in answer.how_to_read
    assert optitrip.search(square, SPACE, candidates=3).how_to_read == ""
