"""What `cluster/` starts with the real Ray on this machine: a local cluster, a Ray job, and `ray symmetric-run`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from command import OPTITRIP, ROOT, optitrip

pytestmark = [pytest.mark.ray, pytest.mark.daily, pytest.mark.timeout(900)]
CLUSTER = ROOT / "cluster"
FEW = ["--set", "method.candidates=20_000", "--set", "tracking.use=none"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short, for Ray's sockets, with a sweep and the command `optitrip`."""
    pytest.importorskip("ray")
    made = Path(tempfile.mkdtemp(prefix="optitrip-", dir="/tmp"))
    shutil.copytree(CLUSTER / "kuberay" / "sweep", made, dirs_exist_ok=True)
    (made / "bin").mkdir()
    command(made, "optitrip", f'exec {shlex.join(OPTITRIP)} "$@"')
    yield made
    shutil.rmtree(made)


def command(folder: Path, name: str, action: str) -> None:
    (folder / "bin" / name).write_text(f"#!/bin/bash\n{action}\n")
    (folder / "bin" / name).chmod(0o755)


def run(folder: Path, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))}
    path = f"{folder}/bin:{Path(sys.executable).parent}:{CLUSTER}:{os.environ['PATH']}"
    return subprocess.run(
        words, cwd=folder, env={**kept, "PATH": path, **environment}, capture_output=True, text=True, check=False
    )


def free_port() -> str:
    with socket.create_server(("", 0)) as server:
        return str(server.getsockname()[1])


def left_of(mark: str) -> list[str]:
    """The command lines of all processes that name something."""
    lines = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    return [line.replace(b"\0", b" ").decode() for line in lines if mark.encode() in line]


def serial(folder: Path) -> tuple[float, int]:
    done = optitrip(folder, "sweep", "bowl.toml", "--executor", "serial", "--state-dir", "serial", "--json", *FEW)
    return json.loads(done.stdout)["best"]["loss"], json.loads(done.stdout)["best"]["index"]


STATUSES = {"0": "succeeded", "3": "was stopped", "75": "failed"}
"""Exit statuses of a job's entrypoint, and what becomes of the job under `ray_job.sh`."""


def test_a_cluster_on_this_machine(folder: Path) -> None:
    """The command of the README gives the answer of a serial sweep; its status is passed on, and nothing is left.

    Ray jobs that would end the same way again are stopped by their own entrypoint, as KubeRay runs it.
    """
    text = (CLUSTER / "README.md").read_text()
    begin = "    uv run --extra cluster "  # which finds this environment's commands, as `run` does
    (line,) = [line.removeprefix(begin) for line in text.splitlines() if line.startswith(f"{begin}cluster/local.sh ")]
    port, dashboard = free_port(), free_port()
    words = shlex.split(line.replace("sweeps/rosenbrock_random.toml", "bowl.toml").replace("6379", port))
    address = f"--address http://127.0.0.1:{dashboard}"
    has_jobs = find_spec("aiohttp_cors") is not None  # a part of optitrip[cluster]
    command(folder, "exit_with", 'exit "$1"')
    jobs = [
        f"ray job submit {address} --submission-id job{status} -- ray_job.sh exit_with {status} >&2; "
        f"ray job status {address} job{status} 2>&1 | tr '\n' ' '; echo"
        for status in STATUSES
    ]
    checks = "\n".join(['stat -c %a "$RAY_AUTH_TOKEN_PATH"', '"$@"', *(jobs if has_jobs else []), "exit 7"])
    words = [words[0], "bash", "-c", checks, "-", *words[1:], "--json", "--state-dir", "state", *FEW]
    done = run(folder, ROOT / words[0], *words[1:], PORT=port, DASHBOARD_PORT=dashboard, RAY_ADDRESS="")
    assert done.returncode == 7, done.stderr
    mode, answer, *ends = done.stdout.splitlines()
    assert mode == "600"
    found = json.loads(answer)["best"]
    assert (found["loss"], found["index"]) == serial(folder)
    assert "which has room for 2 workers" in done.stderr
    if has_jobs:
        assert len(ends) == len(STATUSES), done.stderr
        for (status, wanted), end in zip(STATUSES.items(), ends, strict=True):
            assert f"Job 'job{status}' {wanted}" in re.sub(r"\x1b\[\d+m", "", end)
    (started,) = {word for word in done.stderr.split() if word.startswith("RAY_AUTH_TOKEN_PATH=")}
    cluster = Path(started.partition("=")[2]).parent
    assert not cluster.exists()
    assert left_of(str(cluster)) == []


@pytest.mark.thorough
def test_slurm_with_the_real_symmetric_run(folder: Path) -> None:
    """On one node, in namespaces of its own: `ray symmetric-run` ends every Ray that it sees."""
    if shutil.which("unshare") is None or run(folder, "unshare", "-pnf", "--mount-proc", "true").returncode:
        pytest.skip("a process may have no namespaces of its own here")
    # The arguments of srun's own end where those of the command begin.
    command(folder, "srun", 'while [[ "$1" == --* ]]; do shift; done; exec "$@"')
    command(folder, "scontrol", f'echo "$@" >>{folder}/requeued')
    slurm = {
        "HEAD_ADDRESS": "127.0.0.1",
        "RAY_TMPDIR": str(folder / "ray"),
        "SLURMD_NODENAME": "localhost",
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_SUBMIT_DIR": str(folder),
    }
    script = f'ip link set lo up; exec bash {CLUSTER}/slurm.sbatch bowl.toml --json "$@"'
    words = ["unshare", "-pnf", "--mount-proc", "--kill-child", "bash", "-c", script, "-", *FEW]
    done = run(folder, *words, **slurm)
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))["best"]
    assert (found["loss"], found["index"]) == serial(folder)
    assert not (folder / "requeued").exists()
