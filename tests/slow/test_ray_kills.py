"""SIGKILL of every kind of process of a local Ray, at random moments: the same command goes on to the same bytes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import ray_kills

KILLS = int(os.environ.get("OPTITRIP_RAY_KILLS", "0"))
"""Number of kills of each kind; by default one of each vital kind, which takes a minute."""


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.timeout(600 + 600 * KILLS)
@pytest.mark.skipif(sys.platform != "linux", reason="descendants are found in /proc")
def test_killed_processes_of_ray_cost_nothing_but_time(tmp_path: Path) -> None:
    """The exit status is 0, 75 or 137, nothing is silent for long or left behind, and the answer has the same bits."""
    pytest.importorskip("ray")
    kinds = tuple(ray_kills.KINDS) if KILLS else ("worker", "raylet", "gcs", "driver")
    told = ray_kills.main(tmp_path, KILLS or 1, 3, *kinds)
    print(told)
    assert told["strange"] == []
    assert (told["wrong"], told["folders left"]) == (0, 0)
    assert told["sweeps"] > 0
