"""Faults of a whole cluster, each shown to have fired; the answer is that of a serial sweep."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.daily]
HERE = Path(__file__).parents[1] / "support"
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # A node that is gone is noticed in two seconds, not in half a minute.
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}


def scenario(name: str, **environment: str) -> dict[str, Any]:
    """Run one in a session of its own, which ends with all that it started."""
    pytest.importorskip("ray")
    command = [sys.executable, str(HERE / "cluster_faults.py"), name]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **ENVIRONMENT, **environment},
    )
    try:
        out, err = child.communicate(timeout=200)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
    assert out.strip(), err
    told = json.loads(next(line for line in out.splitlines() if line.startswith("{")))  # Ray prints there, too
    if "skipped" in told:
        pytest.skip(told["skipped"])
    return told


@pytest.mark.mostly_thorough(5)
@pytest.mark.parametrize("name", ["node_lost", "node_frozen", "worker_frozen", "worker_frozen_for_ever", "store_full"])
def test_what_is_lost_costs_nothing_but_time(name: str) -> None:
    """Slices of a lost worker are evaluated elsewhere and counted against no item; an objective that does not fit takes
    longer."""
    told = scenario(name)
    assert (told["fired"], told["same"], told["failures"]) == (True, True, 0)
    code = {"worker_frozen_for_ever": "late-slice", "store_full": "object-store"}.get(name)
    assert code is None or code in told["codes"]


@pytest.mark.thorough
def test_a_loss_that_leaks_costs_nothing_but_workers(tmp_path: Path) -> None:
    """Each is ended before the memory is, and a new one goes on; no item is blamed."""
    (tmp_path / "workers").touch()
    lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
    kilobytes = {words[0]: int(words[1]) for words in lines}
    taken = 1 - kilobytes["MemAvailable:"] / kilobytes["MemTotal:"]
    told = scenario(
        "memory_leaked",
        WORKERS=str(tmp_path / "workers"),
        RAY_memory_monitor_refresh_ms="50",
        # Ray itself and its workers take a gigabyte and a half; what is above may leak.
        RAY_memory_usage_threshold=str(taken + 2.5 * 2**20 / kilobytes["MemTotal:"]),
    )
    assert (told["fired"], told["same"], told["failures"]) == (True, True, 0)


@pytest.mark.thorough
def test_a_node_that_kills_all_workers_is_used_no_more(tmp_path: Path) -> None:
    """After three slices that died there and were evaluated elsewhere; no item is blamed.

    More may die before the other node has evaluated three of them, depending on how fast it is.
    """
    (tmp_path / "deaths").touch()
    told = scenario("node_poisoned", DEATHS=str(tmp_path / "deaths"))
    assert (told["fired"], told["same"], told["failures"]) == (True, True, 0)
    assert told["later"] <= 1  # its worker may have begun one more
    assert told["codes"][0] == "node-quarantined"


@pytest.mark.thorough
def test_without_any_workers_a_sweep_stops_and_can_be_resumed() -> None:
    """After `wait_seconds`, exit status 75; what was written is not evaluated again."""
    told = scenario("all_workers_lost")
    assert (told["fired"], told["same"], told["failures"]) == (True, True, 0)
    assert told["kept"] > 0
    assert told["evaluated"] == 200 - told["kept"]


@pytest.mark.thorough
def test_without_its_head_a_sweep_stops_and_can_be_resumed() -> None:
    """Before Ray would end the process; what was written is whole."""
    told = scenario("head_lost")
    assert (told["fired"], told["same"], told["stopped"]) == (True, True, True)
    assert 0 < told["kept"] < 200
