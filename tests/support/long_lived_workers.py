"""Ray workers for many runs: a new one takes two seconds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
PATHS = sorted({str(path.parent) for path in TESTS.rglob("*.py")})
"""The folders of tests and of what supports them: workers import losses from there."""


@contextmanager
def long_lived_workers(count: int) -> Generator[Any]:
    """Keep workers through runs that close them; who dies is replaced. A local Ray must be there."""
    from optitrip.executors.ray.pool import RayWorkers

    class Lasting(RayWorkers):
        def close(self) -> None: ...

    executor = Lasting(count, paths=PATHS)
    yield executor
    RayWorkers.close(executor)
