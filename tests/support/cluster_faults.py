"""Faults of a whole cluster: `python cluster_faults.py SCENARIO` prints what came of it as JSON.

A process of its own for each, since a process has but one Ray; `test_cluster` gives it an environment. Several nodes on
the loopback of a network of its own, by Ray's own test tool.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import logging
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.cluster_utils import Cluster

from driver_setup import MEMORY, driver, settings
from examples import HERE
from optitrip.core.notice import Notice
from optitrip.core.observer import Observers, Written
from optitrip.errors import Stopped
from optitrip.executors.ray import pool, shared
from optitrip.executors.ray.objects import store_bytes
from optitrip.executors.ray.pool import RayWorkers
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.loss.objective import Objective
from optitrip.methods.search.method import Search
from optitrip.methods.search.spec import search_route
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

ITEMS = 200


def slow(x: float) -> float:
    time.sleep(0.02)
    return x * x


def slower(x: float) -> float:
    """Long enough for Ray to notice what happens to it."""
    time.sleep(0.3)
    return x * x


METHOD = Search(Candidates(Space.parse({"x": {"uniform": [-5, 5]}}), 3), ITEMS)


class World(Observers):
    """A head that evaluates nothing, and nodes of one CPU; something happens once so many parts are written."""

    def __init__(self, nodes: int, **head: Any) -> None:
        super().__init__()
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **head})
        self.nodes = [self.node() for _ in range(nodes)]
        ray.init(
            address=self.cluster.address,
            namespace="optitrip",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        self.executor = RayWorkers(nodes, address=self.cluster.address, paths=[HERE])
        self.journal = Journal(MEMORY)
        self.codes: list[str] = []
        self.after, self.written = 3, 0
        self.happens: Callable[[], object] = lambda: None
        self.noticed: Callable[[Notice], object] = lambda notice: None

    def node(self) -> Any:
        return self.cluster.add_node(num_cpus=1)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        self.written += len(written) if new else 0
        if self.written >= self.after:
            self.after = 10**9
            self.happens()

    def notice(self, notice: Notice) -> None:
        self.codes.append(notice.code)
        self.noticed(notice)

    def run(self, objective: Objective | None = None, **changes: Any) -> Any:
        objective = objective or Objective(slow)
        one = driver(objective, lambda: self.executor, self.journal, self, settings=settings(**changes))
        return one.run(search_route(METHOD, objective.capabilities)).result, one.evaluated["search"]


def serial() -> Any:
    return serial_from(Journal(MEMORY))


def serial_from(journal: Journal) -> Any:
    objective = Objective(slow)
    return driver(objective, Serial, journal).run(search_route(METHOD, objective.capabilities)).result


def told(result: Any, evaluated: int, **more: Any) -> dict[str, Any]:
    same = result.loss.tobytes() == serial().loss.tobytes()
    return {"same": same, "failures": result.failures.count, "evaluated": evaluated, **more}


def node_lost() -> dict[str, Any]:
    """A node goes with its worker; another one comes."""
    world = World(2)
    fired: list[bool] = []

    def happens() -> None:
        world.cluster.remove_node(world.nodes[0], allow_graceful=False)
        world.node()
        fired.append(True)

    world.happens = happens
    return told(*world.run(wait_seconds=60), fired=fired == [True])


def all_workers_lost() -> dict[str, Any]:
    """Every node goes; the sweep stops, and goes on when one is there again."""
    world = World(2)
    world.happens = lambda: [world.cluster.remove_node(node, allow_graceful=False) for node in world.nodes]
    stopped = False
    try:
        world.run(wait_seconds=5)
    except Stopped as error:
        stopped = error.signal is None
    kept = sum(map(len, world.journal.tiling(0, METHOD.digest(), ITEMS)))
    world.executor.close()  # as the end of the first command would; else its workers would get the new node
    world.node()
    world.executor = RayWorkers(1, address=world.cluster.address, paths=[HERE])
    return told(*world.run(wait_seconds=60), fired=stopped, kept=kept)


def freezes_a_worker(world: World) -> list[int]:
    """Have a worker stopped by a signal once some parts are written; its process, when that was done."""
    stopped: list[int] = []

    def happens() -> None:
        pid = int(world.executor.slots[0].rpartition(":")[2])
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    world.happens = happens
    return stopped


def worker_frozen() -> dict[str, Any]:
    """A worker is stopped by a signal, so that it cannot even end itself."""
    world = World(2)
    pool.FROZEN_SECONDS = 1.0
    stopped = freezes_a_worker(world)
    outcome = told(*world.run(item_seconds=2.0, wait_seconds=60))
    return {**outcome, "fired": len(stopped) == 1}


def worker_frozen_for_ever() -> dict[str, Any]:
    """Stop a worker where items have no time limit: another worker evaluates a copy of its slice."""
    world = World(2)
    stopped = freezes_a_worker(world)
    outcome = told(*world.run(wait_seconds=60, straggler_seconds=2.0))
    state = Path(f"/proc/{stopped[0]}/stat").read_text().rpartition(")")[2].split()[0]
    return {**outcome, "fired": state == "T", "codes": world.codes}


def node_frozen() -> dict[str, Any]:
    """A node is stopped with all its processes; Ray gives it up, and another one evaluates what it had."""
    world = World(2)
    stopped: list[int] = []

    def happens() -> None:
        node = world.nodes[0]
        pids = [
            int(slot.rpartition(":")[2])
            for slot, worker in world.executor._ready.items()
            if worker.node == node.node_id
        ]
        pids.append(node.all_processes["raylet"][0].process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    world.happens = happens
    begun = time.monotonic()
    outcome = told(*world.run(wait_seconds=60))
    return {**outcome, "fired": len(stopped) == 2, "seconds": time.monotonic() - begun}


def node_poisoned() -> dict[str, Any]:
    """A node on which every slice kills its worker; another one evaluates all, and it is used no more."""
    world = World(2)
    deaths = Path(os.environ["DEATHS"])
    at_notice: list[int] = []
    world.noticed = lambda _: at_notice.append(deaths.stat().st_size)
    objective = Objective(Poisoned(world.nodes[0].node_id, str(deaths)))
    result, evaluated = world.run(objective=objective, wait_seconds=60)
    told_at = at_notice[0] if at_notice else 0
    later = deaths.stat().st_size - told_at
    return {**told(result, evaluated), "fired": told_at >= 3, "later": later, "codes": world.codes}


class Poisoned:
    """The slow loss, but it kills the workers of one node."""

    def __init__(self, node: str, deaths: str) -> None:
        self.node, self.deaths = node, deaths

    def __call__(self, x: float) -> float:
        if ray.get_runtime_context().get_node_id() == self.node:
            with Path(self.deaths).open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        if Path(self.deaths).stat().st_size < 3:
            time.sleep(0.3)  # new workers take seconds to start, and items must be left for them
        return slow(x)


def head_lost() -> dict[str, Any]:
    """The head dies with what it knows; the sweep stops, and goes on with a new cluster."""
    world = World(2)
    killed: list[int] = []

    def happens() -> None:
        assert world.cluster.head_node is not None
        pid = world.cluster.head_node.all_processes["gcs_server"][0].process.pid
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    world.happens = happens
    shared.HEAD_SECONDS = 3.0
    stopped = False
    begun = time.monotonic()
    try:
        world.run(objective=Objective(slower), wait_seconds=5)
    except Stopped as error:
        stopped = error.signal is None
    seconds = time.monotonic() - begun
    kept = sum(map(len, world.journal.tiling(0, METHOD.digest(), ITEMS)))
    again = serial_from(world.journal)
    same = again.loss.tobytes() == serial().loss.tobytes()
    return {"same": same, "stopped": stopped, "kept": kept, "fired": len(killed) == 1, "seconds": seconds}


def store_full() -> dict[str, Any]:
    """An objective of 200 MB where Ray's object store has 80: it goes through the disk."""
    world = World(1, object_store_memory=80 * 2**20)
    result, evaluated = world.run(objective=Objective(Heavy(200)), wait_seconds=60)
    fired = store_bytes() < Heavy(200).load.nbytes
    return {**told(result, evaluated), "fired": fired, "codes": world.codes}


class Heavy:
    """The slow loss with data that it does not need."""

    def __init__(self, megabytes: int) -> None:
        self.load = np.ones(megabytes * 2**17)

    def __call__(self, x: float) -> float:
        return slow(x) * float(self.load[0])


def memory_leaked() -> dict[str, Any]:
    """A loss that keeps 50 MB of every call: Ray ends its workers whenever they took a share of the memory."""
    world = World(2)
    workers = Path(os.environ["WORKERS"])
    result, evaluated = world.run(objective=Objective(Leaky(str(workers))), wait_seconds=60)
    there = set(workers.read_text().split())
    return {**told(result, evaluated), "fired": len(there) > 2, "workers": len(there), "codes": world.codes}


class Leaky:
    """The slow loss with a leak."""

    def __init__(self, workers: str) -> None:
        self.workers = workers

    def __call__(self, x: float) -> float:
        with Path(self.workers).open("a") as file:
            file.write(f"{os.getpid()} ")
        LEAKED.append(np.ones(50 * 2**17))
        return slow(x)


LEAKED: list[Any] = []


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        node_lost,
        node_frozen,
        node_poisoned,
        all_workers_lost,
        worker_frozen,
        worker_frozen_for_ever,
        head_lost,
        store_full,
        memory_leaked,
    )
}

NEW_NETWORK, SET_FLAGS, UP_AND_RUNNING = 0x40000000, 0x8914, 0x41
"""Constants of Linux: unshare's CLONE_NEWNET, ioctl's SIOCSIFFLAGS, IFF_UP and IFF_RUNNING."""


def isolate() -> None:
    """Give this process a network of its own with nothing but loopback: what Ray listens on, nobody else can reach.

    Raises:
        OSError: where that is not allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no network of its own")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh22x", b"lo", UP_AND_RUNNING))


if __name__ == "__main__":
    try:
        isolate()
    except (OSError, AttributeError) as error:
        print(json.dumps({"skipped": str(error)}), flush=True)
        os._exit(0)
    print(json.dumps(SCENARIOS[sys.argv[1]]()), flush=True)
    os._exit(0)  # Ray's own end waits for nodes that are gone
