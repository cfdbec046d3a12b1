"""Mark three of four cases of a test as daily: `@pytest.mark.mostly_daily`; or seven of eight: `mostly_daily(8)`."""

from __future__ import annotations

from collections import Counter

import pytest

ONE_OF = 4


def mark_daily(items: list[pytest.Item]) -> None:
    """Mark all but the first of every four (or so many) cases of each test marked `mostly_daily`, in their order."""
    seen = Counter[str]()
    for item in items:
        if (marker := item.get_closest_marker("mostly_daily")) and not item.get_closest_marker("daily"):
            name, (one_of, *_) = item.nodeid.partition("[")[0], (*marker.args, ONE_OF)
            if seen[name] % one_of:
                item.add_marker("daily")
            seen[name] += 1
