"""The answer is printed before figures are drawn and MLflow is told; what is cut off then is done later."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import optitrip.methods.search.answer as answers
from command import optitrip
from mlflow_store import stored
from optitrip.cli.run import Shown
from optitrip.journal.facts import Commands
from optitrip.store.state_dir import peek_fact
from optitrip.tracking.mlflow_client import InProcessClient
from tracked import run

SWEEP_COMMAND = "sweep", "tracked.toml"


@pytest.fixture
def happened(mlflow_here: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the order in which things happen to a command."""
    happened: list[str] = []

    def told(name: str, function: Any) -> Any:
        return lambda *given, **named: (happened.append(name), function(*given, **named))[1]

    monkeypatch.setattr(InProcessClient, "conclude", told("MLflow", InProcessClient.conclude))
    monkeypatch.setattr(Shown, "answer", told("answer", Shown.answer))
    monkeypatch.setattr(answers, "losses_png", told("figure", answers.losses_png))
    return happened


@pytest.mark.daily
def test_the_answer_comes_first(folder: Path, happened: list[str]) -> None:
    """The table, then figures, then MLflow, and last the location of the run; with --json one object at the end."""
    done = optitrip(folder, *SWEEP_COMMAND)
    assert happened == ["answer", "figure", "MLflow"]
    assert "min loss" in done.stdout
    (found, *_) = stored(folder)
    assert done.stdout.index("min loss") < done.stdout.index(f"run {found.info.run_id}")
    assert done.stderr.count("writing figures, updating MLflow ...") == 1
    assert done.stderr.count("candidate ") == 1  # the failure is shown once
    again = optitrip(folder, *SWEEP_COMMAND)
    assert happened[3:] == ["answer"]
    assert "writing figures" not in again.stderr
    mirrored = optitrip(folder, *SWEEP_COMMAND, "--mirror", "far")
    assert mirrored.stderr.count("copying to far ...") == 1
    printed = json.loads(optitrip(folder, *SWEEP_COMMAND, "--json", "--set", "seed=9").stdout)
    assert happened[5:] == ["figure", "MLflow"]
    assert printed["mlflow"]["experiment"] == "optitrip"


@pytest.mark.daily
@pytest.mark.mostly_daily
@pytest.mark.parametrize("place", ["figure", "MLflow"])
def test_ctrl_c_after_the_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, happened: list[str], place: str
) -> None:
    """The first one ends the command: the answer was shown, and the same command does the rest."""

    def interrupted(*_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal was not handled")

    with monkeypatch.context() as patch:
        if place == "figure":
            patch.setattr(answers, "losses_png", interrupted)
        else:
            patch.setattr("optitrip.app.results.finish_run", interrupted)
        with pytest.raises(KeyboardInterrupt):  # as the tests' own command passes it on
            optitrip(folder, *SWEEP_COMMAND)
    assert happened[0] == "answer"
    done = optitrip(folder, *SWEEP_COMMAND)
    assert "min loss" in done.stdout
    (found, metrics, artifacts) = stored(folder)
    assert found.info.status == "FINISHED"
    assert metrics["candidates"][-1] == (0, 40)
    assert "losses.png" in artifacts


@pytest.mark.daily
def test_the_time_of_all_commands(folder: Path) -> None:
    """A command that only shows a result takes none; one that was killed took until its last write."""
    first = run()
    assert first.total_seconds == pytest.approx(first.seconds, rel=0.9)
    again = run()
    assert again.total_seconds == first.total_seconds
    state = Path(first.state_dir)
    with closing(sqlite3.connect(state / "journal.sqlite")) as journal:
        ((last,),) = journal.execute("SELECT max(written) FROM part")
    before = peek_fact(state, Commands)
    assert before is not None
    assert before == Commands(before.started, None, first.total_seconds, "finished")
    from optitrip.journal.journal import Journal

    with closing(Journal(state / "journal.sqlite", first.identity)) as journal:
        journal.note(Commands(before.started, last - 5_000, 100.0, "running"))
    longer = run("method.candidates=50")
    assert 105 < longer.total_seconds < 105 + longer.seconds
    assert stored(folder)[0].data.metrics["seconds"] == longer.total_seconds
    assert longer.to_json()["total_seconds"] == round(longer.total_seconds, 3)
    assert stored(folder)[0].info.start_time == before.started


def test_what_is_made_is_for_its_owner_alone(bare: Path) -> None:
    """State directories, the store and its artifacts."""
    bare.chmod(0o755)
    run()
    assert [(bare / name).stat().st_mode & 0o077 for name in (".optitrip", "mlflow.db", "mlartifacts")] == [0, 0, 0]
    assert not next((bare / ".optitrip").iterdir()).stat().st_mode & 0o077
