"""Ray workers for many runs: a new one takes two seconds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from examples import HERE


@contextmanager
def lasting_workers(count: int) -> Generator[Any]:
    """Keep workers through runs that close them; who dies is replaced. A local Ray must be there."""
    from optitrip.executors.ray.pool import RayWorkers

    class Lasting(RayWorkers):
        def close(self) -> None: ...

    executor = Lasting(count, paths=[HERE])
    yield executor
    RayWorkers.close(executor)
