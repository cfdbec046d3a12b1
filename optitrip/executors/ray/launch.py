"""Starts Ray workers where Ray runs already, or on a Ray of their own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import ray

from optitrip.executors.ray.address import joins_cluster
from optitrip.executors.ray.local import LocalRay
from optitrip.executors.ray.pool import RayWorkers
from optitrip.executors.ray.shared import check_not_forked


def start_workers(
    workers: int | None,
    address: str | None,
    paths: Sequence[str],
    resources: Mapping[str, float],
    folder: Path,
    files: Mapping[str, bytes],
) -> RayWorkers:
    """Start workers on the cluster to join, or on Ray where this process uses it already, or on a Ray of their own."""
    check_not_forked()
    if joins_cluster(address) or ray.is_initialized():
        return RayWorkers(workers, address, paths, resources, folder=folder, files=files)
    local = LocalRay()
    return local.start(lambda: RayWorkers(workers, address, paths, resources, local, folder))
