"""What all tests share. Ray starts once a session, and only if a test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# Derandomised: every run tests the same examples. Deadlines are off, because the machine's speed is no law.
settings.register_profile(
    "laws",
    max_examples=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("laws")


RAY = "the files that want Ray"
ON_RAY = ("test_api", "test_executors", "test_faults", "test_laws", "test_losses_on_ray")
LONGEST = ("test_simulation", RAY, "test_cli", "test_readme")
"""Groups that would otherwise be begun last, by one process, while the other has nothing left to do."""


def group(file: str) -> str:
    """What is run by one process: a file, since what its tests share is made once, or all that want Ray."""
    stem = Path(file).stem
    return RAY if stem in ON_RAY else stem


class Groups(LoadScopeScheduling):
    """Not `--dist loadgroup`, which knows of groups by an attribute that pytest 9 has no longer."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest groups."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(group(item.path.name), len(rank)))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A local Ray with four logical CPUs for all tests of `ON_RAY`."""
    from optitrip.executors.ray_environment import prepare

    prepare(None)
    import ray

    from optitrip.executors.ray_cluster import connect

    over = Event()
    connect(None, 4, over)
    yield
    ray.shutdown()
    over.set()
