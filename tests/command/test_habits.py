"""What a loss does to its process harms no sweep: the same bits on every executor, and a word where they may differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forked_commands import Case, run_commands
from habits import HABITS, REPORTED, SWEEP, at_import, in_calls
from optitrip.config.read import parse_text
from optitrip.core.arrays import Array

FILES = {"best.npz", "losses.parquet", "losses.png", "result.json"}


@pytest.fixture(scope="module")
def by_hand() -> Array:
    """The losses of all candidates, computed once more."""
    x = parse_text(SWEEP.format(module="h", name="loss"), Path("h.toml")).candidates.values(range(300))["x"]
    return (x - 1) * (x - 1) + 0.5 * x


def place(folder: Path, code: str, executor: str = "serial", *words: str) -> Case:
    """Write a loss and its sweep file; return the command that runs it."""
    (folder / "scratch").mkdir(parents=True)
    (folder / "h.py").write_text(code)
    (folder / "h.toml").write_text(SWEEP.format(module="h", name="loss"))
    return str(folder), ["sweep", "h.toml", "--json", "--executor", executor, "--workers", "2", *words]


def check(folder: Path, status: int, by_hand: Array, reported: str | None = None) -> None:
    """Check that a command has finished with the right answer, all its files, and the right warning."""
    out, err = (folder / "out").read_text(), (folder / "err").read_text()
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    assert (found["best"]["loss"], found["best"]["index"]) == (by_hand.min(), by_hand.argmin())
    state = folder / found["state_dir"]
    assert {path.name for path in state.iterdir()} >= FILES
    assert json.loads((state / "result.json").read_text())["notices"] == found["notices"]
    codes = {notice["code"]: notice["text"] for notice in found["notices"]}
    assert ("process-changed" in codes) == (reported is not None)
    if reported is not None:
        assert reported in codes["process-changed"]
        assert err.count(codes["process-changed"]) == 1
    assert "Traceback" not in err


def check_all(folder: Path, codes: dict[str, str], by_hand: Array, reported: dict[str, str]) -> None:
    """Run losses with habits in the processes of their commands, and check all."""
    statuses = run_commands([place(folder / habit, code) for habit, code in codes.items()])
    for habit, status in zip(codes, statuses, strict=True):
        check(folder / habit, status, by_hand, reported.get(habit))


def test_habits_in_calls(tmp_path: Path, by_hand: Array) -> None:
    """The same bits, all files, and one warning for what could change the answer."""
    check_all(tmp_path, {habit: in_calls(habit) for habit in HABITS}, by_hand, REPORTED)


@pytest.mark.parametrize(
    "habits",
    [
        ("another working directory", "NumPy raises", "warnings are errors", "handlers of signals"),
        pytest.param(tuple(HABITS), marks=pytest.mark.daily),
    ],
    ids=["some", "all"],
)
def test_habits_at_import(habits: tuple[str, ...], tmp_path: Path, by_hand: Array) -> None:
    """Every process imports the module, so they are the same everywhere, and nothing is said of them."""
    check_all(tmp_path, {habit: at_import(habit) for habit in habits}, by_hand, {})
