"""SIGKILL of the driver, at random and around every write: nothing acknowledged is lost, the answer is the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driver_kills import POINTS

HERE = Path(__file__).parents[1] / "support"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where the system has such a place: a write outlives SIGKILL whatever the disk does."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="optitrip-", dir=memory if os.access(memory, os.W_OK) else None))
    yield made
    shutil.rmtree(made)


def killed(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "driver_kills.py"), str(folder), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    counts = json.loads(done.stdout)
    assert sum(counts["kills"].values()) - counts["kills"]["finished"] == kills
    assert counts["lost"] == 0
    assert counts["wrong"] == 0
    assert counts["most evaluated in vain by one kill"] <= 1  # the slice in flight
    assert counts["acknowledged"] > 0
    return counts


@pytest.mark.daily
@pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forks")
def test_a_killed_driver_loses_nothing(folder: Path) -> None:
    """Ten times; `pytest -m daily` does it 30 times, `-m thorough` 300 times and at every point."""
    killed(folder, kills=10, seed=0)


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forks")
def test_a_driver_killed_more_often_loses_nothing(folder: Path) -> None:
    """30 times."""
    killed(folder, kills=30, seed=2)


@pytest.mark.thorough
@pytest.mark.timeout(3_600)
def test_a_driver_killed_at_every_point_loses_nothing(folder: Path) -> None:
    """300 kills, at random moments and at every one of the named points."""
    counts = killed(folder, kills=300, seed=1)
    assert set(counts["kills"]) == {*POINTS, "at random", "finished"}
