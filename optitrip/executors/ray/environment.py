"""Prepares the environment before Ray is imported. This file imports nothing of Ray."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys


def ray_installed() -> bool:
    """Return whether Ray is installed: it has no wheels for Macs with Intel processors nor for Windows on ARM."""
    return importlib.util.find_spec("ray") is not None


def joins_cluster(address: str | None) -> bool:
    """Return whether there is a cluster to join: by argument, by RAY_ADDRESS, or because this is a Ray job."""
    where = address or os.environ.get("RAY_ADDRESS")
    return where != "local" and bool(where or os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"))


def prepare(address: str | None) -> None:
    """Set what Ray reads when it is imported; a user's own settings win."""
    # Reports are off for `ray.init` anyway; this keeps them off in the processes it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without the workers' logs, which the driver does not receive, the rest is Ray's own comments on lost workers; they
    # would go to stdout, into the result. The driver itself reports what became of a worker.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    # A warning about a future default, printed on machines without a GPU.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if joins_cluster(address):
        return
    # Under `uv run`, Ray would copy the working directory and build the environment anew for each worker.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    if "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        # Ray turns token authentication on for a local cluster; one that is imported has read its mode already. A token
        # of its own keeps it on, without the warning and without the file that Ray would leave in the home directory.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
