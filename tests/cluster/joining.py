"""Sweeps that join the cluster from its head, as Ray jobs, and under `ray symmetric-run`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cluster.hosts import Host
from cluster.ray_cluster import BIN, COMMON, STORE_BYTES, shared_folder
from cluster.sweeps import Outcome, Project, Sweep, bowl, digest, join, ray_job, result, shipped
from cluster.trial import NotRun, Trial, scenario

REPOSITORY = Path(__file__).parents[2]
CIFAR10 = "OPTITRIP_CIFAR10"
"""Name of the environment variable with the folder of the images."""
CIFAR10_STORE = 900 * 2**20


def digits(name: str) -> Project:
    return shipped(name, "digits_random.toml", REPOSITORY, 20_000)


def cifar10(name: str) -> Project:
    folder = os.environ.get(CIFAR10)
    if not folder:
        raise NotRun(f"{CIFAR10} does not name the folder cifar-10-batches-bin")
    return shipped(name, "cifar10_random.toml", REPOSITORY, 300, "--set", f"objective.arguments.path={folder}")


@scenario
def joined_digits(trial: Trial) -> None:
    """The digits sweep joins from the head."""
    cluster, project = trial.world.cluster, digits("joined-digits")
    outcome = join(cluster, project).end()
    trial.same(outcome, project)
    trial.tells(outcome.text, r"evaluating on .*Ray")


@scenario
def job_digits(trial: Trial) -> None:
    """The digits sweep is a plain Ray job."""
    cluster, project = trial.world.cluster, digits("job-digits")
    outcome = ray_job(cluster, project).end()
    trial.same(outcome, project)
    trial.tells(outcome.text, r"evaluating on .*Ray")


@scenario
def joined_cifar10(trial: Trial) -> None:
    """The CIFAR-10 sweep joins from the head; its images are 614 MB in Ray's object stores."""
    project = cifar10("joined-cifar10")
    cluster = trial.world.empty_cluster(store_bytes=CIFAR10_STORE)
    cluster.add("w1", 1)
    cluster.add("w2", 2)
    outcome = join(cluster, project).end(600)
    trial.same(outcome, project)
    trial.tells(outcome.text, r"evaluating on .*Ray")


@scenario
def job_cifar10(trial: Trial) -> None:
    """The CIFAR-10 sweep is a plain Ray job."""
    project, cluster = cifar10("job-cifar10"), trial.world.cluster
    if cluster.store_bytes < CIFAR10_STORE:
        cluster = trial.world.empty_cluster(store_bytes=CIFAR10_STORE)
        cluster.add("w1", 1)
        cluster.add("w2", 2)
    trial.same(ray_job(cluster, project).end(600), project)


@scenario
def stopped_and_resumed(trial: Trial) -> None:
    """A joined sweep is stopped by Ctrl-C, and resumed from the shared folder."""
    cluster, project = trial.world.cluster, bowl("stopped", 4000, 0.01)
    sweep = join(cluster, project)
    trial.check(sweep.wait_for_items(500), "too few items before the stop")
    sweep.stop()
    stopped = sweep.end(60)
    trial.seen(stopped)
    trial.check(stopped.status == 130, f"exit status {stopped.status} after Ctrl-C")
    again = join(cluster, project, "--json").end()
    trial.same(again, project)
    evaluated = (again.result or {}).get("evaluated", 0)
    trial.check(0 < evaluated < 3500, f"evaluated {evaluated} of 4000 again")


@scenario
def plain_job_warns(trial: Trial) -> None:
    """A plain job whose state would vanish with Ray's session folder says so, and runs."""
    cluster, project = trial.world.cluster, bowl("vanishing", 300, 0.005)
    sent = ["--address", "http://10.77.0.1:8265", "--working-dir", str(project.folder)]
    command = [f"{BIN}/ray", "job", "submit", *sent, "--", f"{BIN}/optitrip", "sweep", project.file]
    outcome = Sweep(cluster.head, project, command, project.states, "/srv/own").end()
    trial.seen(outcome)
    trial.check(outcome.status == 0, f"exit status {outcome.status}")
    trial.tells(outcome.text, "would vanish", "state-dir")


@scenario
def symmetric_run(trial: Trial) -> None:
    """`ray symmetric-run` over three hosts, without an address for optitrip."""
    trial.world.discard()
    project = bowl("symmetric", 3000, 0.005)
    hosts = [Host(f"s{n}", f"10.77.0.{50 + n}", shm=f"{STORE_BYTES + 2**28}") for n in range(3)]
    try:
        outcome, statuses = run_symmetric(hosts, project)
        trial.figures["exit statuses of the others"] = statuses
        trial.same(outcome, project)
        trial.tells(outcome.text, "evaluating on .*Ray.*cluster")
    finally:
        for host in hosts:
            host.destroy()


def run_symmetric(hosts: list[Host], project: Project) -> tuple[Outcome, list[int]]:
    """Run the same command on all hosts, as `srun` does; the first one is the head.

    Returns:
        what came of the sweep, and the exit statuses of the other hosts' commands.
    """
    token = shared_folder("symmetric-token") / "token"
    token.write_text("0123456789abcdef" * 4)
    optitrip = [f"{BIN}/optitrip", "sweep", project.file, "--state-dir", str(project.states)]
    command = [f"{BIN}/ray", "symmetric-run", "--address", f"{hosts[0].address}:6379", "--min-nodes", "3"]
    command += ["--num-cpus", "2", "--object-store-memory", str(STORE_BYTES), "--", *optitrip]
    for host in hosts:
        host.environment = {**COMMON, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        host.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{project.folder}/mlflow.db"
    first = Sweep(hosts[0], project, command, project.states, str(project.folder))
    others = [host.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for host in hosts[1:]]
    done = first.end(180)
    outcome = Outcome(done.status, done.text, done.seconds, digest(project.states), result(project.states))
    return outcome, [ended(other, 120) for other in others]


def ended(process: subprocess.Popen[str], seconds: float) -> int:
    """Return the exit status of a command; -9 if it had to be killed after a time."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return -9
