"""Which coordinates, by which steps, within which limits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optitrip
from command import optitrip as command
from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.methods.gradient.flags import LEFT_OUT, ONE_SIDED, OUTSIDE
from optitrip.methods.gradient.moves import Moves
from optitrip.methods.gradient.schemes import SCHEMES
from optitrip.methods.gradient.selection import selected
from optitrip.methods.gradient.steps import steps_of

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

SHAPES = {"W": (3, 4), "b": (4,), "s": (), "odd[0]": (2,)}
FIRST = {"W": 0, "b": 12, "s": 16, "odd[0]": 17}
FLAT = {name: FIRST[name] + np.arange(int(np.prod(shape))).reshape(shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [
        ("W", FLAT["W"]),
        ("W[1, :]", FLAT["W"][1]),
        ("W[1]", FLAT["W"][1]),
        ("W[:, -1]", FLAT["W"][:, -1]),
        ("W[..., 2]", FLAT["W"][..., 2]),
        ("W[::2, 1:3]", FLAT["W"][::2, 1:3]),
        ("s", FLAT["s"]),
        ("odd[0]", FLAT["odd[0]"]),
        ("odd[0][1]", FLAT["odd[0]"][1]),
        (["b[1:3]", "W[0, 0]", "b[2]"], [0, 13, 14]),
    ],
)
def test_entries_are_selected_as_in_numpy(wanted: Any, entries: Any) -> None:
    """By name, or name and index; each once, in order."""
    assert selected(wanted, SHAPES).tolist() == sorted(np.ravel(entries).tolist())


@pytest.mark.parametrize(
    "wanted", ["V", "W[3, 0]", "W[0, 0, 0]", "W[x]", "W[", "b[1.5]", "b[5:9]", [], "W[0]]", "s[0]"]
)
def test_what_selects_nothing_is_refused(wanted: Any) -> None:
    """With what was wanted instead."""
    with pytest.raises(ValueError, match=r"wanted|selects no coordinate"):
        selected(wanted, SHAPES)


def test_some_entries_are_those_of_the_whole() -> None:
    """The others are NaN and flagged; the count is that of the entries."""
    x = {"W": np.arange(1.0, 13).reshape(3, 4), "b": np.ones(4)}

    def loss(W: Array, b: Array) -> float:
        return float((W**2).sum() + (b**3).sum())

    whole = optitrip.gradient(loss, x, executor="serial")
    some = optitrip.gradient(loss, x, coordinates=["W[1, :]", "b[2]"], executor="serial")
    wanted = np.zeros((3, 4), bool)
    wanted[1] = True
    assert some.items == 5
    assert ((some.flags["W"] == LEFT_OUT) == ~wanted).all()
    assert some.gradient["W"][1].tobytes() == whole.gradient["W"][1].tobytes()
    assert np.isnan(some.gradient["b"]).tolist() == [True, True, False, True]


def test_steps_by_number_by_variable_and_relative() -> None:
    """A number is for all; arrays are for each entry; relative ones are in proportion to x, or as they are at 0."""
    center = Point({"a": np.array([2.0, 0.0]), "b": np.array(-3.0)}, ("a", "b"))
    assert steps_of("auto", center) is None
    assert steps_of(-0.5, center) == -0.5
    found: Any = [
        steps_of({"a": 0.1, "b": 0.2}, center),
        steps_of({"a": [0.1, 0.3], "b": 0.2}, center),
        steps_of({"relative": 0.1}, center),
        steps_of({"relative": {"a": 0.1, "b": 1e-3}}, center),
    ]
    np.testing.assert_allclose(found, [[0.1, 0.1, 0.2], [0.1, 0.3, 0.2], [0.2, 0.1, 0.3], [0.2, 0.1, 3e-3]])


@pytest.mark.parametrize(
    "step",
    [0, True, "big", {}, {"x": 0.0}, {"x": [1.0]}, {"y": 1.0}, {"x": 1.0, "y": 1.0}, {"relative": 0}, [1, 2], math.nan],
)
def test_a_step_that_is_none_is_refused(step: Any) -> None:
    """At the door, with what was wanted."""
    with pytest.raises(optitrip.InputError, match=r"^method\.step: .*(wanted|has no step)"):
        optitrip.gradient(lambda x: float(x @ x), {"x": np.ones(2)}, step=step)


def test_a_negative_step_goes_down() -> None:
    """A signed step chooses the side of a forward difference."""
    found = optitrip.gradient(lambda x: x * x if x <= 1.0 else math.nan, 1.0, step=-1e-3, executor="serial", noise=1e-9)
    assert found.gradient["x"] == pytest.approx(2 - 1e-3)
    assert found.steps["x"] == pytest.approx(-1e-3)
    assert found.failures == {}


@given(
    x=st.floats(-2, 2),
    room=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    step=st.floats(1e-9, 1.0),
    scheme=st.sampled_from(sorted(SCHEMES)),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_no_point_leaves_the_limits(x: float, room: tuple[float, float], step: float, scheme: str, dtype: Any) -> None:
    """Whatever the step; where all points fit they are as without limits."""
    value = dtype(x)
    low, high = float(value) - room[0], float(value) + room[1]
    center = Point({"x": np.array([value])}, ("x",))
    offsets = SCHEMES[scheme].nodes(errors=True)
    ends = Moves(center, offsets, step, limits={"x": (np.array([low]), np.array([high]))}).entries(np.arange(1))
    assert (ends >= low).all()
    assert (ends <= high).all()
    if step * max(map(abs, offsets)) < min(room) * (1 - 1e-6):
        assert ends.tobytes() == Moves(center, offsets, step).entries(np.arange(1)).tobytes()


@pytest.mark.parametrize("scheme", [None, *SCHEMES])
def test_at_a_limit_the_derivative_is_one_sided(scheme: str | None) -> None:
    """No point is beyond; the derivative of sqrt(1 - x) near 1 and of log x near 0 is right to its error."""

    def loss(x: Array) -> float:
        if (x < 0).any() or (x > 1).any():
            raise AssertionError(f"{x} is outside")
        return float(np.log(x[0]) + np.sqrt(1 - x[1]) + x[2] ** 2)

    x = np.array([1e-9, 1 - 1e-9, 0.5])
    found = optitrip.gradient(loss, x, scheme=scheme, bounds=(0, 1), executor="serial")
    wanted = np.array([1e9, -0.5 / np.sqrt(1e-9), 1.0])
    assert (np.abs(found.gradient["x"] - wanted) <= found.error["x"] + 1e-7 * np.abs(wanted)).all()
    assert found.failures == {}
    edge = optitrip.gradient(lambda x: float(x @ x), np.array([0.0, 1.0]), bounds=(0, 1), executor="serial")
    np.testing.assert_allclose(edge.gradient["x"], [0, 2], atol=1e-8)
    assert (edge.flags["x"] & ONE_SIDED > 0).all()


def test_x_outside_of_its_limits_is_flagged() -> None:
    """The limits are ignored there, since no point within would be near."""
    found = optitrip.gradient(lambda x: float(x @ x), np.array([2.0, 0.5]), bounds=(0, 1), executor="serial")
    assert (found.flags["x"] & OUTSIDE > 0).tolist() == [True, False]
    np.testing.assert_allclose(found.gradient["x"], [4, 1], rtol=1e-8)


@pytest.mark.parametrize("bounds", [(1, 0), 3, (0, 1, 2), {"y": (0, 1)}, ("a", "b"), (np.zeros(3), 1)])
def test_bounds_that_are_none_are_refused(bounds: Any) -> None:
    """At the door."""
    given = bounds if isinstance(bounds, dict) else {"x": bounds}
    with pytest.raises(optitrip.InputError, match=r"^method\.bounds: .*wanted"):
        optitrip.gradient(lambda x: float(x @ x), {"x": np.ones(2)}, bounds=given)


MODULE = """
def loss(x, y):
    assert 0 <= x <= 1 and y > 0, (x, y)
    return x * x + 3 * y
"""
SWEEP = """
[objective]
loss = "limited:loss"
[space]
x = { uniform = [0, 1] }
y = { log_uniform = [1e-6, 1] }
[method]
use = "gradient"
coordinates = ["x", "y"]
at = { values = { x = 1.0, y = 1e-6 } }
[tracking]
use = "none"
"""


def test_a_file_has_the_limits_of_its_distributions(tmp_path: Path) -> None:
    """The loss never sees a value that no candidate could have."""
    (tmp_path / "limited.py").write_text(MODULE)
    (tmp_path / "limited.toml").write_text(SWEEP)
    done = command(tmp_path, "sweep", "limited.toml", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    assert "one-sided" in done.stdout
    assert "y 3" in done.stdout
    refused = command(tmp_path, "check", "limited.toml", "--set", 'method.coordinates="z"')
    assert refused.returncode == 2
    assert "there is no variable 'z'" in refused.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_known_loss_at_x_is_not_evaluated(scheme: str) -> None:
    """The answer is the same with fewer evaluations; a wrong one is told, for its differences are wrong."""
    x = np.array([0.3, 1.2])

    def loss(x: Array) -> dict[str, float]:
        return {"loss": float(np.sum(np.exp(x))), "largest": float(x.max())}

    plain: Any = optitrip.gradient(loss, x, scheme=scheme, executor="serial")
    known: Any = optitrip.gradient(loss, x, scheme=scheme, f0=plain.loss, executor="serial")
    assert known.evaluations == plain.evaluations - 1
    np.testing.assert_array_equal(known.gradient["x"], plain.gradient["x"])
    np.testing.assert_array_equal(known.error["x"], plain.error["x"])
    few = optitrip.gradient(loss, x, scheme=scheme, f0=plain.loss, noise=1e-15, errors=False, executor="serial")
    assert few.evaluations == len(SCHEMES[scheme].offsets) * 2
    wrong = optitrip.gradient(loss, x, scheme=scheme, f0=plain.loss + 0.1, executor="serial")
    assert wrong.drift == pytest.approx(0.1)


@pytest.mark.parametrize("bounds", [(0, None), [0, math.inf], {"x": (0.0, None)}])
def test_a_limit_may_be_none(bounds: Any) -> None:
    """As SciPy spells a variable without a limit on one side; also for `jac`."""
    found = optitrip.gradient(math.log, 1e-9, bounds=bounds, executor="serial")
    assert abs(found.gradient["x"] - 1e9) <= found.error["x"]
    assert optitrip.jac(math.log, 1e-9, bounds=bounds)(2e-9) == pytest.approx(5e8, rel=1e-6)
