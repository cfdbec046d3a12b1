"""One row: a scenario that runs in the world, what it expects, and what came of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cluster.hosts import Host
from cluster.ray_cluster import MlflowServer, RayCluster, wait_until, workers_on
from cluster.sweeps import Outcome, Project, expected

WORKERS = {"w1": 1, "w2": 2, "w3": 2}
"""CPUs of the worker hosts that a scenario finds."""
LEFT_SECONDS = 30.0
"""Seconds after a sweep within which its processes must be gone."""


class NotRun(Exception):
    """Something that this machine lacks for a scenario."""


class World:
    """The cluster and the MLflow server, started when first needed and mended before each scenario."""

    def __init__(self) -> None:
        self._cluster: RayCluster | None = None
        self._mlflow: MlflowServer | None = None
        self.baseline: dict[str, set[str]] = {}
        """Files in /tmp and /dev/shm of each host once its servers are up."""

    @property
    def mlflow(self) -> MlflowServer:
        if self._mlflow is None:
            self._mlflow = MlflowServer()
            self._mlflow.wait()
        return self._mlflow

    @property
    def cluster(self) -> RayCluster:
        """Return the cluster with all its workers up, and no others."""
        self._mlflow = self._mlflow or MlflowServer()  # takes a while, as does Ray
        if self._cluster is None or self._cluster.nodes() is None:
            self.discard()
            self._cluster = RayCluster()
        up = self._cluster.nodes() or {}
        for name, host in list(self._cluster.workers.items()):
            if name not in WORKERS or host.address not in up:
                self._cluster.remove(name)
        for name, cpus in WORKERS.items():
            if name not in self._cluster.workers:
                self._cluster.add(name, cpus)
        self._cluster.wait_for_workers()
        self._mlflow.wait()
        self.baseline = {host.name: host.files() for host in self.hosts()}
        return self._cluster

    def empty_cluster(self, **options: int) -> RayCluster:
        """Return a new cluster that has no workers."""
        self.discard()
        _ = self.mlflow
        self._cluster = RayCluster(**options)
        self.baseline = {host.name: host.files() for host in self.hosts()}
        return self._cluster

    def hosts(self) -> list[Host]:
        """Return the hosts that are up."""
        cluster = [self._cluster.head, *self._cluster.workers.values()] if self._cluster else []
        return [host for host in [*cluster, *([self._mlflow.host] if self._mlflow else [])] if host.alive]

    def discard(self) -> None:
        if self._cluster:
            self._cluster.destroy()
        self._cluster = None


@dataclass
class Trial:
    """What a scenario found out."""

    world: World
    minutes: float = 15.0
    """Length of the soak."""
    told: str = ""
    """First cause that was told, in the command's own words."""
    equal: bool | None = None
    """Whether all answers were those of serial runs; None without an answer to compare."""
    problems: list[str] = field(default_factory=list[str])
    figures: dict[str, object] = field(default_factory=dict[str, object])
    log: list[str] = field(default_factory=list[str])
    """Everything that commands printed."""
    begun: float = field(default_factory=time.monotonic)

    def same(self, outcome: Outcome, project: Project) -> None:
        """Expect an answer, and the serial one."""
        self.seen(outcome)
        self.check(outcome.status == 0, f"exit status {outcome.status}")
        equal = outcome.digest == expected(project)
        self.equal = equal and self.equal is not False
        self.check(equal, "another answer than the serial one" if outcome.digest else "no answer")

    def seen(self, outcome: Outcome) -> None:
        self.log.append(f"--- status {outcome.status} after {outcome.seconds:.1f} s\n{outcome.text}")

    def tells(self, text: str, *patterns: str) -> None:
        """Expect a line that matches all patterns, whatever their order."""
        lines = [line for line in text.splitlines() if not line.startswith("[20")]  # not Ray's log
        found = [line for line in lines if all(re.search(one, line, re.IGNORECASE) for one in patterns)]
        self.told = self.told or (found[0].strip() if found else "")
        self.check(bool(found), f"not told: {' + '.join(patterns)}")

    def refused(self, outcome: Outcome, seconds: float, *patterns: str) -> None:
        """Expect a command to fail with one line, within a time."""
        self.seen(outcome)
        lines = [line for line in outcome.text.splitlines() if line.strip()]
        self.check(outcome.status not in (0, -9), f"exit status {outcome.status}")
        self.check(outcome.seconds <= seconds, f"took {outcome.seconds:.0f} s, more than {seconds:.0f} s")
        self.check(len(lines) == 1 or ("joining" in lines[0] and len(lines) == 2), f"{len(lines)} lines")
        self.tells(outcome.text, *patterns)

    def check(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


def leftovers(world: World) -> list[str]:
    """Return the processes and files of sweeps that are still on hosts, after some patience."""

    def found() -> list[str]:
        hosts = [host for host in world.hosts() if host.name in world.baseline and host.name != "mlflow"]
        processes = [f"{host.name}: {command[:60]}" for host in hosts for command in sweeps_on(host)]
        files = [f"{host.name}: {name}" for host in hosts for name in host.files() - world.baseline[host.name]]
        return [*processes, *(name for name in files if not RAYS_OWN.search(name))]

    with suppress(TimeoutError):
        wait_until(lambda: not found(), "an end", LEFT_SECONDS)
    return found()


RAYS_OWN = re.compile(r"/tmp/ray$|/dev/shm/(plasma|ray|sem|psm)")
"""Files that Ray keeps as long as it runs."""


def sweeps_on(host: Host) -> list[str]:
    """Return the processes of commands of optitrip and of their workers."""
    drivers = [
        command for command in host.processes().values() if re.search(r"bin/optitrip|optitrip\.tracking", command)
    ]
    return [*drivers, *workers_on(host).values()]


Scenario = Callable[[Trial], None]
SCENARIOS: dict[str, Scenario] = {}
"""Scenarios by name, in the order in which they run."""
PREPARATIONS: dict[str, Callable[[Path], None]] = {}
"""What scenarios need from a network, into a folder, before the hosts are started."""


def scenario(run: Scenario) -> Scenario:
    """Register a scenario by the name of its function."""
    SCENARIOS[run.__name__] = run
    return run


def prepared(prepare: Callable[[Path], None]) -> Callable[[Scenario], Scenario]:
    """Have something done before the hosts are started if the scenario is to run."""

    def register(run: Scenario) -> Scenario:
        PREPARATIONS[run.__name__] = prepare
        return run

    return register
