"""Waits for the raylet of a Ray that starts, before Ray itself does.

Ray connects to its raylet with the GIL held, and ends the process with status 1 if the raylet has died meanwhile.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import ray._private.worker

from optitrip.errors import Stopped
from optitrip.runtime.posix import listens

WORKER: Any = ray._private.worker
POLL_SECONDS = 0.05


@contextmanager
def raylet_first() -> Generator[None]:
    """Have `ray.init` connect once the raylet listens; it raises Stopped if the raylet dies before."""
    connect = WORKER.connect

    @wraps(connect)
    def patient(node: Any, *args: Any, **kwargs: Any) -> Any:
        await_raylet(node)
        return connect(node, *args, **kwargs)

    WORKER.connect = patient
    try:
        yield
    finally:
        WORKER.connect = connect


def await_raylet(node: Any) -> None:
    """Return once a node's raylet listens on its socket; raise Stopped if its process has ended."""
    path = str(node.raylet_socket_name)
    while path.startswith("/"):  # not on Windows
        if listens(path):
            return
        if any(info.process.poll() is not None for info in node.all_processes.get("raylet", ())):
            raise Stopped("Ray has died: its raylet ended while Ray was starting")
        time.sleep(POLL_SECONDS)
