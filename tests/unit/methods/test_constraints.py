"""Searches with constraints, and with variables that exist under a condition only."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from command import optitrip as command
from optitrip.core.absent import ABSENT
from optitrip.errors import InputError, NoAnswer
from optitrip.space.candidates import Candidates
from optitrip.space.expression import Expression
from optitrip.space.variables import Space, arguments

KERNELS: dict[str, Any] = {
    "kernel": {"choice": ["linear", "rbf", "poly"]},
    "C": {"uniform": [0.1, 10]},
    "gamma": {"log_uniform": [1e-4, 1], "when": "kernel == 'rbf'"},
    "degree": {"integer": [2, 5], "when": "kernel == 'poly'"},
    "shift": {"shape": [2], "normal": [0, 1], "when": "degree > 3"},
}
SQUARE: dict[str, Any] = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}
HALF = (Expression("x + y < 1"),)


class Counted:
    """A loss that keeps what it was called with, in this process."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []

    def __call__(self, **point: Any) -> float:
        self.points.append(point)
        return float(point.get("C", point.get("x")) + 9 * (point.get("kernel") == "poly"))

    def __reduce__(self) -> Any:
        raise TypeError("stays in its process")


def test_a_variable_is_passed_only_where_its_condition_holds() -> None:
    """A condition over a variable that does not exist does not hold."""
    loss = Counted()
    answer = optitrip.search(loss, KERNELS, candidates=300, executor="serial")
    drawn = Candidates(Space.parse(KERNELS), 0).values(range(300))
    assert {frozenset(point) - {"kernel", "C"} for point in loss.points} == {
        frozenset(), frozenset({"gamma"}), frozenset({"degree"}), frozenset({"degree", "shift"}),
    }  # fmt: skip
    for point in loss.points:
        assert ("gamma" in point) == (point["kernel"] == "rbf")
        assert ("shift" in point) == (point.get("degree", 0) > 3)
    plain = Candidates(
        Space.parse({name: {k: v for k, v in e.items() if k != "when"} for name, e in KERNELS.items()}), 0
    )
    for row in range(300):
        wanted = arguments(plain.point(row), 0)
        found = arguments({name: column[row : row + 1] for name, column in drawn.items()}, 0)
        for name, value in found.items():
            np.testing.assert_array_equal(value, wanted[name])
        assert all(drawn[name][row] is ABSENT for name in wanted.keys() - found.keys())
    assert answer.loss == min(entry["C"] + 9 * (entry["kernel"] == "poly") for entry in loss.points)


def test_infeasible_candidates_are_not_evaluated_and_are_no_failures() -> None:
    """Those that are evaluated have the losses of a search without constraints, and the count is exact."""
    loss = Counted()
    answer = optitrip.search(loss, SQUARE, candidates=400, where=["x + y < 1"], executor="serial")
    drawn = Candidates(Space.parse(SQUARE), 0).values(range(400))
    feasible = drawn["x"] + drawn["y"] < 1
    called = {(point["x"], point["y"]) for point in loss.points}
    assert called == set(zip(drawn["x"][feasible].tolist(), drawn["y"][feasible].tolist(), strict=True))
    assert answer.result.infeasible == 400 - feasible.sum()
    assert not answer.failures
    assert np.isnan(answer.losses).tolist() == (~feasible).tolist()
    assert answer.trials()["status"].tolist() == ["ok" if one else "infeasible" for one in feasible]
    assert f"{400 - feasible.sum()} of 400" in dict(answer.rows())["constraints"]
    assert answer.how_sure()[-1] == dict(answer.rows())["constraints"]


def test_a_batch_holds_no_infeasible_candidate_and_keeps_its_bits() -> None:
    """In place of one stands a copy of a feasible one."""
    matrix = np.random.default_rng(1).standard_normal((2, 30))

    class Batches:
        block = 16

        def losses(self, x: Any, y: Any) -> Any:
            assert (x + y < 1).all()
            return np.square(np.stack([x, y], 1) @ matrix).sum(1)

    class Free(Batches):
        def losses(self, x: Any, y: Any) -> Any:
            return np.square(np.stack([x, y], 1) @ matrix).sum(1)

    found = optitrip.search(Batches(), SQUARE, candidates=100, where=["x + y < 1"], executor="serial").losses
    every = optitrip.search(Free(), SQUARE, candidates=100, executor="serial").losses
    there = np.isfinite(found)
    assert 20 < there.sum() < 80
    assert found[there].tobytes() == every[there].tobytes()


@pytest.mark.parametrize("sampler", ["random", "halton"])
def test_an_infeasible_candidate_is_drawn_again_until_it_is_feasible(sampler: str) -> None:
    """Feasible ones stay as they are, no range of candidates changes another, and the new ones are uniform."""
    space = Space.parse(SQUARE)
    again = Candidates(space, 4, sampler, where=HALF, redraw=True)
    values, plain = again.values(range(4_000)), Candidates(space, 4, sampler).values(range(4_000))
    feasible = plain["x"] + plain["y"] < 1
    assert (values["x"] + values["y"] < 1).all()
    assert (values["x"][feasible] == plain["x"][feasible]).all()
    for some in (range(7), range(100, 101), range(3_001, 3_400)):
        assert again.values(some)["y"].tobytes() == values["y"][some.start : some.stop].tobytes()
    assert np.mean(values["x"]) == pytest.approx(1 / 3, abs=0.02)
    assert np.mean(values["x"] ** 2) == pytest.approx(1 / 6, abs=0.02)
    assert again.feasible_share(4_000) == pytest.approx(0.5, abs=0.03)


def test_what_no_draw_meets_stays_infeasible() -> None:
    """The search ends with an error that says so."""
    with pytest.raises(NoAnswer, match=r"none of the 20 candidates is feasible.*; loosen `where`"):
        optitrip.search(Counted(), SQUARE, candidates=20, where=["x > 2"], redraw=True, executor="serial")


def test_a_constraint_over_a_variable_that_does_not_exist_is_met() -> None:
    """It applies where all its variables exist."""
    space = Space.parse(KERNELS)
    candidates = Candidates(space, 0, where=(Expression("gamma * C < 0.1"),))
    values = candidates.values(range(300))
    feasible = candidates.feasible(values, 300)
    linear = np.array([entry is ABSENT for entry in values["gamma"]])
    assert feasible[linear].all()
    products = [g * c for g, c in zip(values["gamma"][~linear], values["C"][~linear], strict=True)]
    assert feasible[~linear].tolist() == [product < 0.1 for product in products]


@pytest.mark.parametrize(
    ("space", "method", "said"),
    [
        ({"x": {"uniform": [0, 1], "when": "y > 1"}}, {}, "y is no variable"),
        ({"x": {"uniform": [0, 1], "when": "x > 1"}}, {}, "depends on itself"),
        (
            {"x": {"uniform": [0, 1], "when": "y > 1"}, "y": {"normal": [0, 1], "when": "x < 1"}},
            {},
            "depends on itself",
        ),
        ({"x": {"uniform": [0, 1], "when": 3}}, {}, "wanted a condition"),
        (SQUARE, {"where": ["x + z < 1"]}, "z is no variable"),
        (SQUARE, {"where": ["x +"]}, "cannot be read"),
        (SQUARE, {"where": ["x = 1"]}, "cannot be read: .*; == compares, = does not"),
        (SQUARE, {"where": "x < 1"}, r'wanted a list of conditions, e.g. \["x \+ y < 1"\]'),
        (SQUARE, {"first": {"x": 0.5, "y": 1}}, "wanted a list of points"),
        (SQUARE, {"redraw": True}, "add a line where"),
        (SQUARE, {"first": [{"x": 0.5}]}, "point 1 has no y"),
        (SQUARE, {"first": [{"x": 0.5, "y": 2}]}, "outside of its range"),
        (SQUARE, {"first": [{"x": 0.5, "y": 0.5, "z": 1}]}, "has z, but the space has x, y"),
        (SQUARE, {"points": "points.csv"}, "given beside points; wanted one of them"),
    ],
)
def test_mistakes_are_found_at_the_door(space: dict[str, Any], method: dict[str, Any], said: str) -> None:
    """With what is wrong and what was wanted."""
    with pytest.raises(InputError, match=said):
        optitrip.search(Counted(), space, candidates=10, executor="serial", **method)


def test_a_loss_must_be_able_to_do_without_a_variable() -> None:
    """A parameter without a default, and a batch, which has all variables, are mistakes that are told."""

    def strict(kernel: str, C: float, gamma: float, degree: int, shift: Any) -> float:
        raise AssertionError

    with pytest.raises(InputError, match="give the parameter a default"):
        optitrip.search(strict, KERNELS, candidates=10, executor="serial")

    class Batches:
        def losses(self, **columns: Any) -> Any:
            return np.zeros(len(columns["C"]))

    with pytest.raises(InputError, match="wanted plain = true"):
        optitrip.search(Batches(), KERNELS, candidates=10, executor="serial")


SWEEP = """
[objective]
loss = "kernel_losses:loss"
[space]
kernel = { choice = ["linear", "rbf"] }
C = { uniform = [0.1, 10] }
gamma = { log_uniform = [1e-4, 1], when = "kernel == 'rbf'" }
[method]
use = "search"
candidates = 60
where = ["C < 5"]
first = [{ kernel = "linear", C = 4.5 }, { kernel = "rbf", C = 9.5, gamma = 0.5 }]
[run]
executor = "serial"
[tracking]
use = "none"
"""


def test_the_command_says_what_is_infeasible_and_shows_what_exists(tmp_path: Path) -> None:
    """Table, result file, plan and terminal; a resumed sweep has the same answer."""
    (tmp_path / "kernel_losses.py").write_text("def loss(kernel, C, gamma=0.0):\n    return C + gamma\n")
    (tmp_path / "kernels.toml").write_text(SWEEP)
    plan = command(tmp_path, "check", "kernels.toml")
    assert "the first 2 given, where C < 5" in plan.stdout
    assert "gamma: log_uniform [0.0001, 1.0], when kernel == 'rbf'" in plan.stdout
    done = command(tmp_path, "sweep", "kernels.toml", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert command(tmp_path, "table", "kernels.toml", "-o", "all.csv").returncode == 0
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["kernel"], rows[0]["C"], rows[0]["gamma"], rows[0]["status"]) == ("linear", "4.5", "nan", "ok")
    assert rows[1]["status"] == "infeasible"
    assert result["infeasible"] == sum(row["status"] == "infeasible" for row in rows) > 10
    best = min((row for row in rows if row["status"] == "ok"), key=lambda row: float(row["loss"]))
    assert result["best"]["index"] == int(best["index"])
    shown = next(line for line in command(tmp_path, "show", "kernels.toml").stdout.splitlines() if "candidate " in line)
    assert ("gamma" in shown) == (best["kernel"] == "rbf")
    with np.load(tmp_path / result["best"]["file"]) as point:
        assert ("gamma" in point) == (best["kernel"] == "rbf")


def test_a_grid_does_not_evaluate_a_point_twice_for_a_variable_that_does_not_exist() -> None:
    """It is refused, and the error says why."""
    space = {"kind": {"choice": ["a", "b"]}, "n": {"integer": [1, 5], "when": "kind == 'a'"}}
    with pytest.raises(InputError, match="once for each value that n does not have"):
        optitrip.search(Counted(), space, candidates=10, sampler="grid", executor="serial")


def test_other_methods_refuse_variables_that_do_not_always_exist(tmp_path: Path) -> None:
    """With the line of the condition."""
    text = 'objective.loss = "some:loss"\n[space]\nx = { normal = [0, 1] }\n'
    text += 'y = { normal = [0, 1], when = "x > 0" }\n[method]\n'
    methods = {"gradient": 'use = "gradient"\nat = { fill = 0.0 }', "sensitivity": 'use = "sensitivity"\nrows = 8'}
    for word, method in methods.items():
        (tmp_path / f"{word}.toml").write_text(text + method)
        done = command(tmp_path, "check", f"{word}.toml")
        assert done.returncode == 2
        assert f"{word}.toml:4: space.y.when: is for searches" in done.stderr


def test_importance_of_a_variable_is_told_among_the_candidates_that_have_it() -> None:
    """As if the others were not there."""

    def loss(kernel: str, C: float, gamma: float = 0.0) -> float:
        return C * 1e-3 + (gamma if kernel == "rbf" else -1.0)

    space = {**{name: KERNELS[name] for name in ("kernel", "C", "gamma")}, "kernel": {"choice": ["linear", "rbf"]}}
    found = optitrip.search(loss, space, candidates=1_000, executor="serial").importance()
    gamma = found["gamma"]
    assert gamma is not None
    assert gamma.share > 0.9


def test_constraints_and_conditions_with_rungs(tmp_path: Path) -> None:
    """Infeasible candidates do not go on, are no failures, and a variable is passed in all rungs where it exists."""

    def loss(kernel: str, C: float, epochs: int, gamma: float | None = None, state_dir: str = "") -> float:
        assert (gamma is None) == (kernel != "rbf")
        assert C < 5
        seen = Path(state_dir, "seen")
        before = int(seen.read_text(encoding="utf-8")) if seen.exists() else 0
        assert before in ({1: {0}, 3: {1}, 9: {3}}[epochs])
        seen.write_text(str(epochs), encoding="utf-8")
        return C + (gamma or 0.5) / epochs

    space = {name: KERNELS[name] for name in ("kernel", "C", "gamma")}
    halve = {"argument": "epochs", "from": 1, "to": 9}
    found = optitrip.search(loss, space, candidates=60, where=["C < 5"], halve=halve, executor="serial")
    values = Candidates(Space.parse(space), 0).values(range(60))
    feasible = values["C"] < 5
    assert found.halved is not None
    rungs = found.halved.rungs
    assert not found.failures
    assert [rung.failed for rung in rungs] == [0, 0, 0]
    assert rungs[0].infeasible == found.result.infeasible == 60 - feasible.sum()
    assert all(feasible[rung.index].all() for rung in rungs[1:])
    assert found.trials()["status"].tolist() == ["ok" if one else "infeasible" for one in feasible]
    losses = [c + (0.5 if g is ABSENT else g) / 9 for c, g in zip(values["C"], values["gamma"], strict=True)]
    assert found.loss == min(losses[n] for n in rungs[-1].index)
