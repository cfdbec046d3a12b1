"""Adaptive searches: what is asked and told, the answer, ends, failures, and searchers that are refused."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optitrip
from command import optitrip as command
from hill import Hill
from optitrip.core.arrays import Array
from optitrip.core.failures import Failures, Record
from optitrip.core.observer import Times
from optitrip.loss.objective import Objective
from optitrip.methods.adaptive.batch import shifted
from optitrip.methods.adaptive.cube import Asked, Cube
from optitrip.methods.adaptive.progress import AdaptiveCurve
from optitrip.methods.adaptive.route import AdaptiveSearch, Told
from optitrip.methods.adaptive.searcher import searcher_of
from optitrip.methods.search.method import Search
from optitrip.space.candidates import Candidates
from optitrip.space.distribution import HIGHEST, LOWEST
from optitrip.space.variables import Space

SOME_FAILED, REFUSED = 3, 2
"""Exit statuses."""
BOX: dict[str, Any] = {"x": {"shape": [4], "uniform": [-2, 2]}}
MIXED: dict[str, Any] = {
    "rate": {"log_uniform": [1e-4, 1]},
    "kind": {"choice": ["a", "b", "c"]},
    "n": {"integer": [0, 9]},
}


def rosenbrock(x: Array) -> float:
    """The valley of Rosenbrock, whose only minimum in up to three dimensions is 0 at x = 1."""
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def mixed(rate: float, kind: str, n: int) -> float:
    """The smallest loss is 0 at rate = 0.01, kind = b, n = 3."""
    return math.log10(rate / 0.01) ** 2 + (kind != "b") + 0.1 * (n - 3) ** 2


def cliff(x: Array) -> float:
    """No loss on one side."""
    return float(x @ x) if x[0] > 0.2 else math.nan


def asked(loss: Any = rosenbrock, space: Any = BOX, searcher: Any = Hill, candidates: int = 100, **options: Any) -> Any:
    return optitrip.ask_tell(loss, space, searcher=searcher, candidates=candidates, executor="serial", **options)


def by_hand(count: int, batch: int, width: float) -> list[float]:
    """The losses of a plain loop of asking and telling."""
    cube = Cube.of(Space.parse(BOX))
    searcher, losses = Hill(cube, 7, batch, width), list[float]()
    while len(losses) < count:
        points = searcher.ask(batch)
        found = [rosenbrock(4 * u - 2) for u in np.clip(points, LOWEST, HIGHEST)]  # the cube is open
        searcher.tell(points, np.array(found))
        losses += found
    return losses[:count]


@pytest.mark.parametrize(("count", "batch"), [(64, 16), (50, 16), (7, 1), (3, 16)])
def test_it_is_the_plain_loop(count: int, batch: int) -> None:
    """To the bit, also where the last batch is not full."""
    found = asked(candidates=count, batch=batch, seed=7, settings={"width": 0.3})
    losses = by_hand(count, batch, 0.3)
    assert found.losses.tolist() == losses
    assert found.loss == min(losses) == rosenbrock(found.x["x"])
    assert found.index == int(np.argmin(losses))
    assert [row.loss for row in found.top(3)] == sorted(losses)[:3]
    assert found.trials()["loss"].tolist() == losses


def test_cma_reaches_a_known_minimum() -> None:
    """Rosenbrock's valley in three dimensions ends at (1, 1, 1), where the loss is 0."""
    found = asked(space={"x": {"shape": [3], "uniform": [-2, 2]}}, searcher="cma", candidates=1_500, seed=1)
    assert found.loss < 1e-12
    assert np.allclose(found.x["x"], 1, atol=1e-5)


def test_optuna_reaches_a_known_minimum() -> None:
    """TPE finds the option and the whole number, and comes near in a range of four decades."""
    found = asked(mixed, MIXED, "optuna", candidates=160, batch=8, seed=1)
    assert (found.x["kind"], found.x["n"]) == ("b", 3)
    assert found.loss < 0.01


@pytest.mark.parametrize(("searcher", "options"), [("cma", {}), ("optuna", {}), ("optuna", {"sampler": "Random"})])
def test_seeds_decide_and_global_streams_do_not(searcher: str, options: dict[str, Any]) -> None:
    """The same seed asks for the same points whatever NumPy's global stream is, which stays as it was."""
    found = list[Any]()
    for state, seed in [(1, 3), (2, 3), (2, -4)]:
        np.random.seed(state)  # noqa: NPY002 - the stream that must not matter
        before = np.random.get_state()[1].tolist()  # noqa: NPY002 # pyright: ignore
        found.append(asked(searcher=searcher, candidates=40, seed=seed, settings=options).losses.tolist())
        assert np.random.get_state()[1].tolist() == before  # noqa: NPY002 # pyright: ignore
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("searcher", ["cma", "optuna", Hill])
def test_failures_are_told_and_never_win(searcher: Any) -> None:
    """A candidate without a loss is counted; the search goes on and ends where there is one."""
    found = asked(cliff, searcher=searcher, candidates=120, seed=2)
    assert found.failures["nan"] > 0
    assert found.x["x"][0] > 0.2
    assert found.items == 120


def test_the_largest() -> None:
    """With `maximize` a searcher is told losses with the other sign; the answer has the user's."""
    found = asked(lambda x: -rosenbrock(x), candidates=80, maximize=True, seed=7)
    smallest = asked(candidates=80, seed=7)
    assert found.loss == -smallest.loss
    assert found.index == smallest.index


def test_ends() -> None:
    """A target ends the search there, and so does the lack of better losses; a loss that always fails is told
    of after a hundred."""
    target = asked(candidates=2_000, stop={"target_loss": 10.0}, seed=7)
    assert target.loss <= 10
    assert target.index == target.items - 1
    assert target.ended == f"candidate {target.index:,} met the target of 10: the search ends there"
    idle = asked(lambda x: 1.0, candidates=2_000, stop={"no_improvement": 20})
    assert idle.items == 32
    assert "no improvement in 20 candidates" in idle.ended
    with pytest.raises(optitrip.NoAnswer, match="none of the first 112 candidates has a finite loss: 112 nan"):
        asked(lambda x: math.nan, candidates=2_000)


class Broken(Hill):
    def tell(self, points: Any, losses: Any) -> None:
        raise RuntimeError("cannot learn")


class Flat(Hill):
    def ask(self, count: int) -> Any:
        return super().ask(count)[0]


class Far(Hill):
    def ask(self, count: int) -> Any:
        return super().ask(count) + 2


@pytest.mark.parametrize(
    ("searcher", "message"),
    [(Broken, "cannot learn"), (Flat, r"shape \(4,\); wanted \(16, 4\)"), (Far, "not from 0 to 1")],
)
def test_a_searcher_that_fails(searcher: Any, message: str) -> None:
    """The message has its name and what it did."""
    with pytest.raises(optitrip.NoAnswer, match=f"(?s)searcher {searcher.__name__} raised.*{message}"):
        asked(searcher=searcher)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"searcher": "cmaa"}, "did you mean cma"),
        ({"searcher": 3}, "was 3; wanted the name of a searcher"),
        ({"searcher": "cma", "space": {"x": {"uniform": [0, 1]}}}, "at least two"),
        ({"searcher": "cma", "space": MIXED}, "kind is a choice"),
        ({"searcher": "cma", "batch": 2}, "batch of at least 3"),
        ({"space": {"x": 1.0}}, "constants only"),
        ({"candidates": 0}, "candidates"),
        ({"state_dir": "runs", "searcher": lambda cube, seed, batch: Hill(cube, seed, batch)}, "imported by name"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    """Before anything is evaluated."""
    with pytest.raises(optitrip.InputError, match=re.escape(message)):
        asked(**options)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which, and that an extra brings it."""
    monkeypatch.setattr("optitrip.methods.adaptive.searcher.find_spec", lambda name: None)
    with pytest.raises(optitrip.InputError, match=r"'cma' is not installed; install it, or optitrip\[cma\]"):
        asked(searcher="cma")


SWEEP = """
seed = 3
[objective]
loss = "mine:loss"
[space]
x = { shape = [3], uniform = [-2, 2] }
k = { integer = [0, 3] }
[method]
use = "adaptive"
searcher = "hills:Hill"
batch = 10
candidates = 45
[tracking]
use = "none"
"""
LOSS = "def loss(x, k):\n    assert k != 2\n    return float(x @ x) + k\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sweep, its loss and its searcher."""
    (tmp_path / "mine.py").write_text(LOSS)
    (tmp_path / "hills.py").write_text((Path(__file__).parents[2] / "support" / "hill.py").read_text())
    (tmp_path / "a.toml").write_text(SWEEP)
    return tmp_path


@pytest.mark.daily
def test_more_candidates_go_on_from_what_is_stored(folder: Path) -> None:
    """The last batch is filled up; table, replay and answer are those of a search of as many at once."""
    first = command(folder, "sweep", "a.toml", "--executor", "serial")
    assert first.returncode == SOME_FAILED, first.stderr
    more = command(folder, "sweep", "a.toml", "--set", "method.candidates=93", "--executor", "serial", "--json")
    assert "resuming: the first 40 items are in the journal" in more.stderr
    whole = command(
        folder, "sweep", "a.toml", "--set", "method.candidates=93", "--executor", "serial", "--json", "--state-dir", "b"
    )
    answers = [re.sub(r'"file": "[^"]*"', "", re.search(r'"best": \{[^}]*\}', run.stdout)[0]) for run in (more, whole)]  # pyright: ignore
    assert answers[0] == answers[1]
    label = "a-" + json.loads(more.stdout)["identity"]
    command(folder, "table", label, "-o", "all.csv")
    assert len((folder / "all.csv").read_text().splitlines()) == 1 + 93
    for index in ("7", "88"):
        row = next(line for line in (folder / "all.csv").read_text().splitlines() if line.startswith(f"{index},"))
        again = command(folder, "replay", label, index).stdout
        assert f"candidate {index} of" in again
        assert row.split(",")[1] == again.split()[-1] or "AssertionError" in again


@pytest.mark.daily
def test_a_searcher_that_has_changed_is_not_resumed(folder: Path) -> None:
    """Other points than those that are stored are an error, and what is stored stays."""
    assert command(folder, "sweep", "a.toml", "--executor", "serial").returncode == SOME_FAILED
    text = (folder / "hills.py").read_text()
    (folder / "hills.py").write_text(text.replace("0.1", "0.2"))
    options = ["--set", "method.candidates=93", "--executor", "serial"]
    assert "what the answer depends on has changed" in command(folder, "sweep", "a.toml", *options).stderr
    more = command(folder, "sweep", "a.toml", *options, "--accept-changes")
    assert "asks for other points than those that are stored" in more.stderr
    assert more.returncode == REFUSED
    (folder / "hills.py").write_text(text)
    back = command(folder, "sweep", "a.toml", *options, "--accept-changes")
    assert back.returncode == SOME_FAILED, back.stderr


def test_a_leg_of_a_trip() -> None:
    """A descent begins where the searcher has arrived."""
    legs = [
        {"name": "asked", "use": "adaptive", "searcher": "hill:Hill", "candidates": 60},
        {"name": "down", "use": "descent", "rate": 1e-4, "steps": 5},
    ]
    tables = {"objective": {"loss": "test_adaptive:rosenbrock"}, "space": BOX, "leg": legs, "tracking": {"use": "none"}}
    found = cast("Any", optitrip.sweep(tables, executor="serial"))
    alone = asked(candidates=60)
    assert found.legs["asked"].loss == alone.loss
    assert found.legs["down"].first == alone.loss
    assert found.legs["down"].loss < alone.loss


def test_the_chart_is_the_best_so_far() -> None:
    """Over all batches, as a staircase: each new best, and the one before it at the candidate before."""
    adaptive = AdaptiveSearch(Search(Candidates(Space.parse(BOX), 7), 64), searcher_of(Hill, {}, Path()), 16)
    objective, told, points = Objective(rosenbrock), Told(), list[tuple[int, float]]()
    searcher = adaptive.searcher.begin(adaptive.cube, 7, 16)
    while told.count < 64:
        stage = adaptive.stage(searcher.ask(16, 4), told)
        part = stage.evaluate(stage.prepare(objective), range(16))
        points += [(point.step, point.value) for point in AdaptiveCurve(stage).points(part, Times([0], [5]))]
        told.add(stage, stage.result(part))
        searcher.tell(stage.asked.unit_rows, told.parts[-1].columns["loss"])
    losses = np.array(by_hand(64, 16, 0.1))
    assert [value for _, value in points] == [float(np.minimum.accumulate(losses)[step]) for step, _ in points]
    better = [step for step in range(1, 64) if losses[step] < losses[:step].min()]
    assert {0, *better, *(step - 1 for step in better)} == {step for step, _ in points}


@given(st.integers(0, 50), st.lists(st.integers(0, 40), max_size=5))
@settings(max_examples=30)
def test_failures_keep_their_places(by: int, places: list[int]) -> None:
    """A batch's failures have the numbers of its candidates."""
    records = [("nan", Record(place, "float", "the loss was nan", "")) for place in sorted({*places})]
    moved = shifted(Failures.of({record.index: "nan" for _, record in records}, records), by)
    found = [index for lo, hi in moved.runs.get("nan", ()) for index in range(lo, hi)]
    assert found == [by + place for place in sorted({*places})]


def test_the_cube_has_every_entry_by_name() -> None:
    """Variables are in the order of their names; constants have no coordinate."""
    cube = Cube.of(Space.parse({"w": {"shape": [2, 2], "normal": [0, 1]}, "c": 3.0, **MIXED}))
    assert cube.names == ("kind", "n", "rate", "w[0, 0]", "w[0, 1]", "w[1, 0]", "w[1, 1]")
    assert cube.levels == (3, 10, 0, 0, 0, 0, 0)
    assert cube.ordered == (False, *[True] * 6)


def test_candidates_are_the_points_that_were_asked_for() -> None:
    """By their numbers, and the ends of the cube are values, too."""
    rows = np.array([[0.0, 0.25], [1.0, 0.5], [0.5, 0.75]])
    points = Asked(Space.parse({"x": {"uniform": [0, 4]}, "k": {"integer": [0, 3]}}), 0, "mine", rows, first=10)
    assert points.values(range(10, 13))["k"].tolist() == [0, 3, 2]
    assert points.point(12)["x"].tolist() == [3.0]
