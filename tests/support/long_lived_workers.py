"""Share Ray workers between tests: a new one takes two seconds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
PATHS = sorted({str(path.parent) for path in TESTS.rglob("*.py")})
"""All folders of tests: workers import losses from there."""


@contextmanager
def long_lived_workers(count: int) -> Generator[Any]:
    """Yield workers that outlive the runs that close them; dead ones are replaced. A local Ray must be running."""
    from optitrip.executors.ray.pool import RayWorkers

    class LongLived(RayWorkers):
        def close(self) -> None: ...

    executor = LongLived(count, paths=PATHS)
    yield executor
    RayWorkers.close(executor)
