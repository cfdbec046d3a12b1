"""Descents: their steps, schedules, line search, ends, and what is told of them."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import optitrip
from command import optitrip as command
from command import optitrip_process
from optitrip.core.arrays import Array
from optitrip.methods.descent.schedule import schedule_of

CURVATURE = np.array([1.0, 10.0])
START = np.array([1.0, -2.0])


def bowl(x: Array) -> float:
    """Half of x1^2 + 10 x2^2."""
    return float(CURVATURE @ np.square(x)) / 2


class Known:
    """A bowl that knows its gradient, counts its calls, and can be drawn in batches."""

    def __call__(self, x: Array) -> float:
        return bowl(x)

    def gradient(self, x: Array) -> Array:
        return CURVATURE * x


def descend(loss: Any = bowl, x: Any = START, **options: Any) -> optitrip.DescentAnswer:
    settings: dict[str, Any] = {"rate": 0.01, "steps": 3, "executor": "serial", **options}
    return optitrip.descend(loss, x, **settings)


@pytest.mark.parametrize("gradient", ["own", "central", "four_point", "richardson", "orthogonal", "coordinates"])
def test_steps_are_those_of_the_rule(gradient: str) -> None:
    """With the analytic gradient to the last digits, with a numeric one as far as it is exact for a bowl; as many
    orthogonal directions or coordinates as entries give the whole gradient."""
    directions = 2 if gradient in ("orthogonal", "coordinates") else None
    found = descend(Known(), rule="momentum", gradient=gradient, directions=directions)
    np.testing.assert_allclose(found.x["x"], [0.944379, -0.972], rtol=1e-14 if gradient == "own" else 1e-8)
    np.testing.assert_allclose(found.losses, [bowl(np.array(x)) for x in PATH], rtol=1e-8)
    assert found.loss == found.losses[-1] == pytest.approx(bowl(np.array(PATH[-1])), rel=1e-8)
    np.testing.assert_allclose(found.history["norms"][0], np.hypot(1, 20), rtol=1e-8)
    assert found.history["rates"].tolist() == [0.01] * 3


PATH = [(1.0, -2.0), (0.99, -1.8), (0.9711, -1.44), (0.944379, -0.972)]


def test_a_descent_reaches_the_minimum() -> None:
    """Of Rosenbrock's function, with Adam, as near as with its analytic gradient."""
    options: dict[str, Any] = {"rule": "adam", "rate": 0.05, "steps": 400}
    numeric = descend(lambda x: float(rosen(x)), np.array([-1.2, 1.0]), **options)

    class Rosenbrock:
        def __call__(self, x: Array) -> float:
            return float(rosen(x))

        def gradient(self, x: Array) -> Array:
            return rosen_der(x)

    analytic = descend(Rosenbrock(), np.array([-1.2, 1.0]), gradient="own", **options)
    assert analytic.loss < 0.5
    assert numeric.loss == pytest.approx(analytic.loss, rel=1e-3)


def test_a_line_search_never_rises() -> None:
    """Each rate is the first rate times a power of the factor, and each step lowers the loss by Armijo's share."""
    found = descend(lambda x: float(rosen(x)), np.array([-1.2, 1.0]), rate={"line_search": 1.0}, steps=40)
    losses, norms, rates = found.losses, found.history["norms"], found.history["rates"]
    assert (np.diff(losses) <= -1e-4 * rates * np.square(norms) * 0.999).all()
    assert np.isin(rates, 0.5 ** np.arange(16)).all()


def test_a_line_search_goes_on_in_noise_and_ends_at_the_bottom() -> None:
    """Noise of the loss does not end it; where no rate lowers the loss, it ends and says so."""

    def noisy(x: Array) -> float:
        return 1 + bowl(x) * (1 + 1e-6 * math.sin(1e13 * bowl(x)))

    found = descend(noisy, rate={"line_search": 1.0}, steps=60)
    assert found.loss < 1 + 1e-5
    bottom = descend(lambda x: float(np.abs(x).sum()), np.array([1e-9]), rate={"line_search": 1.0, "points": 2}, step=1)
    assert "no rate of the line search" in bottom.ended or bottom.loss < 1e-9


@pytest.mark.parametrize(
    ("given", "rates"),
    [
        (0.5, [0.5, 0.5, 0.5, 0.5]),
        ({"constant": 0.5}, [0.5, 0.5, 0.5, 0.5]),
        ({"step": 1.0, "every": 2, "factor": 0.1}, [1.0, 1.0, 0.1, 0.1]),
        ({"cosine": 1.0, "end": 0.5}, [1.0, 0.75 + 0.25 * 2**-0.5, 0.75, 0.75 - 0.25 * 2**-0.5]),
        ({"inverse": 1.0, "decay": 1.0}, [1.0, 1 / 2, 1 / 3, 1 / 4]),
    ],
)
def test_schedules(given: Any, rates: list[float]) -> None:
    """The rate of each of four steps."""
    schedule = schedule_of(given)
    np.testing.assert_allclose([schedule.rate(t, 4) for t in range(4)], rates, rtol=1e-12)


NO_RATES: list[Any] = [
    0,
    -1,
    "fast",
    None,
    True,
    {},
    math.inf,
    {"cosine": 0.1, "step": 1},
    {"step": 1, "every": 0},
    {"cosine": 1, "to": 1},
]


@pytest.mark.parametrize("given", NO_RATES)
def test_a_rate_that_is_none(given: Any) -> None:
    """It is refused with what was wanted."""
    with pytest.raises(optitrip.InputError, match="rate"):
        descend(rate=given)


def test_a_descent_that_diverges_keeps_its_best_point(caplog: pytest.LogCaptureFixture) -> None:
    """It ends, says so and what to do; the point is finite."""
    found = descend(rate=1.0, steps=500)
    assert found.ended.startswith("diverged")
    assert (found.x["x"] == START).all()
    assert found.loss == bowl(START)
    assert found.steps < 20
    assert "try a smaller rate" in caplog.text
    nowhere = descend(lambda x: float(np.log(x[0])), np.array([0.5, 1.0]), rate=1.0, steps=5)
    assert np.isfinite(nowhere.loss)
    assert nowhere.ended.startswith("diverged")


def test_why_a_descent_ends() -> None:
    """At a small gradient, at a loss, and where nothing gets better."""
    assert "norm of the gradient" in descend(rate=0.1, steps=500, stop={"gradient_norm": 1e-3}).ended
    reached = descend(rate=0.05, steps=500, stop={"target_loss": 0.1})
    assert reached.loss <= 0.1 < reached.losses[-2]
    resting = descend(lambda x: 1.0 + 0 * x[0], steps=500, stop={"no_improvement": 7})
    assert resting.steps == 7
    assert "no better loss in 7 steps" in resting.ended


def test_limits_are_kept_and_the_largest_is_found() -> None:
    """A projected step stays within the bounds; `maximize` climbs."""

    def line(x: Array) -> float:
        assert 0 <= x[0] <= 1
        return 3 * float(x[0])

    up = descend(line, np.array([0.5]), bounds=(0.0, 1.0), maximize=True, rate=0.05, steps=20)
    assert up.x["x"][0] == 1.0
    assert up.loss == 3.0
    assert not up.failures
    assert descend(line, np.array([0.5]), bounds=(0.0, 1.0), rate=0.05, steps=20).x["x"][0] == 0.0


def test_float32_stays_float32() -> None:
    """And a scalar arrives as a float."""
    found = descend(lambda x: float(np.sum(np.square(x, dtype=np.float64))), np.ones(3, np.float32), steps=20, rate=0.1)
    assert found.x["x"].dtype == np.float32
    assert found.loss < 0.1
    assert descend(lambda x: (x - 3) ** 2, 0.5, rate=0.3, steps=40).x["x"] == pytest.approx(3, abs=1e-6)


def test_a_coordinate_that_is_missing_stays_where_it_is() -> None:
    """Its derivative is neither 0 nor made up: it is not moved, and the failures are counted."""

    def loss(x: Array) -> float:
        return bowl(x) if x[1] == -2.0 else math.nan

    found = descend(loss, rate=0.1, steps=5, step=1e-3)
    assert found.x["x"][1] == -2.0
    assert found.x["x"][0] == pytest.approx(0.9**5)
    assert found.failures["nan"] == 10 or found.failures["nan"] == 5


def test_the_rule_and_its_options_are_checked_at_the_door() -> None:
    """Mistakes are told before anything is evaluated."""
    for options, told in {
        "rule": ({"rule": "adom"}, "did you mean adam"),
        "settings": ({"rule": "adam", "settings": {"momentum": 1}}, "no option"),
        "gradient": ({"gradient": "rademacher"}, "number of directions"),
        "directions": ({"directions": 3}, "is for estimates"),
        "own": ({"gradient": "own"}, "offers no gradient"),
        "step": ({"step": 0.0}, "another number"),
    }.values():
        with pytest.raises(optitrip.OptitripError, match=told):
            descend(**options)
    with pytest.raises(optitrip.InputError, match="cannot be imported by name"):
        descend(rule=lambda x, g, s, r: (x, s), state_dir="never")


def test_lines_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """Every few steps, and at the last."""
    descend(steps=7, report_every=3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["Step 3 of 7", "Step 6 of 7", "Step 7 of 7"]


def test_ctrl_c_returns_what_was_reached() -> None:
    """The best point so far, with the losses."""

    def loss(x: Array) -> float:
        if bowl(x) < 5:
            os.kill(os.getpid(), signal.SIGINT)
        return bowl(x)

    found = descend(loss, steps=10_000)
    assert found.ended == "interrupted"
    assert 3 < found.steps < 30
    assert found.loss < bowl(START)
    assert bowl(found.x["x"]) == found.loss


SWEEP = """
[objective]
loss = "mine:loss"
[space]
x = { shape = [2], normal = [0, 1] }
[method]
use = "descent"
at = { values = [1.0, -2.0] }
rule = "mine:rule"
rate = 0.01
steps = 25
[tracking]
use = "none"
"""
MINE = """
def loss(x):
    return float(x[0] ** 2 + 10 * x[1] ** 2) / 2

def rule(x, gradient, state, rate):
    velocity = 0.9 * state.get("velocity", 0) - rate * gradient
    return x + velocity, {"velocity": velocity}
"""


def test_the_command(tmp_path: Path) -> None:
    """A rule of the user's own in a sweep file; more steps go on from the stored ones, and fewer are read."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "d.toml").write_text(SWEEP)

    def run(steps: int, *more: str) -> str:
        words = ["sweep", "d.toml", "--executor", "serial", "--set", f"method.steps={steps}", *more]
        done = command(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    first = run(25)
    assert "best loss" in first
    assert "25 evaluated now" in first
    assert "going on from step 20, which is stored" in run(43)
    (folder,) = (tmp_path / ".optitrip").iterdir()
    table = (folder / "descent.csv").read_text()
    assert len(table.splitlines()) == 45
    assert "descent.csv" in command(tmp_path, "table", "d").stderr
    listed = command(tmp_path, "runs").stdout.splitlines()[1].split()
    assert listed[1:2] + listed[3:4] == ["finished", "43"]
    assert "  descent: after 42 steps, 3 of 3 items are stored" in command(tmp_path, "show", "d").stdout.splitlines()
    assert "step 0" in command(tmp_path, "replay", "d", "2").stdout
    assert "index was 3; wanted one of the 3 items" in command(tmp_path, "replay", "d", "3").stderr
    assert "evaluated now" not in run(12)
    assert len((folder / "descent.csv").read_text().splitlines()) == 14
    run(43, "--fresh")
    (fresh,) = [path for path in (tmp_path / ".optitrip").iterdir() if "old" not in path.name]
    assert (fresh / "descent.csv").read_text() == table


@pytest.mark.daily
def test_a_rule_that_has_changed_is_not_resumed(tmp_path: Path) -> None:
    """Its module is part of what the answer depends on, also if the loss is in another one."""
    (tmp_path / "bowl_of_rule.py").write_text(MINE.partition("def rule")[0])
    (tmp_path / "rule_alone.py").write_text("def rule(x, gradient, state, rate):\n    return x - rate * gradient, {}\n")
    text = SWEEP.replace("mine:loss", "bowl_of_rule:loss").replace("mine:rule", "rule_alone:rule")
    (tmp_path / "d.toml").write_text(text)
    assert optitrip_process(tmp_path, "sweep", "d.toml", "--executor", "serial").returncode == 0
    with (tmp_path / "rule_alone.py").open("a") as file:
        file.write("STEPS = 2\n")
    again = optitrip_process(tmp_path, "sweep", "d.toml", "--executor", "serial", "--set", "method.steps=30")
    assert again.returncode == 2
    assert "modules.rule_alone" in again.stderr
