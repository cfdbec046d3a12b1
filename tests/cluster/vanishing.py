"""Links, hosts and servers that vanish and come back while a sweep runs."""

from __future__ import annotations

import signal
import time

from cluster.hosts import Host
from cluster.ray_cluster import RayCluster, workers_on
from cluster.sweeps import Outcome, Project, bowl, join
from cluster.trial import WORKERS, Trial, scenario

CUT_SECONDS = 30.0
LONG = 400.0
"""Seconds after which a sweep that does not end is killed."""


@scenario
def worker_link_cut(trial: Trial) -> None:
    """The link of a worker host is cut for 30 s and mended."""
    cluster, project = trial.world.cluster, bowl("link-of-worker", 8000, 0.03)
    sweep = join(cluster, project)
    trial.check(sweep.wait_for_items(200), "too few items before the cut")
    cluster.workers["w2"].cut()
    time.sleep(CUT_SECONDS)
    cluster.workers["w2"].mend()
    outcome = sweep.end(LONG)
    trial.same(outcome, project)
    trial.figures["node"] = (
        "kept by Ray" if cluster.workers["w2"].address in (cluster.nodes() or {}) else "dropped by Ray"
    )
    if trial.figures["node"] == "dropped by Ray":
        trial.tells(outcome.text, r"node|host|10\.77", "lost|gone|left|dead")


@scenario
def driver_link_cut(trial: Trial) -> None:
    """A sweep is started on a worker host, whose link is cut for 30 s; it goes on, or the same command resumes it."""
    cluster, project = trial.world.cluster, bowl("link-of-driver", 8000, 0.03)
    host = cluster.workers["w1"]
    sweep = join(cluster, project, host=host)
    trial.check(sweep.wait_for_items(200), "too few items before the cut")
    host.cut()
    time.sleep(CUT_SECONDS)
    host.mend()
    outcome = sweep.end(LONG)
    if outcome.status != 0:
        trial.check(outcome.status == 75, f"exit status {outcome.status} after the cut")
        trial.tells(outcome.text, "ray start")
        trial.seen(outcome)
        cluster.restart_ray(host, WORKERS["w1"])
        outcome = join(cluster, project, host=host).end(LONG)
    trial.same(outcome, project)


@scenario
def worker_host_frozen(trial: Trial) -> None:
    """A worker host stands still for 30 s, as a virtual machine that is moved does."""
    cluster, project = trial.world.cluster, bowl("frozen", 8000, 0.03)
    sweep = join(cluster, project)
    trial.check(sweep.wait_for_items(200), "too few items before the host froze")
    cluster.workers["w2"].kill("", signal.SIGSTOP)
    time.sleep(CUT_SECONDS)
    cluster.workers["w2"].kill("", signal.SIGCONT)
    trial.same(sweep.end(LONG), project)


@scenario
def worker_host_destroyed(trial: Trial) -> None:
    """A worker host loses its power; another one is added."""
    cluster, project = trial.world.cluster, bowl("destroyed", 14_000, 0.03)  # Ray takes a minute to give a node up
    sweep = join(cluster, project)
    trial.check(sweep.wait_for_items(200), "too few items before the end of the host")
    address = cluster.workers["w3"].address
    cluster.remove("w3")
    cluster.add("w4", 2)
    trial.check(sweep.wait_for(lambda: cluster.used_by().get("w4", 0) >= 2), "the added host was not used")
    outcome = sweep.end(LONG)
    trial.same(outcome, project)
    trial.tells(outcome.text, rf"{address}|node", "lost|gone|left|dead")


@scenario
def workers_come_late(trial: Trial) -> None:
    """A sweep begins on a cluster without workers; two hosts come after 20 s, and all their CPUs are used."""
    cluster, project = trial.world.empty_cluster(), bowl("late", 8000, 0.02)
    sweep = join(cluster, project)
    begun = time.monotonic()
    sweep.wait_for_text("waiting", 20)
    time.sleep(max(0.0, begun + 20 - time.monotonic()))
    cluster.add("w1", 1)
    cluster.add("w2", 2)
    trial.check(sweep.wait_for(lambda: sum(cluster.used_by().values()) >= 3), "not all 3 CPUs were used")
    trial.figures["workers"] = sum(cluster.used_by().values())
    outcome = sweep.end(LONG)
    trial.same(outcome, project)
    trial.tells(outcome.text, "wait", "no worker|without worker|no node|CPU")


@scenario
def mlflow_restarted(trial: Trial) -> None:
    """The MLflow server is away when a sweep begins, and comes back after 20 s; the run is there and finished."""
    cluster, project = trial.world.cluster, bowl("tracked", 12_000, 0.02)
    server = trial.world.mlflow
    before = {run["info"]["run_id"] for run in server.runs()}
    server.stop()
    sweep = join(cluster, project)
    sweep.wait_for_items(10**9, 20)
    server.start()
    outcome = sweep.end(LONG)
    trial.same(outcome, project)
    server.wait()
    new = [run["info"] for run in server.runs() if run["info"]["run_id"] not in before]
    trial.figures["runs"] = [info["status"] for info in new]
    trial.check([info["status"] for info in new] == ["FINISHED"], "not one finished run in MLflow")
    trial.tells(outcome.text, "MLflow.*cannot be reached")
    trial.tells(outcome.text, "MLflow.*is there again")


@scenario
def mlflow_host_restarted_later(trial: Trial) -> None:
    """The MLflow server is killed in the middle of a sweep and comes back; nothing is missing there."""
    cluster, project = trial.world.cluster, bowl("tracked-later", 4000, 0.02)
    server = trial.world.mlflow
    before = {run["info"]["run_id"] for run in server.runs()}
    sweep = join(cluster, project)
    trial.check(sweep.wait_for_items(500), "too few items before the server's end")
    server.stop()
    time.sleep(5)
    server.start()
    trial.same(sweep.end(LONG), project)
    server.wait()
    new = [run["info"]["status"] for run in server.runs() if run["info"]["run_id"] not in before]
    trial.check(new == ["FINISHED"], f"runs in MLflow: {new}")


@scenario
def head_killed_shared(trial: Trial) -> None:
    """The head host loses its power; a new cluster resumes from the shared folder."""
    cluster, project = trial.world.cluster, bowl("head", 4000, 0.02)
    stopped = sweep_without_head(trial, cluster, project)
    trial.seen(stopped)
    again = join(trial.world.cluster, project).end(LONG)
    trial.same(again, project)
    evaluated = (again.result or {}).get("evaluated", 0)
    trial.figures["evaluated again"] = evaluated
    trial.check(0 < evaluated < 3800, f"evaluated {evaluated} of 4000 again")


def sweep_without_head(trial: Trial, cluster: RayCluster, project: Project, *more: str) -> Outcome:
    """Start a sweep on the head, and take its power away; return what is known of the sweep."""
    sweep = join(cluster, project, *more)
    trial.check(sweep.wait_for_items(400), "too few items before the head's end")
    cluster.head.destroy()
    outcome = sweep.end(60)
    ended_by_themselves(trial, list(cluster.workers.values()))
    return outcome


def ended_by_themselves(trial: Trial, hosts: list[Host]) -> None:
    """Note how many workers of the sweep outlive the head for some seconds."""
    time.sleep(10)
    trial.figures["workers 10 s after the head"] = sum(len(workers_on(host)) for host in hosts)


@scenario
def head_killed_driver_elsewhere(trial: Trial) -> None:
    """The head host loses its power while the command runs on a worker host: it stops, says so, and can be resumed."""
    cluster, project = trial.world.cluster, bowl("driver-elsewhere", 12_000, 0.03)
    sweep = join(cluster, project, host=cluster.workers["w1"])
    trial.check(sweep.wait_for_items(400), "too few items before the head's end")
    cluster.head.destroy()
    stopped = sweep.end(120)
    trial.seen(stopped)
    trial.check(stopped.status == 75, f"exit status {stopped.status}")
    trial.tells(stopped.text, "head.*(answer|lost|gone|dead)")
    trial.same(join(trial.world.cluster, project).end(LONG), project)


@scenario
def head_killed_at_the_end(trial: Trial) -> None:
    """The head host loses its power seconds before the last items are evaluated: the command still ends by itself."""
    cluster, project = trial.world.cluster, bowl("at-the-end", 3000, 0.02)
    sweep = join(cluster, project, host=cluster.workers["w1"])
    trial.check(sweep.wait_for_items(1500), "too few items before the head's end")
    cluster.head.destroy()
    outcome = sweep.end(90)
    trial.check(outcome.status in (0, 75), "did not end by itself within 90 s")
    if outcome.status == 75:
        trial.seen(outcome)
        outcome = join(trial.world.cluster, project).end(LONG)
    else:
        trial.world.discard()  # Ray's workers outlive their head for a minute
    trial.same(outcome, project)
