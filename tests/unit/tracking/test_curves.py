"""Curves in MLflow: the same whatever the order of arrival, and short."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from examples import LOSSES, search
from optitrip.core.method import merged
from optitrip.core.observer import InOrder, MetricPoint, Times
from optitrip.methods.search.progress import SearchCurve


@given(cuts=st.sets(st.integers(1, 149), max_size=10), seed=st.integers(0, 2**32))
def test_curves_do_not_depend_on_slices_or_order(cuts: set[int], seed: int) -> None:
    """Whatever the order of arrival, the points are those of the whole, in order of index."""
    one = search(150, keep_all=10**6)
    edges = [0, *sorted(cuts), 150]
    parts = [one.evaluate(LOSSES["troubled"], range(lo, hi)) for lo, hi in itertools.pairwise(edges)]
    whole = SearchCurve(150).points(merged(parts, one.merge), Times([0], [1]))
    random.Random(seed).shuffle(parts)
    curve, order, points = SearchCurve(150), InOrder(), list[MetricPoint]()
    for part in parts:
        for ready, times in order.push([(part, Times([part.items.start], [1]))]):
            points += curve.points(ready, times)
    assert sorted(points) == sorted(whole)
    assert len(set(points)) == len(points)


def test_curves_stay_short_however_many_candidates() -> None:
    """At most about a thousand losses: the stride is a power of two, so a longer sweep keeps the points it has."""
    for items in (10, 1_000, 1_024, 10_000, 300_000, 10**9):
        stride = SearchCurve(items)._stride
        assert stride & (stride - 1) == 0
        assert items / stride <= 1_100
    assert SearchCurve(1_000)._stride == 1
