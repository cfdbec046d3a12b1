"""The network that learns digits: halving finds the winner of the whole search at a fraction of its cost."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

import optitrip
from command import ROOT

SWEEPS = ROOT / "sweeps"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The tables of the sweep file, in a folder with the learner."""
    shutil.copy(SWEEPS / "digits_learner.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    found = tomllib.loads((SWEEPS / "halving.toml").read_text(encoding="utf-8"))
    return {**found, "tracking": {"use": "none"}}


def in_full(tables: dict[str, Any]) -> dict[str, Any]:
    """The same search with all epochs for each candidate."""
    method = {key: value for key, value in tables["method"].items() if key != "halve"}
    return {**tables, "method": method, "objective": {**tables["objective"], "arguments": {"epochs": 81}}}


@pytest.mark.thorough
@pytest.mark.daily
@pytest.mark.timeout(900)
def test_halving_finds_the_winner_of_the_whole_search_at_a_fraction_of_its_cost(tables: dict[str, Any]) -> None:
    """In at least 9 of 10 seeds, at 20 % of its cost at most."""
    same: list[bool] = []
    for seed in range(10):
        halved: Any = optitrip.sweep({**tables, "seed": seed}, executor="serial")
        whole: Any = optitrip.sweep({**in_full(tables), "seed": seed}, executor="serial")
        assert halved.halved.cost <= 0.2 * halved.halved.full_cost
        same.append((halved.index, halved.loss) == (whole.index, whole.loss))
        print(seed, halved.index, halved.loss, whole.index, whole.loss, halved.halved.cost / halved.halved.full_cost)
    assert sum(same) >= 9


@pytest.mark.daily
def test_what_goes_on_is_what_is_done_at_once(tables: dict[str, Any]) -> None:
    """The winner's loss is to the bit that of all its epochs in one call."""
    few = {**tables, "method": {**tables["method"], "candidates": 6}}
    found: Any = optitrip.sweep(few, executor="serial")
    alone: Any = optitrip.sweep(
        {**in_full(few), "method": {"use": "search", "candidates": 6}}, executor="serial", progress=False
    )
    assert found.loss == alone.losses[found.index]
