"""Programs from Python run as children of this process, in a session and out of it, as those of the command do."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

import optitrip
from optitrip.executors.ray.start import RayPool

SWEEP = """
[program]
command = ["sh", "{here}/simulate", "{n}"]
[space]
n = { integer = [0, 9] }
[method]
use = "search"
candidates = 8
[failures]
timeout_seconds = 0.5
"""


@pytest.mark.skipif(sys.platform == "win32", reason="runs sh")
@pytest.mark.parametrize("session", [True, False])
def test_programs_need_no_ray(
    session: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing starts Ray, and one that hangs is ended, though the time limit of a Python loss would need Ray."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(RayPool, "prepare", lambda *_: pytest.fail("Ray was started"))
    Path("p.toml").write_text(SWEEP)
    Path("simulate").write_text("[ $1 -gt 7 ] && sleep 60\necho $1\n")
    with caplog.at_level(logging.WARNING, "optitrip"):
        if session:
            with optitrip.Session(workers=2) as trip:
                found: Any = trip.sweep("p.toml")
                assert trip.search(lambda x: x, {"x": {"uniform": [0, 1]}}, candidates=3).loss < 1
        else:
            found = optitrip.sweep("p.toml", workers=2)
    losses = found.trials()["loss"]
    assert found.loss == losses.min()
    assert sum(found.failures.values()) == losses.isna().sum() > 0
    assert "has no effect" not in caplog.text
