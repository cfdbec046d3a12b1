"""Directional derivatives: `use = "directional"`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from command import optitrip as command
from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.methods.directional.lines import LineStencil, UnitLines
from optitrip.methods.gradient.flags import BELOW_NOISE, KINK, ONE_SIDED, UNCHANGED, WITHOUT_STEP
from optitrip.methods.gradient.moves import Moves

LOSSES = """
import numpy as np

def valley(x, y):
    return (1 - x) ** 2 + 105 * (y - x**2) ** 2

def wide(W, b):
    return float(np.sum(np.exp(W / 3)) + np.sin(b * 1e6))

def kinked(x, y):
    return abs(x) + y

def guarded(x, y):
    if not (0 <= x <= 1 and 2 <= y <= 3):
        raise ValueError(f"outside: {x}, {y}")
    return x**2 * y
"""
MATRIX = "W = { shape = [3, 4], normal = [0, 1] }\nb = { normal = [0, 1] }"
PAIR = "x = { normal = [0, 1] }\ny = { normal = [0, 1] }"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all sweep files here, since a process imports a module from one place."""
    folder = tmp_path_factory.mktemp("directional")
    (folder / "lined_losses.py").write_text(LOSSES)
    return folder


def derivatives(folder: Path, loss: str, space: str, at: Any, along: str, more: str = "") -> Any:
    """The answer of a sweep file."""
    text = (
        f'seed = 3\nobjective = {{ loss = "lined_losses:{loss}" }}\ntracking = {{ use = "none" }}\n[space]\n{space}\n'
    )
    values = ", ".join(f"{name} = {value}" for name, value in at.items())
    text += f'[method]\nuse = "directional"\nalong = {along}\nat = {{ values = {{ {values} }} }}\n{more}'
    (folder / "sweep.toml").write_text(text)
    return optitrip.sweep(folder / "sweep.toml", executor="serial")


def test_the_number_of_numdifftools(folder: Path) -> None:
    """The slope of (1-x)^2 + 105 (y-x^2)^2 at (2, 3) along (1, -1), whose length is scaled to 1, is 1052 / sqrt(2)."""
    along = "[{ x = 1, y = -1 }, { x = 1e-200, y = -1e-200 }, { x = -3, y = 3 }]"
    answer = derivatives(folder, "valley", PAIR, {"x": 2.0, "y": 3.0}, along)
    np.testing.assert_allclose(answer.slopes, 743.87633380824832 * np.array([1, 1, -1]), rtol=1e-10)
    assert (np.abs(np.abs(answer.slopes) - 1052 / 2**0.5) <= answer.error).all()
    assert not answer.flags.any()


def test_orthogonal_slopes_make_the_gradient(folder: Path) -> None:
    """As many random directions as there are coordinates are a basis: slopes times directions are the gradient, each
    slope within its error, though the scales of the variables differ by a million."""
    W = np.linspace(-1, 1, 12).reshape(3, 4)
    answer = derivatives(folder, "wide", MATRIX, {"W": W.tolist(), "b": 3e-7}, "13")
    truth = np.concatenate([np.exp(W / 3).ravel() / 3, [1e6 * np.cos(0.3)]])
    units = np.array(
        [np.concatenate([answer.direction(k)["W"].ravel(), [answer.direction(k)["b"]]]) for k in range(13)]
    )
    np.testing.assert_allclose(units @ units.T, np.eye(13), atol=1e-14)
    assert (np.abs(answer.slopes - units @ truth) <= answer.error).all()
    np.testing.assert_allclose(units.T @ answer.slopes, truth, rtol=1e-6, atol=1e-9 * 1e6)
    assert (answer.error < 1e-6 * 1e6).all()


def test_a_direction_of_one_entry_is_its_derivative(folder: Path) -> None:
    """Variables that are left out do not move."""
    answer = derivatives(folder, "wide", MATRIX, {"W": [[0.5] * 4] * 3, "b": 1e-7}, "{ W = 2 }")
    np.testing.assert_allclose(answer.slopes, 12**0.5 * np.exp(0.5 / 3) / 3, rtol=1e-10)
    again = derivatives(folder, "wide", MATRIX, {"W": [[0.5] * 4] * 3, "b": 1e-7}, "{ b = -4 }")
    np.testing.assert_allclose(again.slopes, -1e6 * np.cos(0.1), rtol=1e-9)


def test_flags(folder: Path) -> None:
    """A kink, a slope of 0, and a loss that does not change are told as those of a gradient."""
    answer = derivatives(folder, "kinked", PAIR, {"x": 0.0, "y": 1.0}, "[{ x = 1 }, { y = 1 }]")
    assert answer.flags[0] & KINK
    assert answer.flags[1] == 0
    level = derivatives(folder, "valley", PAIR, {"x": 1.0, "y": 1.0}, "{ x = 1, y = 2 }")
    assert level.flags[0] & (BELOW_NOISE | UNCHANGED)
    assert abs(level.slopes[0]) <= level.error[0]


@pytest.mark.parametrize("at", [(0.0, 2.5), (1.0, 3.0), (1.0, 2.0), (0.3, 2.9999999)])
def test_no_variable_leaves_its_limits(folder: Path, at: tuple[float, float]) -> None:
    """Those of its distribution: at a limit, points lie on the side that has room, if one has."""
    x, y = at
    space = "x = { uniform = [0, 1] }\ny = { uniform = [2, 3] }"
    answer = derivatives(folder, "guarded", space, {"x": x, "y": y}, "[{ x = 1 }, { y = 1 }]")
    truth = np.array([2 * x * y, x**2])
    assert (np.abs(answer.slopes - truth) <= answer.error).all()
    at_limit = x in (0, 1), y in (2, 3)
    assert bool(answer.flags[0] & ONE_SIDED) == at_limit[0]


def test_a_corner_without_room_is_told(folder: Path) -> None:
    """Along a line that leaves the limits to both sides there is no derivative, and never a 0."""
    space = "x = { uniform = [0, 1] }\ny = { uniform = [2, 3] }"
    answer = derivatives(
        folder, "guarded", space, {"x": 1.0, "y": 2.0}, "[{ x = 1, y = 1 }, { x = 1, y = -1 }, { x = 1 }]"
    )
    assert np.isnan(answer.slopes[0])
    assert answer.flags[0] & WITHOUT_STEP
    assert (np.abs(answer.slopes[1:] - [3 / 2**0.5, 4]) <= answer.error[1:]).all()


def test_points_are_within_limits_in_float32() -> None:
    """Also where the cast rounds beyond; parameters outside of their limits do not hold the others back."""
    x = np.array([0.1, 0.7, 5.0], np.float32)
    limits = {"x": (np.array([0.1, 0.0, 0.0]), np.array([0.8, 0.7, 1.0]))}
    lines = UnitLines(Point({"x": x}, ("x",)), 40, seed=1, limits=limits)
    for offset in (1, -1, 2, -2):
        moves = Moves(lines.center, (offset,), 1e-3, limits=lines.distance_limits)
        moved = LineStencil(moves, np.arange(40), lines=lines).values(range(1, 41))["x"]
        assert moved.dtype == np.float32
        assert (moved[:, 0] >= np.float32(0.1)).all()
        assert (moved[:, 1] <= np.float32(0.7)).all()
        assert (moved[:, 2] != 5).any()


@pytest.mark.parametrize(
    ("along", "wanted"),
    [
        ("0", "wanted a number of at least 1"),
        ("true", "wanted a number of at least 1"),
        ("[]", "wanted a number of at least 1"),
        ("{ z = 1 }", "names 'z', which does not vary"),
        ("{ x = [1, 2] }", "wanted a number, or an array of its shape"),
        ("{ x = inf }", "wanted a number, or an array of its shape"),
        ("{ x = 0 }", "has a direction of length 0"),
    ],
)
def test_what_is_no_direction_is_refused(folder: Path, along: str, wanted: str) -> None:
    """With what was wanted instead, before anything is evaluated."""
    with pytest.raises(optitrip.InputError, match=wanted):
        derivatives(folder, "valley", PAIR, {"x": 1.0, "y": 1.0}, along)


@pytest.mark.daily
def test_the_command_shows_slopes_with_their_errors(folder: Path) -> None:
    """And stores them, with the directions."""
    derivatives(folder, "valley", PAIR, {"x": 2.0, "y": 3.0}, "{ x = 1, y = -1 }")
    done = command(folder, "sweep", "sweep.toml")
    assert done.returncode == 0, done.stderr
    assert "743.8763338" in done.stdout
    (file,) = folder.glob(".optitrip/*/directional.npz")
    stored: dict[str, Array] = dict(np.load(file))
    assert stored["slopes"] == pytest.approx([1052 / 2**0.5])
    assert [float(stored["direction.x"][0]), float(stored["direction.y"][0])] == pytest.approx([0.5**0.5, -(0.5**0.5)])
    table = command(folder, "table", "sweep.toml")
    assert "743.8763" in table.stdout
