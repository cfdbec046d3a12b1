"""The comparison of searchers that a page shows: its script has a row for each, and the page the same rows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import ROOT

SWEEPS = ROOT / "sweeps"
NETWORK = ["random", "Sobol", "halving", "TPE (Optuna)", "CMA-ES"]
EVERYWHERE = [name for name in NETWORK if name != "halving"]
"""Searchers without a resource."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script as a module, which is forgotten afterwards together with the learner that it imports."""
    monkeypatch.syspath_prepend(SWEEPS)
    for name in ("searchers", "digits_learner"):
        sys.modules.pop(name, None)
    yield import_module("searchers")
    for name in ("searchers", "digits_learner"):
        sys.modules.pop(name, None)


def rows(text: str) -> list[str]:
    """The first cells of all rows whose second cell is a number."""
    return [name.strip() for name in re.findall(r"^\|([^|]+)\| [\d,]+ \|", text, re.MULTILINE)]


@pytest.mark.daily
def test_a_row_for_each_searcher(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In both tables, and a picture."""
    pytest.importorskip("cma")
    pytest.importorskip("optuna")
    words = ["searchers.py", "--seeds", "1", "--networks", "3", "--points", "16", "--to", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    assert rows(capsys.readouterr().out) == NETWORK + EVERYWHERE
    assert (tmp_path / "searchers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.daily
def test_a_searcher_that_is_missing_is_left_out(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output says which, and what to install; the others have their rows."""
    monkeypatch.setattr(script, "find_spec", lambda name: None)
    words = ["searchers.py", "--seeds", "1", "--networks", "3", "--points", "16", "--to", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    said = capsys.readouterr().out
    assert rows(said) == ["random", "Sobol", "halving", "random", "Sobol"]
    assert "TPE (Optuna) is left out; install optuna, or optitrip[optuna]" in said
    assert "CMA-ES is left out; install cma, or optitrip[cma]" in said


def test_the_function_has_its_published_minimum(script: Any) -> None:
    """-3.32237 at the published place, and nowhere less."""
    place = np.array([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.657301])
    assert script.hartmann(place) == pytest.approx(0, abs=2e-6)
    assert min(map(script.hartmann, np.random.default_rng(0).random((1_000, 6)))) > 0


def rationed(x: float, epochs: int, state_dir: str | None = None) -> float:
    """A loss that falls with the epochs, and would go on from where it was."""
    return x + 1 / epochs


@pytest.mark.parametrize("networks", [3, 10, 22])
def test_halving_gets_no_more_than_the_budget(script: Any, networks: int) -> None:
    """At most the epochs of so many candidates in full, and those of all but three at least; the picture's axis ends at
    the cost that the answer tells."""
    space = {"x": {"uniform": [0, 1]}}
    task = script.Task("", rationed, space, networks, script.EPOCHS, "epochs", {"epochs": script.EPOCHS}, "epochs")
    spent = script.run(script.halved, task, 0).costs[-1]
    assert spent == script.halved(task, 0).halved.cost
    assert (networks - 3) * script.EPOCHS < spent <= networks * script.EPOCHS


def test_the_page_has_the_rows_of_the_script() -> None:
    """Beside the command and the picture."""
    page = (SWEEPS / "searchers.md").read_text(encoding="utf-8")
    assert rows(page) == NETWORK + EVERYWHERE
    assert "uv run python sweeps/searchers.py --to sweeps\n" in page
    assert (SWEEPS / "searchers.png").stat().st_size < 150_000
