"""Some rows of the little cluster, and the promise that nothing is left of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cluster import world

TESTS = Path(__file__).parents[1]


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start rows; with --shell, the hosts stay until standard input ends."""
    command = [sys.executable, "-m", "cluster.run", "--json", *arguments]
    paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, "PYTHONPATH": paths, "SHELL": "cat"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=variables)


def rows(*names: str) -> list[dict[str, Any]]:
    child = start(*names)
    out, err = child.communicate()
    told = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert len(told) == len(names), err
    assert "left on this machine: nothing" in err
    return told


@pytest.fixture(autouse=True)
def hosts() -> None:
    if reason := world.missing():
        pytest.skip(reason)


@pytest.mark.thorough
@pytest.mark.ray
@pytest.mark.timeout(1200)
def test_cheap_rows() -> None:
    """One sweep joins with the serial answer, an older module does no harm, and strangers are refused in a line."""
    pytest.importorskip("aiohttp_cors", reason="needs `uv sync --group cluster-tests`")
    for row in rows("joined_digits", "older_module", "wrong_token", "nothing_listens"):
        assert row["state"] == "ok", row


@pytest.mark.daily
def test_nothing_is_left_of_a_harness_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel ends the hosts with the command, and the cleaner removes its folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = world.network()
    with start("hosts_alone", "--shell") as child:
        assert child.stdout
        assert "hosts_alone" in child.stdout.readline()
        (folder,) = tmp_path.iterdir()
        assert len(world.traces(str(folder))) >= 4  # the folder, unshare, the command, and the host that stays
        child.kill()
    end = time.monotonic() + 30
    while world.traces(str(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    assert world.traces(str(folder)) | world.network() == before


@pytest.mark.daily
def test_hosts_reach_each_other_but_nobody_else() -> None:
    """Each has its own address, /tmp and processes; a cut link loses packets, and a destroyed host is gone."""
    (row,) = rows("hosts_alone")
    assert row["state"] == "ok", row
