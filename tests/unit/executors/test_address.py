"""Tests of finding the cluster to join."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from optitrip.executors.ray.address import cluster_address, is_loopback, option, unprotected

FIND = "from optitrip.executors.ray.address import cluster_address; print(cluster_address(None))"
RUN = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[-1]])"


@pytest.mark.parametrize(
    ("given", "environment", "found"),
    [
        (None, {}, None),
        ("local", {"RAY_ADDRESS": "h:1"}, None),
        (None, {"RAY_ADDRESS": "local"}, None),
        ("h:1", {"RAY_ADDRESS": "k:2"}, "h:1"),
        (None, {"RAY_ADDRESS": "k:2"}, "k:2"),
        (None, {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, "auto"),
    ],
)
def test_the_address(
    given: str | None, environment: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option wins over a variable, and a Ray that merely runs on this machine is not joined."""
    for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cluster_address(given) == found


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("words", [["--address", "10.0.0.1:6379"], ["--address=10.0.0.1:6379"]])
def test_a_descendant_of_symmetric_run_finds_its_cluster(words: list[str], tmp_path: Path) -> None:
    """`ray symmetric-run` sets no RAY_ADDRESS; what follows `--` is the command's, not its own."""
    script = tmp_path / "ray.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), "symmetric-run", *words, "--min-nodes", "1", "--", "--address=no", FIND]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "10.0.0.1:6379"


def test_options_are_read_up_to_the_command() -> None:
    """The command of a symmetric run may have an option of the same name."""
    assert option("--address", ["--", "--address", "h:1"]) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:6379", True),
        ("http://127.0.0.1:8265", True),
        ("[::1]:6379", True),
        ("localhost:6379", True),
        ("10.77.0.1:6379", False),
        ("head:6379", False),
    ],
)
def test_loopback(address: str, expected: bool) -> None:
    """Only this machine reaches it."""
    assert is_loopback(address) == expected


@pytest.mark.parametrize(
    ("address", "environment", "warned"),
    [
        ("10.77.0.1:6379", {}, True),
        ("10.77.0.1:6379", {"RAY_AUTH_MODE": "disabled"}, True),
        ("10.77.0.1:6379", {"RAY_AUTH_MODE": "token"}, False),
        ("10.77.0.1:6379", {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, False),
        ("127.0.0.1:6379", {}, False),
        ("local", {}, False),
    ],
)
def test_a_cluster_without_a_token_is_told(address: str, environment: dict[str, str], warned: bool) -> None:
    """Whoever reaches it runs code on it; a Ray on this machine alone is nobody else's to reach."""
    assert bool(unprotected(address, environment)) == warned
