"""Ray workers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from long_lived_workers import long_lived_workers
from optitrip.core.executor import Executor


@pytest.fixture(scope="module")
def ray_workers(local_ray: None) -> Iterator[Executor]:
    """Start two workers for the tests of a file."""
    del local_ray
    with long_lived_workers(2) as executor:
        yield executor
