"""Fixtures and settings of all tests. Ray starts once a session, and only if a test asks for it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import process_guard
import xdist_groups
from daily_tests import mark_most
from quick_tests import mark_quick

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Under `uv run pytest`, Ray would start each worker, also those of clusters that tests start, by another `uv run`.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

# Derandomised: every run tests the same examples. No deadlines: the speed of the machine is not under test.
settings.register_profile(
    "laws",
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile("quick", settings.get_profile("laws"), max_examples=10)
settings.register_profile("daily", settings.get_profile("laws"), max_examples=50)
settings.load_profile("laws")


def pytest_configure(config: pytest.Config) -> None:
    """Start the process guard and the scheduler of groups once a run, not in each of its processes."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job; some tests press Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    profile = config.option.markexpr.partition(" ")[0]
    if profile in ("quick", "daily"):
        settings.load_profile(profile)
    if not hasattr(config, "workerinput"):
        config.stash[WATCH] = process_guard.watch()
        config.pluginmanager.register(xdist_groups.Scheduling())


WATCH = pytest.StashKey[object]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_most(items)
    xdist_groups.arrange(config, items)
    mark_quick(items)


KNOWN_MODULES: set[str] = set()
"""Names of modules that are no test's."""


@pytest.fixture(autouse=True)
def forgotten_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget after each test the modules that tests have written and imported, so that two may use the same name."""
    yield
    written = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - KNOWN_MODULES:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(written):
            del sys.modules[name]
        else:
            KNOWN_MODULES.add(name)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty MLflow store for tests to copy; making one takes seconds."""
    from optitrip.tracking.mlflow_store import make_store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_store(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Start a local Ray with four logical CPUs. Tests that ask for it are marked `ray`."""
    from optitrip.executors.ray.start import RayPool

    RayPool().prepare()
    from optitrip.executors.ray.cluster import connect
    from optitrip.executors.ray.local import LocalRay

    local = LocalRay()
    local.start(lambda: connect(None, 4))
    yield
    local.close()
