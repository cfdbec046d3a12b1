"""Commands that cannot join, or find no room: one line says why, soon."""

from __future__ import annotations

from cluster.hosts import Host
from cluster.ray_cluster import OUTSIDE, RayCluster
from cluster.sweeps import Outcome, Sweep, bowl, join
from cluster.trial import Trial, scenario

SOON = 15.0
"""Seconds within which a command must say why it cannot join."""


def outsider(cluster: RayCluster, token: str | None) -> Host:
    """Start a machine that is in the network, but no node of the cluster."""
    return cluster.host("outside", OUTSIDE, token=token)


def attempt(trial: Trial, token: str | None, *patterns: str) -> None:
    """Run a sweep from the outside machine, and expect a refusal in one line."""
    cluster = trial.world.cluster
    host = outsider(cluster, token)
    try:
        outcome = join(cluster, bowl("outside", 100, 0.0), host=host).end(120)
        trial.refused(outcome, SOON, *patterns)
    finally:
        host.destroy()


@scenario
def wrong_token(trial: Trial) -> None:
    """The outside machine has another cluster's token."""
    attempt(trial, "f" * 64, "token")


@scenario
def no_token(trial: Trial) -> None:
    """The outside machine has no token, but knows that there is one (RAY_AUTH_MODE=token)."""
    attempt(trial, "", "token")


@scenario
def no_token_no_mode(trial: Trial) -> None:
    """The outside machine knows nothing of tokens."""
    cluster = trial.world.cluster
    host = outsider(cluster, "")
    del host.environment["RAY_AUTH_MODE"]
    try:
        trial.refused(join(cluster, bowl("outside", 100, 0.0), host=host).end(120), SOON, "token")
    finally:
        host.destroy()


@scenario
def no_node(trial: Trial) -> None:
    """The outside machine has the token, but is no node of the cluster."""
    attempt(trial, None, "node|ray start")


@scenario
def wrong_token_on_head(trial: Trial) -> None:
    """A command on the head has a wrong token in its environment."""
    cluster, project = trial.world.cluster, bowl("wrong-here", 100, 0.0)
    cluster.head.environment["RAY_AUTH_TOKEN"] = "e" * 64
    try:
        trial.refused(join(cluster, project).end(120), SOON, "token")
    finally:
        del cluster.head.environment["RAY_AUTH_TOKEN"]


@scenario
def nothing_listens(trial: Trial) -> None:
    """The address is that of a host on which no Ray runs."""
    cluster = trial.world.cluster
    address = f"{trial.world.mlflow.host.address}:6379"
    trial.refused(join(cluster, bowl("nothing", 100, 0.0), address=address).end(120), SOON, "refused|listen|answer")


@scenario
def no_host(trial: Trial) -> None:
    """The address is that of no host."""
    cluster = trial.world.cluster
    outcome = join(cluster, bowl("nobody", 100, 0.0), address="10.77.0.99:6379").end(120)
    trial.refused(outcome, SOON, "10.77.0.99", "refused|listen|answer|reach|route|timed out")


@scenario
def no_such_resource(trial: Trial) -> None:
    """The sweep wants a resource that no node has: it says so while it waits."""
    cluster = trial.world.cluster
    project = bowl("resource", 100, 0.0, run="\n[run]\nresources = { gpu4 = 1 }\n")
    outcome = waits_and_stops(join(cluster, project), "gpu4")
    trial.seen(outcome)
    trial.tells(outcome.text, "gpu4", "no node|nodes have")


@scenario
def host_with_resource_comes(trial: Trial) -> None:
    """A host with the missing resource comes: the sweep goes on there."""
    cluster = trial.world.cluster
    project = bowl("resource-comes", 400, 0.02, run="\n[run]\nresources = { rare = 1 }\n")
    sweep = join(cluster, project)
    sweep.wait_for_text("rare", 30)
    cluster.add("rare", 2, resources='{"rare": 2}')
    outcome = sweep.end()
    trial.same(outcome, project)
    trial.tells(outcome.text, "rare")


def waits_and_stops(sweep: Sweep, word: str) -> Outcome:
    """Let a sweep wait until it has said a word, at most a minute; then press Ctrl-C."""
    sweep.wait_for_text(word, 60)
    sweep.stop()
    return sweep.end(60)
