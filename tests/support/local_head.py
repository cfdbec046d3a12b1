"""A real head of a Ray cluster, with its Jobs API and a token: `python local_head.py FOLDER` runs a sweep's whole life
as jobs, and prints what came of it as JSON.

In a network of its own with nothing but loopback, so that no port is taken and nobody else can reach what Ray listens
on. A process of its own, since a process cannot leave such a network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cluster_faults import isolate
from optitrip.errors import OptitripError
from optitrip.jobs.client import JobsClient
from optitrip.store.runs import stored_sweeps

ADDRESS, TOKEN = "http://127.0.0.1:8265", "a-token-of-the-tests-0123456789abcdef"
STARTS = 5
OPTITRIP = [sys.executable, "-m", "optitrip"]


def environment(**changes: str) -> dict[str, str]:
    """The variables of a head and of commands that have its token; `python` is this interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_TRACKING"))}
    ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    ray["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # below `uv run pytest`, each job would be run by `uv run` as well
    return {**kept, **ray, "PATH": path, **changes}


@contextmanager
def head(store: Path) -> Generator[None]:
    """Start a head whose jobs write to a MLflow store, wait until it answers, and end all that it has started.

    Ray's raylet ends if its agents are not up within 15 s, which a busy machine may need; then another one is started.
    """
    folder = Path(mkdtemp(prefix="head-", dir="/tmp"))  # paths of sockets may have 107 characters
    words = ["--head", "--block", "--num-cpus=2", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"]
    words += ["--include-dashboard=true", "--object-store-memory=100000000"]
    start = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", *words]
    variables = environment(MLFLOW_TRACKING_URI=f"sqlite:///{store}", RAY_raylet_start_wait_time_s="60")
    try:
        for attempt in range(STARTS):
            place, log = folder / str(attempt), folder / f"{attempt}.log"
            with log.open("wb") as file:
                process = subprocess.Popen([*start, f"--temp-dir={place}"], env=variables, stdout=file, stderr=file)
            while process.poll() is None and "Ray runtime started" not in log.read_text():
                time.sleep(1)
            if process.poll() is None:
                break
            end_all()
        else:
            raise RuntimeError("no head could be started")
        while not answers():
            time.sleep(1)
        yield
    finally:
        end_all()
        shutil.rmtree(folder, ignore_errors=True)


def answers() -> bool:
    """Return whether the head lists its jobs."""
    try:
        JobsClient(ADDRESS, TOKEN).jobs()
    except OptitripError:
        return False
    return True


def end_all() -> None:
    """Kill whatever else is in this network, by its id."""
    mine = os.readlink("/proc/self/ns/net")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if os.readlink(entry / "ns/net") == mine:
                    os.kill(int(entry.name), signal.SIGKILL)


def optitrip(folder: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process in a folder."""
    return subprocess.run(
        [*OPTITRIP, *words], cwd=folder, env=environment(**changes), capture_output=True, text=True, timeout=240
    )


def submit(folder: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return optitrip(folder, "submit", "digits.toml", "--address", ADDRESS, *words, **changes)


def life(folder: Path) -> dict[str, Any]:
    """Submit a sweep, stop it, submit it again and follow it, and fetch its files."""
    state, told, jobs = str(folder / "state"), dict[str, Any](), JobsClient(ADDRESS, TOKEN)
    with head(folder / "mlflow.db"):
        told["no token"] = said(submit(folder, RAY_AUTH_MODE="disabled"))
        told["wrong token"] = said(submit(folder, RAY_AUTH_TOKEN="another-token-of-the-tests-1234"))
        # RAY_ADDRESS would win over the argument in Ray's own client.
        first = submit(folder, "--state-dir", state, "--workers", "2", RAY_ADDRESS="10.9.9.9:6379")
        told["first"], job = said(first), first.stdout.strip()
        told["while it runs"] = said(submit(folder, "--state-dir", state))
        wait_for_items(Path(state))
        stop = first.stderr.splitlines()[-1]
        told["stop"] = subprocess.run(stop, shell=True, env=environment(), capture_output=True, text=True).returncode
        told["stopped"] = until_ended(jobs, job)
        told["log"] = jobs.log(job)
        told["second"] = said(submit(folder, "--state-dir", state, "--workers", "2", "--follow"))
        told["fetched"] = said(optitrip(folder, "fetch", "digits.toml", "--address", ADDRESS, "-o", "fetched"))
        told["failing"] = said(submit(folder, "--follow", "--set", "objective.loss=slow_digits:absent"))
        few = ["--set", "method.candidates=200", "--set", "tracking.use=none"]
        told["without a folder"] = said(submit(folder, "--follow", *few, "--", "--executor", "serial"))
        told["jobs"] = [
            [found.id, found.status, dict(found.metadata), dict(found.runtime_env)] for found in jobs.jobs()
        ]
    return told


def said(done: subprocess.CompletedProcess[str]) -> list[Any]:
    return [done.returncode, done.stdout, done.stderr]


def wait_for_items(state: Path) -> None:
    """Wait until a part is in the journal."""
    for _ in range(600):
        if any(found.items for found in stored_sweeps(state)):
            return
        time.sleep(0.2)
    raise TimeoutError("no item in two minutes")


def until_ended(client: JobsClient, name: str) -> str:
    """Wait until a job has ended; return its state."""
    for _ in range(300):
        if (job := client.job(name)) is not None and not job.active:
            return job.status
        time.sleep(0.2)
    raise TimeoutError(name)


def main(folder: Path) -> Mapping[str, Any]:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        isolate()
    except (OSError, AttributeError) as error:
        return {"skipped": str(error)}
    return life(folder)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))), flush=True)
