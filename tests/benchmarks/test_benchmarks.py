"""The benchmarks: fair turns, the same work for all, tables that fit."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optitrip.objectives import Hinge, Softmax, Sphere

FOLDER = Path(__file__).parent


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the benchmarks, which are scripts beside each other and no package."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.mark.thorough
@pytest.mark.daily
def test_the_quickest_benchmark_prints_a_table() -> None:
    """Every contestant that needs nothing but optitrip's own dependencies has a row, in 80 columns."""
    pytest.importorskip("ray")
    command = [sys.executable, str(FOLDER / "run.py"), "--only", "hinge_gradient", "--quick", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    split = [re.split(r"\s{2,}", line.strip()) for line in lines if line.startswith(("the plain loop", "optitrip"))]
    rows = [row for row in split if len(row) == 6]  # below the table are notes, which begin with the same words
    assert [row[0] for row in rows] == ["the plain loop", "optitrip (forward)", "optitrip (central)"]
    assert [row[1] for row in rows] == ["130", "650", "650"]
    assert rows[0][3] == "1"
    assert all(re.fullmatch(r"[\d.,]+ (ns|µs|ms|s)", row[2]) for row in rows), rows
    assert "Skipped" not in done.stdout


def test_contestants_take_turns(module: Any) -> None:
    """One turn each that does not count, then a turn each in every round; who lacks something is left out."""
    rounds, printing = module("rounds"), module("printing")
    taken: list[str] = []

    @contextmanager
    def contestant(name: str, seconds: float) -> Any:
        if not seconds:
            raise rounds.Unavailable("nothing is installed")

        def take(items: int) -> Any:
            taken.append(name)
            return rounds.Turn(seconds * items, {"check": seconds})

        yield take

    given = [("slow", 0.4), ("missing", 0.0), ("fast", 0.1)]
    contestants = [rounds.Contestant(n, 10, lambda n=n, s=s: contestant(n, s)) for n, s in given]
    work = rounds.Work("a title", "item", 1_000, contestants)
    standings = rounds.compete(work, 3, lambda _: None)
    assert taken == ["slow", "fast"] * 4
    assert [(row.name, row.speed) for row in standings.rows] == [("slow", 1.0), ("fast", pytest.approx(4.0))]
    lines = printing.markdown(standings).splitlines()
    assert lines[3].startswith("| fast | 10 | 100 ms | 4 | 100 s |")
    assert "fast: check 100 ms a turn, not counted above." in lines
    assert lines[-1] == "Skipped, because nothing is installed: missing."


def test_all_compute_the_same_loss(module: Any) -> None:
    """The losses of peers are those of optitrip, to the last few bits."""
    classifier, sphere = module("classifier"), module("sphere")
    which = classifier.Images(None)
    features, labels = classifier.features_and_labels(which, "float64")
    for peers, ours in ((classifier.softmax, Softmax("digits")), (classifier.hinge, Hinge("digits"))):
        for number in range(3):
            W = classifier.drawn(which, number)
            assert peers(W, features, labels) == pytest.approx(ours(W), rel=1e-13)
    x = np.random.default_rng(0).standard_normal((5, 10))
    assert sphere.spheres(x) == pytest.approx(Sphere().losses(x), rel=1e-14)
    assert [sphere.sphere(*row) for row in x.tolist()] == pytest.approx(Sphere().losses(x), rel=1e-14)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (2.5e-8, "25 ns"),
        (3.2e-5, "32 µs"),
        (0.114, "114 ms"),
        (8.41, "8.41 s"),
        (3_503, "58.4 min"),
        (4e5, "4.63 days"),
    ],
)
def test_durations_have_three_digits_and_a_unit(module: Any, seconds: float, told: str) -> None:
    """Whatever the size of a time, it is short and its unit is told."""
    assert module("printing").duration(seconds) == told
