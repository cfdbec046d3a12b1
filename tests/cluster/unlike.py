"""Hosts that are not like the others, and clusters that are busy."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from cluster.hosts import Host
from cluster.sweeps import Project, bowl, expected, join, on_every_host
from cluster.trial import NotRun, Trial, prepared, scenario
from cluster.world import DOWNLOADS

OTHER_NUMPY = "2.3.5"
BAD_CPUS = 2
MEMORY = 700 * 2**20


def fetch_other_numpy(folder: Path) -> None:
    """Install another NumPy into a folder; without a network, there is none afterwards."""
    uv = shutil.which("uv")
    command = [uv, "pip", "install"] if uv else [sys.executable, "-m", "pip", "install"]
    more = ["--python", sys.executable] if uv else []
    wanted = ["--quiet", *more, "--no-deps", "--target", str(folder / "numpy"), f"numpy=={OTHER_NUMPY}"]
    subprocess.run([*command, *wanted], capture_output=True)


@scenario
@prepared(fetch_other_numpy)
def other_numpy(trial: Trial) -> None:
    """One host has another NumPy: it is refused, and the difference named."""
    folder = DOWNLOADS / "numpy"
    if not folder.is_dir():
        raise NotRun(f"NumPy {OTHER_NUMPY} could not be downloaded")

    def exchange(host: Host) -> None:
        packages = host.own_packages()
        host.call(f"rm -rf {packages}/numpy {packages}/numpy.libs {packages}/numpy-*.dist-info")
        host.call(f"cp -r {folder}/. {packages}")

    cluster, project = trial.world.cluster, bowl("other-numpy", 3000, 0.02)
    cluster.add("bad", BAD_CPUS, prepare=exchange)
    outcome = join(cluster, project).end()
    trial.same(outcome, project)
    trial.tells(outcome.text, "numpy", re.escape(OTHER_NUMPY))


@scenario
def older_module(trial: Trial) -> None:
    """One host has an older copy of the loss's module at the same path: its numbers must not count."""
    cluster = trial.world.cluster
    shared = bowl("older", 3000, 0.02)
    cluster.add("bad", BAD_CPUS)
    hosts = [cluster.head, *cluster.workers.values()]
    own = on_every_host(shared, hosts)
    older = (shared.folder / "bowl.py").read_text().replace("y * y", "0.5 * y * y - 1")
    (cluster.workers["bad"].folder / "older" / "bowl.py").write_text(older)
    outcome = join(cluster, own).end()
    trial.seen(outcome)
    trial.equal = outcome.digest == expected(shared)
    trial.check(trial.equal, f"another answer than the serial one, exit status {outcome.status}")
    trial.figures["bad host"] = "refused" if re.search(r"10\.77\.0\.\d+.*bowl", outcome.text) else "not mentioned"


@scenario
def older_helper(trial: Trial) -> None:
    """One host has an older copy of a module that the loss imports when it is called."""
    cluster = trial.world.cluster
    shared = bowl("older-helper", 3000, 0.02, extra=" + shift()")
    loss = (shared.folder / "bowl.py").read_text()
    late = "\n\ndef shift():\n    from helper import SHIFT\n\n    return SHIFT\n"
    (shared.folder / "bowl.py").write_text(loss + late)
    (shared.folder / "helper.py").write_text("SHIFT = 1.0\n")
    cluster.add("bad", BAD_CPUS)
    own = on_every_host(shared, [cluster.head, *cluster.workers.values()])
    (cluster.workers["bad"].folder / "older-helper" / "helper.py").write_text("SHIFT = 0.5\n")
    outcome = join(cluster, own).end()
    trial.seen(outcome)
    inline = Project(shared.folder, shared.file)
    (shared.folder / "bowl.py").write_text(loss + late.replace("from helper import SHIFT", "SHIFT = 1.0"))
    trial.equal = outcome.digest == expected(inline)
    trial.check(trial.equal, f"another answer than the serial one, exit status {outcome.status}")


@scenario
def module_on_driver_only(trial: Trial) -> None:
    """The loss's module is on the head's own disk only: it travels with the sweep."""
    cluster, shared = trial.world.cluster, bowl("only-here", 3000, 0.005)
    own = on_every_host(shared, [cluster.head])
    outcome = join(cluster, own).end()
    trial.seen(outcome)
    trial.equal = outcome.digest == expected(shared)
    trial.check(trial.equal and outcome.status == 0, f"exit status {outcome.status}")


@scenario
def no_optitrip(trial: Trial) -> None:
    """One host has no optitrip: it is used no more after three failures, and named; good hosts go on."""
    without(trial, "no-optitrip", join_first=False)


@scenario
def no_optitrip_joins_later(trial: Trial) -> None:
    """A host without optitrip comes while a sweep runs: no worker is started there again and again."""
    without(trial, "no-optitrip-later", join_first=True)


def without(trial: Trial, name: str, *, join_first: bool) -> None:
    """Run a sweep beside a host without optitrip, which is there before, or comes while the sweep runs."""

    def remove(host: Host) -> None:
        packages = host.own_packages()
        host.call(f"rm -rf {packages}/optitrip {packages}/optitrip-* {packages}/_editable_impl_optitrip.pth")

    cluster, project = trial.world.cluster, bowl(name, 4000, 0.02)
    if not join_first:
        cluster.add("bad", BAD_CPUS, prepare=remove)
    sweep = join(cluster, project)
    if join_first:
        trial.check(sweep.wait_for_items(200), "too few items before the host came")
        cluster.add("bad", BAD_CPUS, prepare=remove)
    outcome = sweep.end()
    trial.same(outcome, project)
    trial.tells(outcome.text, "optitrip", r"10\.77\.0\.\d+|node")
    started = list((cluster.workers["bad"].folder / "tmp").glob("ray/session_2*/logs/worker-*.err"))
    trial.figures["worker processes on the bad host"] = len(started)
    trial.check(len(started) < 20, f"{len(started)} worker processes were started on the bad host")


@scenario
def too_little_memory(trial: Trial) -> None:
    """One host has too little memory for the loss's data: it is used no more, and named."""
    cluster, project = trial.world.cluster, bowl("memory", 3000, 0.02)
    ballast = "import numpy as np\n\nBALLAST = np.ones(60_000_000)\n"  # 480 MB
    (project.folder / "bowl.py").write_text(ballast + (project.folder / "bowl.py").read_text())
    try:
        cluster.add("bad", 2, memory=MEMORY)
    except OSError as error:
        raise NotRun(f"no memory cgroups: {error}") from None
    outcome = join(cluster, project).end()
    trial.same(outcome, project)
    trial.tells(outcome.text, "memory", r"10\.77\.0\.\d+|node")


@scenario
def two_sweeps(trial: Trial) -> None:
    """Two sweeps at once: the second says why it waits, or shares; both end."""
    cluster = trial.world.cluster
    first, second = bowl("first", 8000, 0.03), bowl("second", 2000, 0.02)
    one = join(cluster, first)
    trial.check(one.wait_for_items(200), "too few items before the second sweep")
    two = join(cluster, second)
    outcomes = one.end(), two.end()
    trial.same(outcomes[0], first)
    trial.same(outcomes[1], second)
    trial.tells(outcomes[1].text, "CPU", "taken|in use|busy|wait")


@scenario
def two_sweeps_that_share(trial: Trial) -> None:
    """Two sweeps of `[run] workers = 2` run side by side on 5 CPUs."""
    cluster = trial.world.cluster
    projects = [bowl(f"share-{n}", 2000, 0.02, run="\n[run]\nworkers = 2\n") for n in (1, 2)]
    sweeps = [join(cluster, project) for project in projects]
    trial.check(sweeps[1].wait_for(lambda: sum(cluster.used_by().values()) >= 4), "4 workers were never there at once")
    for sweep, project in zip(sweeps, projects, strict=True):
        trial.same(sweep.end(), project)
