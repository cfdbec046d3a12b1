"""Local searches: their moves, generations, steps and ends."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

import optitrip
from command import optitrip as command
from optitrip.core.arrays import Array
from optitrip.core.observer import Times
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.methods.local_search.generation import Around, Generation
from optitrip.methods.local_search.progress import LocalSearchCurve
from optitrip.samplers.random import open_unit, stream_key, words

TABLES: dict[str, Any] = {
    "seed": 3,
    "objective": {"loss": "test_local_search:bowl"},
    "space": {"x": {"shape": [4], "normal": [0, 1]}},
    "tracking": {"use": "none"},
}
STARTS = {"at": {"values": [1.0, -2.0, 3.0, 0.5]}}


def bowl(x: Array) -> float:
    """A sum of squares."""
    return float(x @ x)


def cliff(x: Array) -> float:
    """No loss on one side."""
    return bowl(x) if x[0] > 0.5 else math.nan


def searched(monkeypatch: pytest.MonkeyPatch, **method: Any) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    own = {"use": "local_search", "step": 0.2, "tries": 200, **STARTS, **method}
    stop, loss = own.pop("stop", {}), own.pop("loss", "bowl")
    objective = {"loss": f"test_local_search:{loss}", "maximize": own.pop("maximize", False)}
    return optitrip.sweep({**TABLES, "objective": objective, "method": own, "stop": stop}, executor="serial")


def by_hand(tries: int, generation: int, step: float, halve_after: int) -> tuple[list[float], float]:
    """The losses of the improvements and the last step, by a plain loop."""
    x, losses, idle = np.array(STARTS["at"]["values"]), [0.0], 0
    losses[0] = bowl(x)
    for first in range(0, tries, generation):
        size = min(generation, tries - first)
        noise = ndtri(open_unit(words(stream_key(3, "noise", "x"), 4 * first, 4 * size)).reshape(size, 4))
        found = [bowl(x + step * noise[n]) for n in range(size)]
        idle += 1
        if min(found) < losses[-1]:
            x = x + step * noise[int(np.argmin(found))]
            losses.append(min(found))
            idle = 0
        elif halve_after and idle >= halve_after:
            step, idle = step / 2, 0
    return losses, step


@pytest.mark.parametrize(("generation", "halve_after"), [(1, 0), (8, 10), (50, 1), (7, 2)])
def test_it_is_the_plain_loop(generation: int, halve_after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: the best of each generation is the next point, and the step is halved where nothing improves."""
    found = searched(monkeypatch, generation=generation, halve_after=halve_after)
    losses, step = by_hand(200, generation, 0.2, halve_after)
    assert found.losses.tolist() == losses
    assert found.step == step
    assert found.loss == losses[-1] == bowl(found.x["x"])
    assert found.items == 200


def test_a_try_depends_on_its_number_alone() -> None:
    """In generations of any size the noise of a try is the same."""
    center = Point({"x": np.zeros(4)}, ("x",))
    whole = Around(center, 0, 1.0, 3).values(range(20))["x"]
    assert np.array_equal(Around(center, 13, 1.0, 3).values(range(2, 7))["x"], whole[15:20])
    assert not np.array_equal(Around(center, 0, 1.0, 4).values(range(20))["x"], whole)


def test_failures_are_counted_and_never_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try without a loss is no improvement."""
    found = searched(monkeypatch, loss="cliff", step=0.5)
    assert found.failures["nan"] > 0
    assert found.x["x"][0] > 0.5


def test_limits_ends_and_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable leaves its bounds; a target ends the search, and so does the lack of better losses."""
    up = searched(monkeypatch, bounds={"x": [-3.5, 3.5]}, maximize=True, step=1.0, tries=800)
    assert np.abs(up.x["x"]).max() <= 3.5
    assert up.loss > 40
    assert searched(monkeypatch, stop={"target_loss": 10.0}).ended == "target_loss 10 is reached"
    idle = searched(monkeypatch, step=50.0, halve_after=0, stop={"no_improvement": 40})
    assert idle.ended == "no better loss in 40 tries"
    assert idle.tried == 40


def test_a_first_point_without_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to improve."""
    with pytest.raises(optitrip.NoAnswer, match="no loss at the first point"):
        searched(monkeypatch, loss="cliff", at={"values": [0.0, 0.0, 0.0, 0.0]})


def test_the_command_goes_on_from_what_is_stored(tmp_path: Path) -> None:
    """More tries continue; the answer is that of a search of as many at once."""
    (tmp_path / "mine.py").write_text("def loss(x):\n    return float(x @ x)\n")
    (tmp_path / "l.toml").write_text(
        '[objective]\nloss = "mine:loss"\n[space]\nx = { shape = [4], normal = [0, 1] }\n[method]\n'
        'use = "local_search"\nat = { candidate = 0 }\nstep = 0.1\ntries = 90\n[tracking]\nuse = "none"\n'
    )
    for tries in (90, 333):
        done = command(tmp_path, "sweep", "l.toml", "--set", f"method.tries={tries}", "--executor", "serial")
        assert done.returncode == 0, done.stderr
    assert "going on from try 80, which is stored" in done.stderr
    (label,) = (path.name for path in (tmp_path / ".optitrip").iterdir())
    for number in ("5", "85", "300"):  # before and behind what the snapshots hold
        assert f"try {number} of {label}" in command(tmp_path, "replay", label, number).stdout
    assert "local_search.png" in {path.name for path in (tmp_path / ".optitrip").glob("*/*")}
    (folder,) = (tmp_path / ".optitrip").iterdir()
    first = (folder / "local_best.npz").read_bytes()
    command(tmp_path, "sweep", "l.toml", "--set", "method.tries=333", "--executor", "serial", "--fresh")
    assert (tmp_path / ".optitrip" / folder.name / "local_best.npz").read_bytes() == first


def test_the_chart_does_not_show_the_slices() -> None:
    """One point a generation, the best in the sweep's sign, at its last try."""
    center = Point({"x": np.zeros(4)}, ("x",))
    losses = np.array([3.0, math.nan, 5.0, 4.0])
    for sign, wanted in ((1, 3.0), (-1, 5.0)):
        stage = Generation(Around(center, 8, 1.0, 3), 4, 4, sign)
        for cuts in ([0, 4], [0, 1, 2, 3, 4], [0, 3, 4]):
            curve = LocalSearchCurve(stage)
            found = [
                point
                for low, high in pairwise(cuts)
                for point in curve.points(Part(range(low, high), {"loss": losses[low:high]}), Times([low], [0]))
            ]
            assert [(point.value, point.step) for point in found] == [(wanted, 12)]
