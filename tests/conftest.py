"""What all tests share. Ray starts once a session, and only if a test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Event

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# Derandomised: every run tests the same examples. Deadlines are off, because the machine's speed is no law.
settings.register_profile(
    "laws", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("laws")


LONGEST = ("test_readme", "test_simulation", "test_cli")
"""Files that would otherwise be begun last, by one process, while the other has nothing left to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A local Ray with four logical CPUs for all tests."""
    from optitrip.executors.ray_environment import prepare

    prepare(None)
    import ray

    from optitrip.executors.ray_cluster import connect

    over = Event()
    connect(None, 4, over)
    yield
    ray.shutdown()
    over.set()
