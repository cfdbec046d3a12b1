"""Mark most cases of a test with many as daily: `@pytest.mark.mostly_daily`. The first of every four runs each time."""

from __future__ import annotations

from collections import Counter

import pytest

ONE_OF = 4


def mark_daily(items: list[pytest.Item]) -> None:
    """Mark three of four cases of each test that is marked `mostly_daily`, in the order of its parameters."""
    seen = Counter[str]()
    for item in items:
        if item.get_closest_marker("mostly_daily") and not item.get_closest_marker("daily"):
            name = item.nodeid.partition("[")[0]
            if seen[name] % ONE_OF:
                item.add_marker("daily")
            seen[name] += 1
