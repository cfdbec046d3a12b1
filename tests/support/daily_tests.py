"""Mark most cases of a test as for another time.

`@pytest.mark.mostly_daily` marks three of four cases as daily, `mostly_daily(8)` seven of eight; `mostly_thorough`
marks them as thorough.
"""

from __future__ import annotations

from collections import Counter

import pytest

ONE_OF = 4


def mark_most(items: list[pytest.Item]) -> None:
    """Mark all but the first of every four (or so many) cases of each test that is marked so, in their order."""
    for kind in ("daily", "thorough"):
        seen = Counter[str]()
        for item in items:
            if (marker := item.get_closest_marker(f"mostly_{kind}")) and not item.get_closest_marker(kind):
                name, (one_of, *_) = item.nodeid.partition("[")[0], (*marker.args, ONE_OF)
                if seen[name] % one_of:
                    item.add_marker(kind)
                seen[name] += 1
