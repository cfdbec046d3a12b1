"""A Ray cluster on hosts: a head without CPUs, workers that come and go, and an MLflow server on a host of its own."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.hosts import OWN, Host
from cluster.world import SHARED

BIN = str(Path(sys.prefix) / "bin")
HEAD, MLFLOW, OUTSIDE = "10.77.0.1", "10.77.0.40", "10.77.0.60"
ADDRESS, JOBS = f"{HEAD}:6379", f"http://{HEAD}:8265"
TRACKING = f"http://{MLFLOW}:5000"
START_SECONDS = 300.0
"""Patience with servers and nodes that start, on a machine that does other things as well."""
COMMON = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
}
STARTS = 4
STORE_BYTES = 200 * 2**20
OURS = r"^ray::(?!IDLE|\w*Agent|JobSupervisor)"
"""Titles of Ray's processes that hold or run somebody's actors and tasks."""


class RayCluster:
    """Hosts of one Ray cluster, with a token without which nobody joins."""

    def __init__(self, store_bytes: int = STORE_BYTES) -> None:
        self.token, self.store_bytes = secrets.token_hex(32), store_bytes
        self.workers: dict[str, Host] = {}
        self._used = 10
        self.head = self.host("head", HEAD)
        options = ["--head", "--port=6379", "--num-cpus=0", f"--dashboard-host={HEAD}", "--dashboard-port=8265"]
        self._start(self.head, options)
        wait_until(lambda: self.nodes() is not None, "the head's Jobs API")

    def host(self, name: str, address: str, *, token: str | None = None, memory: int | None = None) -> Host:
        """Start a host that knows the token, or another one; "" for none."""
        host = Host(name, address, shm=f"{self.store_bytes + 2**28}", memory=memory)
        host.environment = {**COMMON, "RAY_AUTH_MODE": "token", "MLFLOW_TRACKING_URI": TRACKING}
        given = self.token if token is None else token
        if given:
            (host.folder / "token").write_text(given)
            (host.folder / "token").chmod(0o600)
            host.environment["RAY_AUTH_TOKEN_PATH"] = f"{OWN}/token"
        return host

    def add(
        self,
        name: str,
        cpus: int,
        *,
        prepare: Callable[[Host], object] = lambda host: None,
        memory: int | None = None,
        resources: str = "{}",
    ) -> Host:
        """Add a worker host; `prepare` is called before Ray starts there."""
        self._used += 1
        host = self.workers[name] = self.host(name, f"10.77.0.{self._used}", memory=memory)
        prepare(host)
        self._start(host, [f"--address={ADDRESS}", f"--num-cpus={cpus}", f"--resources={resources}"])
        return host

    def _start(self, host: Host, options: list[str]) -> None:
        """Start Ray on a host; again if Ray itself had not the patience of half a minute, on a busy machine."""
        store = f"--object-store-memory={self.store_bytes}"
        command = [f"{BIN}/ray", "start", f"--node-ip-address={host.address}", store, "--disable-usage-stats", *options]
        for _ in range(STARTS):
            with (host.folder / "ray-start.log").open("w") as log:
                process = host.popen(*command, stdout=log, stderr=subprocess.STDOUT)
            if process.wait() == 0:
                return
            host.call(f"{BIN}/ray stop --force")
        raise RuntimeError(f"ray start on {host.name}: {(host.folder / 'ray-start.log').read_text()[-2000:]}")

    def restart_ray(self, host: Host, cpus: int) -> None:
        """Start Ray again on a worker host that the cluster gave up."""
        host.call(f"{BIN}/ray stop --force")
        self._start(host, [f"--address={ADDRESS}", f"--num-cpus={cpus}"])

    def remove(self, name: str) -> None:
        self.workers.pop(name).destroy()

    def destroy(self) -> None:
        for host in [*self.workers.values(), self.head]:
            host.destroy()
        self.workers.clear()

    def ask(self, path: str) -> Any:
        """Return what the Jobs API says; None while it is not up."""
        request = urllib.request.Request(f"{JOBS}{path}", headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            return None

    def nodes(self) -> dict[str, dict[str, Any]] | None:
        """Return the nodes that are alive, by address."""
        told = self.ask("/api/v0/nodes")
        if told is None:
            return None
        nodes: list[dict[str, Any]] = told["data"]["result"]["result"]
        return {node["node_ip"]: node for node in nodes if node["state"] == "ALIVE"}

    def wait_for_workers(self) -> None:
        """Wait until each worker host is a node of the cluster."""
        wanted = {host.address for host in self.workers.values()}
        wait_until(lambda: wanted <= set(self.nodes() or {}), f"nodes {sorted(wanted)}")

    def used_by(self) -> dict[str, int]:
        """Return how many processes hold actors or run tasks on each worker host."""
        return {name: len(workers_on(host)) for name, host in self.workers.items()}


def workers_on(host: Host) -> dict[int, str]:
    """Return the processes on a host that hold actors or run tasks."""
    return {pid: command for pid, command in host.processes().items() if re.match(OURS, command)}


def wait_until(holds: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not there after {seconds:.0f} s: {what}")
        time.sleep(0.2)


class MlflowServer:
    """An MLflow server, on PostgreSQL where its programs, its user and psycopg are there, else on SQLite."""

    def __init__(self) -> None:
        self.host = Host("mlflow", MLFLOW)
        self.host.environment = {**COMMON, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.backend = "PostgreSQL" if self._start_postgres() else "SQLite"
        self.start()

    def _start_postgres(self) -> bool:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        user = subprocess.run(["id", "-u", "postgres"], capture_output=True).returncode == 0
        if not (programs and user and module_installed("psycopg")):
            return False
        folder, run = programs[-1].parent, "setpriv --reuid=postgres --regid=postgres --clear-groups"
        self.host.call("mkdir /srv/own/pg && chown postgres /srv/own/pg && chmod 755 /srv/own")
        self.host.call(f"{run} {folder}/initdb -D /srv/own/pg --auth=trust -E UTF8 -U postgres")
        options = "-c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp -c fsync=off"
        self.host.call(f"{run} {folder}/pg_ctl -D /srv/own/pg -l /srv/own/pg/log -w -o '{options}' start >/dev/null")
        return True

    def start(self) -> None:
        """Start the server, without waiting for it."""
        store = "postgresql://postgres@127.0.0.1/postgres" if self.backend == "PostgreSQL" else f"sqlite:///{OWN}/m.db"
        options = f"--backend-store-uri {store} --artifacts-destination {OWN}/artifacts --workers 1"
        with (self.host.folder / "mlflow.log").open("a") as log:
            command = f"exec {BIN}/mlflow server {options} --host {MLFLOW} --port 5000"
            self.host.popen("sh", "-c", command, stdout=log, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        wait_until(self.healthy, "the MLflow server")

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{TRACKING}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self) -> None:
        """Kill the server; its database goes on."""
        while self.host.kill("mlflow"):
            time.sleep(0.2)

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs of sweeps, the newest first."""
        found = self._post("experiments/search", {"max_results": 100})["experiments"]
        wanted = {"experiment_ids": [one["experiment_id"] for one in found], "max_results": 1000}
        return self._post("runs/search", wanted).get("runs", [])

    def _post(self, path: str, wanted: dict[str, Any]) -> Any:
        data, kind = json.dumps(wanted).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{TRACKING}/api/2.0/mlflow/{path}", data=data, headers=kind)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def module_installed(name: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


def shared_folder(name: str) -> Path:
    """Make an empty folder that all hosts see, e.g. a project on NFS."""
    folder = SHARED / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
