"""The Ray cluster that workers are in, joined or started on this machine, and its resources."""

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
import ray.exceptions
from ray.experimental import get_local_object_locations

from optitrip.core.notice import Notice, warning
from optitrip.errors import InputError, Stopped
from optitrip.executors.ray.start import joins_cluster
from optitrip.runtime.background import BackgroundCall

ROOM_SECONDS = 10.0


def connect(address: str | None, cpus: int | None, over: threading.Event) -> None:
    """Join a cluster, or start a local Ray with this number of logical CPUs, by default as many as there are.

    A Ray that this process has already is used as it is. Ray is started in a thread of its own: in the main thread it
    would install a handler of SIGTERM that exits with status 15. The thread stays until Ray is `over`, for on Linux the
    kernel ends Ray's processes with the thread that started them. If that fails, InputError is raised.
    """
    if ray.is_initialized():
        return
    if address and address.startswith("ray://"):
        raise InputError(f"--address {address}: Ray Client is not supported; run on the cluster, or give its host:6379")
    joins = joins_cluster(address)
    where = (address or os.environ.get("RAY_ADDRESS") or "auto") if joins else "local"
    options: dict[str, Any] = {} if joins else {"num_cpus": cpus, "include_dashboard": False}
    options |= {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "optitrip"}
    try:
        check_listening(where)
        BackgroundCall(lambda: ray.init(where, **options), over).result()
    except Exception as error:  # Ray has no class for a node that was too slow
        if joins:
            raise InputError(f"no Ray cluster could be joined at {where}: {error}") from None
        raise InputError(f"Ray could not be started here: {error}; --executor serial does not need it") from None


def check_listening(address: str, seconds: float = 10.0) -> None:
    """Raise OSError if nothing listens at host:port; Ray itself would try for two minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()


def capacity(resources: Mapping[str, float], joins: bool, ours: bool) -> int:
    """Return how many workers with these resources the cluster holds now; at least one where a cluster may yet grow."""
    available = ray.cluster_resources()
    count = min([int(available.get(name, 0) / need) for name, need in resources.items() if need > 0] or [1])
    if count < 1 and not joins:
        raise InputError(f"[run] resources: a worker wants {dict(resources)}, this machine has {available}")
    # In a Ray that this process had before, what is released takes a moment to be free.
    needs = {} if joins or ours else {name: need for name, need in resources.items() if need > 0}
    end = time.monotonic() + ROOM_SECONDS
    while any(ray.available_resources().get(name, 0) < need for name, need in needs.items()):
        if time.monotonic() > end:  # others hold all of it, and would never release it
            raise InputError(
                "all of Ray in this process is in use, e.g. by an open optitrip.Session: use that session, or close it"
            )
        time.sleep(0.1)
    return max(1, count)


def put(value: Any, name: str, notices: list[Notice]) -> Any:
    """Put a value into the object store, and a warning into the notices if it is larger; return the reference."""
    try:
        reference = ray.put(value)
    except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
        raise Stopped(
            f"{name} does not fit into Ray's object store of {store_bytes() / 1e6:,.0f} MB, nor on the disk behind it "
            f"({str(error).splitlines()[0]}); free some disk space, give Ray a larger store, or use --executor serial"
        ) from None
    size: int = get_local_object_locations([reference]).get(reference, {}).get("object_size") or 0
    if size > store_bytes():
        text = (
            f"{name} takes {size / 1e6:,.0f} MB, more than Ray's object store of {store_bytes() / 1e6:,.0f} MB: the "
            "rest is stored on the disk, which takes longer. A larger store avoids that"
        )
        notices.append(warning("object-store", text))
    return reference


def store_bytes() -> float:
    """Return the size of the smallest object store of the nodes."""
    sizes = [node["Resources"].get("object_store_memory") for node in ray.nodes() if node["Alive"]]
    return min((size for size in sizes if size), default=math.inf)


def is_alive(node: str) -> bool:
    """Return whether a node still belongs to the cluster, as far as is known."""
    try:
        return any(other["NodeID"] == node and other["Alive"] for other in ray.nodes())
    except Exception:  # the head is lost too
        return False
