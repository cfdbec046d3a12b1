"""The one local Ray of all contestants."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from typing import Any

from optitrip.executors.ray.start import RayPool
from rounds import needed

WORKERS = 2
"""Workers of each contestant that has any."""
LOGICAL_CPUS = 6
"""Room for two sessions of optitrip, whose workers stay, beside the tasks of others: who is not in turn idles."""
LIMIT = "in_turn"
"""A resource of which each task takes one: it keeps the tasks of others from running more than two at a time."""


@cache
def local_ray() -> Any:
    """Ray, started when it is first needed.

    Raises:
        Unavailable: where it is not installed.
    """
    RayPool().prepare()
    # Ray ends workers that idle while others have their turns, and starting them anew would be counted as theirs.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "3600000")
    ray = needed("ray")
    ray.init(
        address="local",
        num_cpus=LOGICAL_CPUS,
        resources={LIMIT: WORKERS},
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    return ray


def remote(function: Callable[..., Any]) -> Any:
    """A function as tasks of Ray, one CPU and so one thread each, two at a time."""
    return local_ray().remote(function).options(num_cpus=1, resources={LIMIT: 1})
