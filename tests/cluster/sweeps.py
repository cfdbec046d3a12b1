"""Sweeps that rows run, and what came of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

from cluster.hosts import OWN, Host, children, signal_command
from cluster.ray_cluster import ADDRESS, BIN, JOBS, RayCluster, shared_folder
from cluster.world import HOSTS

LOSS = """
import os
import time

PAUSE = float(os.environ.get("PAUSE", "{pause}"))


def loss({parameters}):
    time.sleep(PAUSE)
    return (x - 1) ** 2 + y * y{extra}
"""
SWEEP = """
seed = 3

[objective]
loss = "bowl:loss"

[space]
x = {{ uniform = [-5, 5] }}
y = {{ uniform = [-5, 5] }}
{space}
[method]
use = "search"
candidates = {candidates}
"""


ITEMS = "coalesce(sum(hi - lo), 0)"


@dataclass(frozen=True)
class Project:
    """A folder with a sweep file, and the loss if that is the user's."""

    folder: Path
    file: str
    more: tuple[str, ...] = ()
    """Options of the command that the sweep file lacks."""

    @property
    def states(self) -> Path:
        return self.folder / "states"


def bowl(
    name: str,
    candidates: int,
    pause: float,
    *,
    run: str = "",
    space: str = "",
    parameters: str = "x, y",
    extra: str = "",
) -> Project:
    """Make a project on the shared folder whose loss sleeps; its answer is known without sleeping."""
    folder = shared_folder(name)
    (folder / "bowl.py").write_text(LOSS.format(pause=pause, parameters=parameters, extra=extra))
    (folder / "bowl.toml").write_text(SWEEP.format(candidates=candidates, space=space) + run)
    return Project(folder, "bowl.toml")


def shipped(name: str, sweep: str, repository: Path, candidates: int, *more: str) -> Project:
    """Make a project with a sweep file of the repository, of fewer candidates."""
    folder = shared_folder(name)
    shutil.copy(repository / "sweeps" / sweep, folder)
    return Project(folder, sweep, ("--set", f"method.candidates={candidates}", *more))


def on_every_host(project: Project, hosts: Sequence[Host]) -> Project:
    """Copy a project to the same path on each host's own disk."""
    for host in hosts:
        shutil.copytree(project.folder, host.folder / project.folder.name, dirs_exist_ok=True)
    return Project(Path(OWN) / project.folder.name, project.file, project.more)


@dataclass(frozen=True)
class Outcome:
    """What a command printed and left."""

    status: int
    text: str
    """Standard output and standard error."""
    seconds: float
    digest: str = ""
    """Digest of the answer's numbers; empty without an answer."""
    result: Mapping[str, Any] | None = None


class Sweep:
    """A sweep that runs on a host."""

    def __init__(self, host: Host, project: Project, command: Sequence[str], states: Path, folder: str) -> None:
        self.project, self.states, self.host = project, states, host
        self.begun, self.lines = time.monotonic(), list[str]()
        self.process = host.popen(*command, folder=folder, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, holds: Callable[[], Any], seconds: float = 120.0) -> bool:
        """Wait until something holds; return False if the sweep ended first or time is up."""
        end = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def wait_for_text(self, pattern: str, seconds: float = 120.0) -> bool:
        return self.wait_for(lambda: re.search(pattern, self.text), seconds)

    def wait_for_items(self, count: int, seconds: float = 120.0) -> bool:
        """Wait until so many items are in the journal."""
        return self.wait_for(lambda: items_written(self.states) >= count, seconds)

    def stop(self, number: int = signal.SIGINT) -> None:
        with suppress(OSError):
            signal_command(self.process, number)

    def pid(self) -> int:
        return children(self.process.pid)[0]

    def end(self, seconds: float = 300.0) -> Outcome:
        """Wait for the end; a sweep that takes longer is killed, with status -9."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)
            status = self.process.wait()
        self._reader.join(5)
        return Outcome(status, self.text, time.monotonic() - self.begun, digest(self.states), result(self.states))


def join(cluster: RayCluster, project: Project, *more: str, host: Host | None = None, address: str = ADDRESS) -> Sweep:
    """Start a sweep on a host, by default the head, that joins the cluster."""
    host = host or cluster.head
    states = seen_from_here(host, project.states)
    command = [f"{BIN}/optitrip", "sweep", project.file, *project.more, "--state-dir", str(project.states), *more]
    return Sweep(host, project, [*command, *(["--address", address] if address else [])], states, str(project.folder))


def ray_job(cluster: RayCluster, project: Project, *more: str) -> Sweep:
    """Start a sweep as a plain Ray job, with the project as its working directory."""
    states = project.states
    runtime = json.dumps({"env_vars": {"MLFLOW_TRACKING_URI": cluster.head.environment["MLFLOW_TRACKING_URI"]}})
    sent = ["--working-dir", str(project.folder), "--runtime-env-json", runtime]
    job = [f"{BIN}/optitrip", "sweep", project.file, *project.more, "--state-dir", str(states), *more]
    command = [f"{BIN}/ray", "job", "submit", "--address", JOBS, *sent, "--", *job]
    return Sweep(cluster.head, project, command, states, OWN)


def seen_from_here(host: Host, path: Path) -> Path:
    own = Path(OWN)
    return HOSTS / host.name / path.relative_to(own) if path.is_relative_to(own) else path


@cache
def serial_digest(sweep: str, loss: str, more: tuple[str, ...]) -> str:
    """Return the digest of a sweep that this machine evaluates serially, without Ray and without sleeping."""
    folder = shared_folder("serial")
    (folder / "bowl.py").write_text(loss)
    (folder / "bowl.toml").write_text(sweep)
    command = [f"{BIN}/optitrip", "sweep", "bowl.toml", *more, "--executor", "serial", "--state-dir", "states"]
    variables = {**os.environ, "PAUSE": "0", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    done = subprocess.run([*command, "--quiet"], cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"serial run: {done.stderr}")
    return digest(folder / "states")


def expected(project: Project) -> str:
    """Return the digest that the sweep of a project on the shared folder should have."""
    loss = project.folder / "bowl.py"
    sweep = (project.folder / project.file).read_text()
    return serial_digest(sweep, loss.read_text() if loss.exists() else "", project.more)


def digest(states: Path) -> str:
    """Return a hash of the numbers of the one sweep with a result in a state directory; "" without one."""
    found = sorted(states.glob("*/best.npz")) if states.is_dir() else []
    if len(found) != 1:
        return ""
    total = hashlib.sha256()
    with np.load(found[0], allow_pickle=False) as arrays:
        for name in sorted(arrays):
            total.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    table = pyarrow.parquet.read_table(found[0].with_name("candidates.parquet"))
    for name in sorted(table.column_names):
        total.update(name.encode() + repr(table.column(name).to_pylist()).encode())
    return total.hexdigest()[:16]


def result(states: Path) -> Mapping[str, Any] | None:
    found = sorted(states.glob("*/result.json")) if states.is_dir() else []
    return json.loads(found[0].read_text()) if len(found) == 1 else None


def items_written(states: Path) -> int:
    """Return how many items of the one sweep in a state directory are in its journal."""
    return ask_journal(states, ITEMS)


def slices_written(states: Path) -> int:
    """Return how many slices of it are in the journal."""
    return ask_journal(states, "count(*)")


def items_mirrored(mirror: Path) -> int:
    """Return how many items of it are in the newer copy of its journal."""
    options = "mode=ro&immutable=1"
    return max(ask_journal(mirror, ITEMS, f"journal-{slot}.sqlite", options) for slot in (0, 1))


def ask_journal(states: Path, wanted: str, name: str = "journal.sqlite", options: str = "mode=ro") -> int:
    for path in states.glob(f"*/{name}"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?{options}", uri=True, timeout=5)) as rows:
            return int(rows.execute(f"SELECT {wanted} FROM part").fetchone()[0])
    return 0
