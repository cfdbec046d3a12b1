"""Joins a Ray cluster, or starts one on this machine, and queries its resources."""

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import compress
from typing import Any

import ray
from ray.job_config import JobConfig

from optitrip.errors import InputError, Stopped
from optitrip.executors.ray.address import AUTO, cluster_address
from optitrip.executors.ray.joining import check_can_join, check_head, check_listening, first_line
from optitrip.executors.ray.nodes import room
from optitrip.runtime.imports import is_installed

ROOM_SECONDS, ANSWER_SECONDS = 10.0, 2.0
MOST_ASKED = 64
"""Number of nodes that are asked at a time whether they are there."""
WRONG = (ValueError, TypeError, FileNotFoundError, PermissionError)
"""Exceptions of `ray.init` that the next try would raise as well."""


class LibrariesFirst(list[str]):
    """Folders of the driver that Ray puts on the workers' import path, each before the ones before it."""

    def extend(self, folders: Iterable[str]) -> None:
        super().extend([*folders, *(entry for entry in reversed(sys.path) if is_installed(entry))])


def connect(address: str | None, cpus: int | None, *, libraries_first: bool = False) -> None:
    """Join a cluster, or start a local Ray with `cpus` logical CPUs, by default all.

    With `libraries_first`, Ray's worker processes find libraries before files in the working directory, which Ray puts
    first on their import path. If Ray is already initialized in this process, it is used unchanged. Raise InputError if
    the options or the cluster are wrong, Stopped if a local Ray did not come up.
    """
    if ray.is_initialized():
        return
    if address and address.startswith("ray://"):
        raise InputError(f"--address {address}: Ray Client is not supported; run on the cluster, or give its host:6379")
    where = cluster_address(address) or "local"
    joins = where != "local"
    options: dict[str, Any] = {} if joins else {"num_cpus": cpus, "include_dashboard": False}
    options |= {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "optitrip"}
    if libraries_first:
        options["job_config"] = JobConfig()
        vars(options["job_config"])["_py_driver_sys_path"] = LibrariesFirst()
    if joins and where != AUTO:
        check_can_join(where)
    try:
        ray.init(where, **options)
    except Exception as error:  # Ray raises a bare Exception if a node starts too slowly
        if joins:
            raise InputError(f"no Ray cluster could be joined at {where}: {first_line(error)}") from None
        kind = InputError if isinstance(error, WRONG) else Stopped
        raise kind(f"Ray could not be started here: {error}; --executor serial does not need it") from None


def capacity(resources: Mapping[str, float], joins: bool, ours: bool) -> int:
    """Return the number of workers the cluster has resources for, but at least 1, since a cluster may grow."""
    if joins:
        return max(1, room(answering(ray.nodes()), resources))
    available = ray.cluster_resources()
    count = min([int(available.get(name, 0) / need) for name, need in resources.items() if need > 0] or [1])
    if count < 1:
        text = f"a worker needs the resources {dict(resources)}, but this machine has {available}"
        raise InputError(text, ("run", "resources"))
    # If this process used Ray before, released resources become available only after a moment.
    needs = {} if ours else {name: need for name, need in resources.items() if need > 0}
    end = time.monotonic() + ROOM_SECONDS
    while any(ray.available_resources().get(name, 0) < need for name, need in needs.items()):
        if time.monotonic() > end:  # another user of Ray in this process holds them and may never release them
            raise InputError(
                "all of Ray in this process is in use, e.g. by an open optitrip.Session: use that session, or close it"
            )
        time.sleep(0.1)
    return count


def answering(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the nodes, as Ray describes them, that answer: one that dies counts as alive for half a minute."""

    def answers(node: Mapping[str, Any]) -> bool:
        try:
            check_listening(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}", ANSWER_SECONDS)
        except OSError:
            return False
        return True

    alive = [node for node in nodes if node["Alive"]]
    with ThreadPoolExecutor(MOST_ASKED) as asked:
        return list(compress(alive, asked.map(answers, alive)))


def is_alive(node: str) -> bool:
    """Return whether a node still belongs to the cluster, as far as is known."""
    try:
        check_head()
        return any(other["NodeID"] == node and other["Alive"] for other in ray.nodes())
    except Exception:  # the head is lost as well
        return False
