"""Curves in MLflow: the same whatever the order of arrival, and short."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from examples import LOSSES, search
from optitrip.core.method import merged
from optitrip.core.observer import InOrder, MetricPoint, Times
from optitrip.core.part import Part
from optitrip.methods.search.progress import SearchCurve


@given(cuts=st.sets(st.integers(1, 149), max_size=10), seed=st.integers(0, 2**32))
def test_curves_do_not_depend_on_slices_or_order(cuts: set[int], seed: int) -> None:
    """Whatever the order of arrival, the points are those of the whole, in order of index."""
    one = search(150, keep_all=10**6)
    edges = [0, *sorted(cuts), 150]
    parts = [one.evaluate(LOSSES["troubled"], range(lo, hi)) for lo, hi in itertools.pairwise(edges)]
    whole = SearchCurve().points(merged(parts, one.merge), Times([0], [1]))
    random.Random(seed).shuffle(parts)
    curve, order, points = SearchCurve(), InOrder(), list[MetricPoint]()
    for part in parts:
        for ready, times in order.push([(part, Times([part.items.start], [1]))]):
            points += curve.points(ready, times)
    assert points == whole
    assert len(set(points)) == len(points)


@given(st.lists(st.floats(-1e9, 1e9) | st.sampled_from([float("nan"), float("inf")]), min_size=1), st.booleans())
def test_a_staircase_is_the_running_best(losses: list[float], maximize: bool) -> None:
    """Drawn with straight lines, it shows the best so far at every index, up to the last step."""
    points = staircase(losses, -1 if maximize else 1)
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps))
    best, running = None, list[float | None]()
    for loss in losses:
        if math.isfinite(loss) and (best is None or (loss > best if maximize else loss < best)):
            best = loss
        running.append(best)
    assert all(running[step] == value for step, value in points)
    for (here, value), (there, lower) in itertools.pairwise(points):
        assert there == here + 1 or value == lower
    assert not points or running[-1] == points[-1][1]
    assert bool(points) == (best is not None)


def test_curves_stay_short_whatever_the_losses() -> None:
    """Of losses that fall with every candidate, the first 500 are all steps; then there are some each percent."""
    count = 200_000
    points = staircase([-float(index) for index in range(count)], 1)
    assert points[:500] == [(index, -index) for index in range(500)]
    assert len(points) < 2_000
    assert all(value == -step for step, value in points)
    assert points[-1][0] > 0.99 * count
    assert points[:400] == staircase([-float(index) for index in range(400)], 1)


def staircase(losses: list[float], sign: int) -> list[tuple[int, float]]:
    """Return the points of a chart whose parts are one candidate each."""
    curve, points = SearchCurve(sign), list[tuple[int, float]]()
    for index, loss in enumerate(losses):
        low = [index] if math.isfinite(loss) else []
        part = Part(range(index, index + 1), {"low_index": np.array(low), "low_loss": np.array([loss][: len(low)])})
        points += [(point.step, point.value) for point in curve.points(part, Times([index], [1]))]
    return points
