"""The best so far of a resumed sweep counts what was stored before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from examples import LOSSES, METHODS, step_of_descent
from optitrip.core.observer import Times
from optitrip.methods.descent.progress import DescentProgress
from optitrip.methods.descent.trajectory import Trajectory
from optitrip.methods.local_search.progress import LocalSearchProgress
from optitrip.methods.local_search.route import Climb
from optitrip.methods.snapshot import Snapshot


def watched(progress: Any, stored: Snapshot, method: Any) -> Any:
    """The best so far after a snapshot that was read, and the first part of the stage behind it."""
    for stage, new in ((stored, False), (method, True)):
        progress.stage(stage)
        part = stage.evaluate(stage.prepare(LOSSES["scalar"]), range(stage.items))
        progress.parts([(part, Times([0], [0]))], new=new)
    return progress.best()


@pytest.mark.parametrize(("loss", "wins"), [(1e-3, True), (1e6, False)])
def test_a_descent(loss: float, wins: bool) -> None:
    """The best point of the snapshot is it, unless a later one is better."""
    x = np.array([1.0, 2.0, 3.0])
    path = Trajectory(x, {}, x, loss, 4)
    found = watched(DescentProgress(99), Snapshot("path", 10, path.columns(0)), step_of_descent(1))
    assert (found.loss == loss) == wins
    assert np.array_equal(found.x["x"], x) == wins
    assert (found.step == 4) == wins


@pytest.mark.parametrize(("loss", "wins"), [(1e-3, True), (1e6, False)])
def test_a_local_search(loss: float, wins: bool) -> None:
    """So is the point around which it was trying."""
    x = np.array([1.0, 2.0, 3.0])
    climb = Climb(x, loss, 0.1, 30, improved=np.array([0.0, 17.0]), losses=np.array([5.0, loss]))
    found = watched(LocalSearchProgress(99), Snapshot("path", 10, climb.columns()), METHODS["local_search"](5))
    assert (found.loss == loss) == wins
    assert np.array_equal(found.x["x"], x) == wins
    assert (found.tries == 17) == wins
