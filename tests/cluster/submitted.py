"""Sweeps that `optitrip submit` sends, follows, stops, resumes and fetches; and copies of the journal."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from cluster.hosts import OWN, Host
from cluster.joining import CIFAR10_STORE, cifar10, digits
from cluster.ray_cluster import BIN, JOBS, OUTSIDE, RayCluster, shared_folder
from cluster.refusals import SOON
from cluster.sweeps import Project, Sweep, bowl, digest, expected, items_mirrored, join, seen_from_here
from cluster.trial import NotRun, Trial, scenario


def needs(*command: str) -> None:
    """Raise NotRun unless this optitrip knows a command, or an option of it."""
    name, *options = command
    told = subprocess.run([f"{BIN}/optitrip", name, "--help"], capture_output=True, text=True, env={"COLUMNS": "200"})
    if told.returncode or not all(option in told.stdout for option in options):
        raise NotRun(f"this optitrip has no `{' '.join(command)}`")


def submit(cluster: RayCluster, project: Project, *more: str, host: Host | None = None, follow: bool = True) -> Sweep:
    """Submit a sweep, from the head by default, and follow it."""
    host = host or cluster.head
    options = ["--address", JOBS, "--state-dir", str(project.states), *["--follow"] * follow, *project.more, *more]
    command = [f"{BIN}/optitrip", "submit", project.file, *options]
    return Sweep(host, project, command, project.states, str(project.folder))


def fetched(trial: Trial, project: Project, host: Host, states: Path) -> str:
    """Fetch the results of a sweep to a host's own disk, and return their digest."""
    options = ["--address", JOBS, "--state-dir", str(states), "--output", f"{OWN}/fetched/sweep"]
    command = [f"{BIN}/optitrip", "fetch", Path(project.file).stem, *options]
    outcome = Sweep(host, project, command, states, OWN).end(120)
    trial.seen(outcome)
    trial.check(outcome.status == 0, f"exit status {outcome.status} of fetch")
    return digest(seen_from_here(host, Path(f"{OWN}/fetched")))


@scenario
def submitted_digits(trial: Trial) -> None:
    """The digits sweep is submitted, followed and fetched."""
    needs("submit", "--follow")
    cluster, project = trial.world.cluster, digits("submitted")
    outcome = submit(cluster, project).end()
    trial.same(outcome, project)
    trial.tells(outcome.text, "optitrip-digits")
    needs("fetch")
    trial.check(fetched(trial, project, cluster.head, project.states) == expected(project), "other files were fetched")


@scenario
def submitted_from_outside(trial: Trial) -> None:
    """A bowl is submitted, followed and fetched by a machine that is no node, with its own copy of the loss."""
    needs("submit", "--follow")
    cluster, shared = trial.world.cluster, bowl("from-outside", 2000, 0.01)
    laptop = cluster.host("laptop", "10.77.0.61")
    try:
        (laptop.folder / "bowls").mkdir()
        for name in ("bowl.py", "bowl.toml"):
            (laptop.folder / "bowls" / name).write_text((shared.folder / name).read_text())
        states = shared_folder("from-outside-states")
        options = ["--address", JOBS, "--state-dir", str(states), "--follow"]
        command = [f"{BIN}/optitrip", "submit", "bowl.toml", *options]
        outcome = Sweep(laptop, shared, command, states, f"{OWN}/bowls").end()
        trial.same(outcome, shared)
        needs("fetch")
        trial.check(fetched(trial, shared, laptop, states) == expected(shared), "other files were fetched")
    finally:
        laptop.destroy()


@scenario
def submitted_stopped_resumed(trial: Trial) -> None:
    """A submitted sweep is stopped by `ray job stop` and the id that was printed; submitting again resumes it."""
    needs("submit", "--follow")
    cluster, project = trial.world.cluster, bowl("submitted-stopped", 6000, 0.03)
    sweep = submit(cluster, project)
    trial.check(sweep.wait_for_items(500), "too few items before the stop")
    (job,) = re.findall(r"^optitrip-\S+$", sweep.text, re.MULTILINE)
    cluster.head.call(f"{BIN}/ray job stop --address {JOBS} {job}")
    stopped = sweep.end(90)
    trial.seen(stopped)
    trial.check(stopped.status not in (0, 1), f"exit status {stopped.status} of a stopped sweep that was followed")
    again = submit(cluster, project).end()
    trial.same(again, project)
    evaluated = (again.result or {}).get("evaluated", 0)
    trial.figures["evaluated again"] = evaluated
    trial.check(0 < evaluated < 5600, f"evaluated {evaluated} of 6000 again")


@scenario
def submitted_twice(trial: Trial) -> None:
    """A sweep that runs is not submitted a second time: the command is refused, or follows the job that runs it."""
    needs("submit", "--follow")
    cluster, project = trial.world.cluster, bowl("submitted-twice", 4000, 0.02)
    sweep = submit(cluster, project)
    trial.check(sweep.wait_for_items(100), "too few items before the second submission")
    second = submit(cluster, project, follow=False).end(90)
    trial.seen(second)
    trial.check(second.status == 2, f"exit status {second.status} of the second submission")
    trial.tells(second.text, "run")
    third = submit(cluster, project).end()
    trial.check(third.status == 0, f"exit status {third.status} of the command that followed")
    trial.tells(third.text, "following it")
    trial.same(sweep.end(), project)


@scenario
def submitted_without_token(trial: Trial) -> None:
    """Submissions with another token, and with none, are refused in a line that names the token."""
    needs("submit", "--follow")
    cluster, project = trial.world.cluster, bowl("refused", 100, 0.0)
    for name, token in (("stranger", "d" * 64), ("nobody", "")):
        host = cluster.host(name, OUTSIDE, token=token)
        try:
            trial.refused(submit(cluster, project, host=host).end(60), SOON, "token")
        finally:
            host.destroy()


@scenario
def submitted_cifar10(trial: Trial) -> None:
    """The CIFAR-10 sweep is submitted and followed."""
    needs("submit", "--follow")
    project, cluster = cifar10("submitted-cifar10"), trial.world.cluster
    if cluster.store_bytes < CIFAR10_STORE:
        cluster = trial.world.empty_cluster(store_bytes=CIFAR10_STORE)
        cluster.add("w1", 1)
        cluster.add("w2", 2)
    trial.same(submit(cluster, project).end(600), project)


@scenario
def head_killed_mirror(trial: Trial) -> None:
    """The head host loses its power, and its own disk; a new cluster resumes from the mirror."""
    needs("sweep", "--mirror", "--restore")
    cluster, shared, folder = trial.world.cluster, bowl("mirrored", 18_000, 0.03), shared_folder("mirror")
    mirror = f"file://{folder}"
    own = ["--state-dir", f"{OWN}/states"]
    sweep = join(cluster, shared, *own, "--mirror", mirror)
    sweep.states = cluster.head.folder / "states"
    # The first copy is nearly empty, the next one follows after a minute.
    trial.check(sweep.wait_for(lambda: items_mirrored(folder) > 500, 150), "too little was mirrored before its end")
    trial.figures["mirrored"] = items_mirrored(folder)
    cluster.head.destroy()
    trial.seen(sweep.end(60))
    cluster = trial.world.cluster
    again = join(cluster, shared, *own, "--restore", mirror)
    again.states = cluster.head.folder / "states"
    outcome = again.end(600)
    trial.same(outcome, shared)
    evaluated = (outcome.result or {}).get("evaluated", 0)
    trial.figures["evaluated again"] = evaluated
    trial.check(0 < evaluated < 18_000 - 500, f"evaluated {evaluated} of 18,000 again")
