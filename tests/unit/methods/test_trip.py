"""Trips: several methods, one after the other, in one file and one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from command import OPTITRIP
from command import optitrip as command

FILE = """
seed = 1

[objective]
loss = "mine:loss"

[space]
x = { shape = [3], normal = [0, 1] }

[tracking]
use = "none"

[[leg]]
name = "blind"
use = "search"
candidates = 50

[[leg]]
name = "local"
use = "local_search"
step = 0.3
tries = 40

[[leg]]
name = "sgd"
use = "descent"
rate = 0.01
steps = 12

[[leg]]
name = "adam"
at = { leg = "local" }
use = "descent"
rule = "adam"
rate = 0.05
steps = 30
"""
LOSS = """
import time
def loss(x):
    time.sleep(SECONDS)
    return float((x - 1) @ (x - 1))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(LOSS.replace("SECONDS", "0"))
    (tmp_path / "trip.toml").write_text(FILE)
    return tmp_path


def run(folder: Path, *words: str, file: str = "trip.toml") -> dict[str, Any]:
    done = command(folder, "sweep", file, "--executor", "serial", "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.daily
def test_legs_are_the_sweeps_that_they_name(folder: Path) -> None:
    """Each leg has the answer of a sweep file of its own that starts where the other leg arrived."""
    trip = run(folder)["trip"]
    head = FILE.partition("[[leg]]")[0]
    for name, method, at in (
        ("blind", 'use = "search"\ncandidates = 50', ""),
        ("local", 'use = "local_search"\nstep = 0.3\ntries = 40', "blind"),
        ("sgd", 'use = "descent"\nrate = 0.01\nsteps = 12', "local"),
        ("adam", 'use = "descent"\nrule = "adam"\nrate = 0.05\nsteps = 30', "local"),
    ):
        place = f'at = {{ file = "{trip_file(trip, at)}" }}\n' if at else ""
        (folder / f"{name}.toml").write_text(f"{head}[method]\n{method}\n{place}")
        alone = run(folder, file=f"{name}.toml")
        (word,) = {"best", "local_search", "descent"} & trip["legs"][name].keys()
        assert trip["legs"][name][word]["loss"] == alone[word]["loss"]
    assert trip["leg"] == min(trip["legs"], key=lambda leg: loss_of(trip["legs"][leg]))
    assert trip["loss"] == loss_of(trip["legs"][trip["leg"]])


def loss_of(leg: dict[str, Any]) -> float:
    return next(leg[word]["loss"] for word in ("best", "local_search", "descent") if word in leg)


def trip_file(trip: dict[str, Any], leg: str) -> str:
    return next(
        fields["file"] for fields in trip["legs"][leg].values() if isinstance(fields, dict) and "file" in fields
    )


@pytest.mark.daily
def test_files_and_other_sweeps_that_start_there(folder: Path) -> None:
    """The files of a leg begin with its name; the best point is a start for others; there is one picture of all."""
    found = run(folder)
    names = {path.name for path in Path(folder, found["state_dir"]).iterdir()}
    wanted = {"trip.png", "trip.npz", "blind.best.npz", "local.local_best.npz", "sgd.descent.csv", "adam.descent.png"}
    assert wanted <= names
    (folder / "g.toml").write_text(
        FILE.partition("[[leg]]")[0] + '[method]\nuse = "gradient"\nat = { best_of = "trip.toml" }\n'
    )
    assert run(folder, file="g.toml")["gradient"]["loss"] == found["trip"]["loss"]


@pytest.mark.daily
def test_a_changed_leg_is_another_sweep_and_says_so(folder: Path) -> None:
    """By the name of the leg and its key."""
    run(folder)
    done = command(folder, "sweep", "trip.toml", "--executor", "serial", "--set", "leg.adam.steps=31")
    assert "method.adam.steps: 30 -> 31" in done.stderr
    rows = [line.split() for line in command(folder, "runs").stdout.splitlines()[1:]]
    assert [row[1:2] + row[3:4] for row in rows] == [["finished", "4"]] * 2
    assert "the files of its legs" in command(folder, "table", "trip.toml").stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            '{ leg = "local" }',
            '{ leg = "lokal" }',
            "trip.toml:32: leg.3.at.leg: was 'lokal'; wanted one of",
        ),
        ('{ leg = "local" }', "{ fill = 1.0, candidate = 2 }", "leg.3.at: wanted exactly one of"),
        ("rate = 0.01", "rate = -1", "trip.toml:27: leg.2.rate: was -1"),
        ("tries = 40", "tris = 40", "leg.1.tris: unknown key; did you mean tries"),
        ('name = "sgd"', 'name = "local"', "leg.2.name: was 'local', as of another leg"),
        ('rule = "adam"', 'rule = "adom"', "leg.3.rule: was 'adom'; did you mean adam"),
        ('use = "search"', 'use = "sarch"', "leg.0.use: was 'sarch', wanted 'search'"),
        ('use = "search"\ncandidates = 50', 'use = "gradient"', "leg.0.at: is missing"),
    ],
)
def test_mistakes_are_told_with_their_line(folder: Path, old: str, new: str, told: str) -> None:
    """As those of a [method] table."""
    assert old in FILE
    (folder / "trip.toml").write_text(FILE.replace(old, new))
    done = command(folder, "check", "trip.toml")
    assert done.returncode == 2
    assert told in done.stderr


def test_a_leg_without_an_answer_is_named(folder: Path) -> None:
    """The trip ends there; what the legs before have found is stored."""
    (folder / "mine.py").write_text("def loss(x):\n    return float('nan')\n")
    done = command(folder, "sweep", "trip.toml", "--executor", "serial")
    assert done.returncode == 1
    assert "leg 'blind'" in done.stderr


def test_python_runs_trips(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has the answers of the legs by name, and one picture."""
    monkeypatch.chdir(folder)
    (folder / "mine.py").rename(folder / "for_python.py")  # modules stay imported
    (folder / "trip.toml").write_text(FILE.replace("mine:", "for_python:"))
    found: Any = optitrip.sweep("trip.toml", executor="serial")
    assert list(found.legs) == ["blind", "local", "sgd", "adam"]
    assert found.legs["sgd"].losses[0] == found.legs["adam"].losses[0] == found.legs["local"].loss
    assert found.picture().startswith(b"\x89PNG")
    assert "TripAnswer(blind: " in repr(found)
    begins = {name: curve.evaluations[0] for name, curve in found.curves.items()}
    assert begins["sgd"] == begins["adam"] > begins["local"] > begins["blind"] == 1


@pytest.mark.thorough
def test_a_trip_killed_in_its_third_leg_resumes_to_the_same_bits(folder: Path) -> None:
    """Killed as often as it takes, by SIGKILL."""
    whole = run(folder)
    wanted = np.load(Path(folder, whole["state_dir"]) / "adam.descent.npz")["x"]
    (folder / "again").mkdir()
    (folder / "again" / "mine.py").write_text(LOSS.replace("SECONDS", "0.01"))
    (folder / "again" / "trip.toml").write_text(FILE)
    words = [*OPTITRIP, "sweep", "trip.toml", "--executor", "serial"]
    killed = 0
    for _ in range(8):
        child = subprocess.Popen(words, cwd=folder / "again", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(3.5)
        if child.poll() is not None:
            break
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        killed += 1
    assert killed
    found = run(folder / "again")
    assert np.load(Path(folder, "again", found["state_dir"]) / "adam.descent.npz")["x"].tobytes() == wanted.tobytes()
    assert found["trip"]["loss"] == whole["trip"]["loss"]
