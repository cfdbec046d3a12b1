"""Error bars on problems other than the published ones: likelihoods, finance, chemistry, simulators, rounded losses."""

from __future__ import annotations

import numpy as np
import pytest

import optitrip
from derivatives.others import other_problems

PROBLEMS = other_problems()
WANTED = {"functions": (0.98, 20), "applications": (0.98, 20), "with noise": (0.95, 50), "rounded": (0.95, 50)}
"""Least share of entries within their error, and largest median of the error over the true one, by kind."""


@pytest.mark.daily
@pytest.mark.parametrize("kind", WANTED)
def test_errors_cover_the_truth_of_other_problems(kind: str) -> None:
    """As many entries are within their error, and as closely, as on the published problems."""
    within: list[bool] = []
    ratios: list[float] = []
    for problem in (one for one in PROBLEMS if one.kind == kind):
        with np.errstate(all="ignore"):
            found = optitrip.gradient(problem.loss, problem.x, executor="serial")
        error, bar = np.abs(found.gradient["x"] - problem.gradient), found.error["x"]
        within += (error <= bar).tolist()
        ratios += (bar / np.maximum(error, 1e-300)).tolist()
    share, width = WANTED[kind]
    assert np.mean(within) >= share
    assert np.median(ratios) <= width
