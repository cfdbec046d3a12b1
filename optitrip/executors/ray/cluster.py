"""The Ray cluster that workers are in: joined, or started on this machine; and what there is in it."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray

from optitrip.errors import InputError
from optitrip.executors.ray.environment import joins_cluster
from optitrip.runtime.background import BackgroundCall

ROOM_SECONDS = 10.0


def connect(address: str | None, cpus: int | None, over: threading.Event) -> None:
    """Start a local Ray, of so many logical CPUs or as many as there are, or join a cluster.

    A Ray that this process has already is used as it is. It is started in a thread of its own: in the main thread it
    would put a handler of SIGTERM in place that exits with status 15. The thread stays until Ray is `over`, for on
    Linux the kernel ends Ray's processes with the thread that started them.

    Raises:
        InputError: if the cluster cannot be joined.
    """
    if ray.is_initialized():
        return
    if address and address.startswith("ray://"):
        raise InputError(f"--address {address}: Ray Client is not supported; run on the cluster, or give its host:6379")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "optitrip"}
    if joins_cluster(address):
        where = address or os.environ.get("RAY_ADDRESS") or "auto"
        try:
            answers(where)
            BackgroundCall(lambda: ray.init(address=where, **quiet), over).result()
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"no Ray cluster could be joined at {where}: {error}") from None
    else:
        try:
            local = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            BackgroundCall(lambda: ray.init(**local, **quiet), over).result()
        except Exception as error:  # Ray has no class for a node that was too slow
            raise InputError(f"Ray could not be started here: {error}; --executor serial does without") from None


def answers(address: str, seconds: float = 10.0) -> None:
    """Try whether anything listens at host:port; Ray itself would try for two minutes.

    Raises:
        OSError: if nothing does.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()


def fitting(resources: Mapping[str, float], joins: bool) -> int:
    """How many workers with these resources the cluster holds now; at least one of a cluster that may yet grow.

    Raises:
        InputError: if the local machine cannot hold one.
    """
    there = ray.cluster_resources()
    count = min([int(there.get(name, 0) / need) for name, need in resources.items() if need > 0] or [1])
    if count < 1 and not joins:
        raise InputError(f"[run] resources: a worker wants {dict(resources)}, this machine has {there}")
    return max(1, count)


def await_room(resources: Mapping[str, float]) -> None:
    """Go on if this process's own Ray has room for one more worker; what is let go takes a moment to be free.

    Raises:
        InputError: if others, e.g. those of an open session, hold all of it: they would never let go.
    """
    end = time.monotonic() + ROOM_SECONDS
    while any(ray.available_resources().get(name, 0) < need for name, need in resources.items() if need > 0):
        if time.monotonic() > end:
            raise InputError(
                "all of the Ray in this process is in use, e.g. by an open optitrip.Session: use that one, or close it"
            )
        time.sleep(0.1)


def store_bytes() -> float:
    """Of the smallest object store of the nodes."""
    sizes = [one["Resources"].get("object_store_memory") for one in ray.nodes() if one["Alive"]]
    return min((size for size in sizes if size), default=math.inf)


def alive(node: str) -> bool:
    """Whether a node is still one of the cluster, as far as is known."""
    try:
        return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())
    except Exception:  # the head is gone too
        return False
