"""SIGKILL of a driver that mirrors its journal, and its state deleted: nothing in the mirror is evaluated again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "support"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where the system has such a place: a write outlives SIGKILL whatever the disk does."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="optitrip-", dir=memory if os.access(memory, os.W_OK) else None))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(
    "kills", [pytest.param(12, marks=pytest.mark.daily), pytest.param(200, marks=pytest.mark.thorough)]
)
@pytest.mark.timeout(3_600)
def test_a_driver_that_lost_its_state_goes_on_from_the_mirror(folder: Path, kills: int) -> None:
    """Laws 1 and 6, for the mirror: the same answer, and what was copied stays copied."""
    command = [sys.executable, str(HERE / "mirror_kills.py"), str(folder), str(kills), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    counts = json.loads(done.stdout)
    assert sum(counts["kills"].values()) - counts["kills"].get("finished", 0) == kills
    assert counts["begun from a copy"] > kills // 3
    for never in ("evaluated though copied", "lost from the mirror", "not copied at the end", "wrong"):
        assert counts.get(never, 0) == 0, counts
