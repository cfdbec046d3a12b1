"""Figures of remote workers: time over the ideal, and bytes on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable

from cluster.ray_cluster import RayCluster
from cluster.sweeps import Sweep, bowl, items_written, join, slices_written
from cluster.trial import Trial, scenario

SLOTS, HOSTS = 16, 4
PAUSE = 0.05
SLICE_SECONDS = 0.5
OVER_IDEAL, BYTES_A_SLICE = 1.1, 8 * 1024
"""Limits of the issue."""


def sixteen_slots(trial: Trial) -> RayCluster:
    """Return a new cluster of four worker hosts with four slots each; the losses sleep, so two real CPUs suffice."""
    cluster = trial.world.empty_cluster()
    for n in range(HOSTS):
        cluster.add(f"w{n + 1}", SLOTS // HOSTS)
    return cluster


@scenario
def over_ideal(trial: Trial) -> None:
    """Take the time over the ideal of 16 remote slots in four namespaces, for slices of 0.5 s."""
    cluster = sixteen_slots(trial)
    items = round(120 * SLOTS / PAUSE)
    project = bowl("ideal", items, PAUSE)
    sweep = join(cluster, project)
    sweep.wait_for(lambda: sum(cluster.used_by().values()) >= SLOTS, 300)
    sweep.wait_for_items(round(5 * SLOTS / PAUSE))
    over = rates(sweep, 90.0)
    trial.same(sweep.end(600), project)
    trial.figures["time over ideal"] = round(over, 3)
    trial.check(over <= OVER_IDEAL, f"{over:.3f} of the ideal time, more than {OVER_IDEAL}")


def rates(sweep: Sweep, seconds: float) -> float:
    """Return the ideal number of items in a time over the number that was written in it."""
    begun, before = time.monotonic(), items_written(sweep.states)
    sweep.wait_for(lambda: time.monotonic() - begun >= seconds, seconds + 5)
    done = items_written(sweep.states) - before
    return (time.monotonic() - begun) * SLOTS / PAUSE / done


@scenario
def bytes_on_wire(trial: Trial) -> None:
    """Take the bytes a slice on the links of workers, above those of idle workers, for 10 and 100,000 parameters."""
    cluster = trial.world.cluster
    figures = {size: bytes_a_slice(trial, cluster, size) for size in (10, 100_000)}
    for size, value in figures.items():
        trial.figures[f"bytes a slice, {size} parameters"] = round(value)
        trial.check(value <= BYTES_A_SLICE, f"{value:.0f} bytes a slice of {size} parameters")
    grown = figures[100_000] / max(figures[10], 1.0)
    trial.check(grown < 1.5, f"{grown:.2f} times as many bytes for 10,000 times as many parameters")


def bytes_a_slice(trial: Trial, cluster: RayCluster, parameters: int) -> float:
    """Return the bytes a slice in the steady state of a sweep; one-time data and idle links' bytes are left out."""
    shape = f"w = {{ shape = [{parameters - 2}], uniform = [0, 1] }}\n"
    project = bowl(f"wire-{parameters}", 60_000, 0.005, space=shape, parameters="x, y, w", extra=" + 0 * w[0]")
    hosts = list(cluster.workers.values())
    time.sleep(5)
    idle = taken(lambda: sum(host.bytes_on_wire() for host in hosts), 15.0)
    sweep = join(cluster, project)
    slots = sum({"w1": 1, "w2": 2, "w3": 2}.values())
    sweep.wait_for(lambda: sum(cluster.used_by().values()) >= slots, 120)
    sweep.wait_for_items(1000)
    time.sleep(10)
    slices = slices_written(sweep.states)
    busy = taken(lambda: sum(host.bytes_on_wire() for host in hosts), 20.0)
    count = (slices_written(sweep.states) - slices) / 20.0
    sweep.stop()
    trial.seen(sweep.end(60))
    return (busy - idle) / count if count else float("inf")


def taken(counter: Callable[[], int], seconds: float) -> float:
    """Return by how much a counter grows in a second."""
    begun, before = time.monotonic(), counter()
    time.sleep(seconds)
    return (counter() - before) / (time.monotonic() - begun)
