"""MLflow: a sweep is one tidy run, the same whatever the order of arrival."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from driver_setup import Recording
from mlflow_store import stored
from optitrip.store.lookup import read
from optitrip.tracking.mlflow_store import make_store
from tracked import ARTIFACTS, run


def test_a_sweep_is_one_run_with_all_that_matters(bare: Path) -> None:
    """Params of the frozen sweep, curves at step = index, final figures, files, tags."""
    outcome = run()
    found, metrics, artifacts = stored(bare)
    assert outcome.mlflow["run_id"] == found.info.run_id
    assert outcome.mlflow["tracking_uri"] == f"sqlite:///{bare / 'mlflow.db'}"
    assert not list(bare.glob("mlflow-*"))
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "tracked"
    assert {*artifacts} == ARTIFACTS | {"failures.csv"}
    assert found.data.params["objective.loss"] == "tracked_loss:loss"
    assert found.data.params["seed"] == "3"
    assert found.data.params["space.x"] == "{'normal': [0.0, 1.0]}"
    assert not [key for key in found.data.params if "candidates" in key]
    tags = found.data.tags
    assert tags["optitrip.candidates"] == "40"
    assert tags["optitrip.identity"] == outcome.identity
    assert tags["optitrip.state"] == "finished"
    assert f"at candidate {outcome.answer.index:,}" in tags["mlflow.note.content"]
    losses = losses_of(40)
    best = min(losses, key=losses.__getitem__)
    assert metrics["loss"] == staircase(losses, 40)
    assert metrics["loss"][-1] == (39, losses[best])
    assert 0 < outcome.failed == 40 - len(losses)
    assert not outcome.failures_allowed
    assert {key: points for key, points in metrics.items() if key != "loss"} == {
        "best/index": [(0, best)],
        "best/x": [(0, outcome.answer.x["x"])],
        "best/y": [(0, outcome.answer.x["y"])],
        "candidates": [(0, 40)],
        "failed": [(0, outcome.failed)],
        "failed/nan": [(0, outcome.failed)],
        "seconds": [(0, outcome.total_seconds)],
    }


def losses_of(count: int, loss: Any = lambda x, y: x * x + y if y < 0.9 else float("nan")) -> dict[int, float]:
    """Return the finite losses of the first candidates by index."""
    draws = read(Path("tracked.toml")).candidates
    losses = {index: loss(*(column[0] for column in draws.point(index).values())) for index in range(count)}
    return {index: value for index, value in losses.items() if math.isfinite(value)}


def staircase(losses: dict[int, float], count: int) -> list[tuple[int, float]]:
    """Return the corners of the running minimum, and its last point."""
    corners: dict[int, float] = {}
    least = math.inf
    for index, value in losses.items():
        if value < least:
            corners |= {index - 1: least} if corners else {}
            least = corners[index] = value
    return sorted({**corners, count - 1: least}.items())


@pytest.mark.thorough
def test_a_process_of_its_own_records_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process in which MLflow runs makes no difference to what is recorded, times and durations apart."""
    recorded: list[Any] = []
    for apart in (False, True):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{apart}.db")
        shutil.rmtree(folder / ".optitrip", ignore_errors=True)
        outcome = run(apart=apart)
        found, metrics, artifacts = stored(folder, f"{apart}.db")
        assert outcome.mlflow["run_id"] == found.info.run_id
        tags = {key: tag for key, tag in found.data.tags.items() if key != "optitrip.journal"}
        tags["mlflow.note.content"] = tags["mlflow.note.content"].rpartition("\n")[0]  # the times
        points = {key: points for key, points in metrics.items() if key != "seconds"}
        recorded.append((points, found.data.params, tags, artifacts, found.info.status, found.info.run_name))
    assert recorded[0] == recorded[1]


@pytest.mark.daily
def test_a_module_that_changes_the_working_directory(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Store, artifacts and results are where the command began."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    loss = (folder / "tracked_loss.py").read_text()
    (folder / "tracked_loss.py").write_text(f"import os\nos.chdir({str(elsewhere)!r})\n{loss}")
    outcome = run()
    assert Path.cwd() == elsewhere
    assert not list(elsewhere.iterdir())
    _, _, artifacts = stored(folder)
    assert "best.npz" in artifacts
    assert outcome.state_dir == f".optitrip/tracked-{outcome.identity}"
    assert (folder / outcome.state_dir / "result.json").exists()


@pytest.mark.daily
def test_a_store_that_another_sweep_created_first_is_used(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sweeps that start in an empty directory share one store: the second leaves it as it is."""
    run()
    first = (bare / "mlflow.db").read_bytes()
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != "mlflow.db" and exists(path))
    make_store(f"sqlite:///{bare / 'mlflow.db'}")
    assert (bare / "mlflow.db").read_bytes() == first
    assert not list(bare.glob("mlflow-*"))


@pytest.mark.daily
def test_extending_continues_the_same_run(folder: Path) -> None:
    """A raised N keeps the run, adds to its curves without repeating them, and leaves its params."""
    first = run()
    once = stored(folder)[1]
    second = run("method.candidates=90")
    found, metrics, _ = stored(folder)
    assert first.mlflow["run_id"] == second.mlflow["run_id"] == found.info.run_id
    assert found.data.tags["optitrip.candidates"] == "90"
    assert metrics["loss"] == sorted({*staircase(losses_of(90), 90), once["loss"][-1]})
    assert metrics["candidates"] == [(0, 40), (0, 90)]
    assert found.data.metrics["candidates"] == 90
    assert found.data.metrics["loss"] == second.answer.loss


def test_a_finished_sweep_is_recorded_once(folder: Path) -> None:
    """Asking again shows the result and writes nothing to MLflow."""
    run()
    before = (folder / "mlflow.db").read_bytes()
    again = run()
    assert (folder / "mlflow.db").read_bytes() == before
    assert again.evaluated == 0
    assert again.mlflow is not None


def test_no_tracking_where_none_is_wanted(bare: Path) -> None:
    """`[tracking] use = "none"` leaves no store behind."""
    assert run("tracking.use=none").mlflow is None
    assert not (bare / "mlflow.db").exists()


def test_metrics_are_dated_by_the_journal(folder: Path) -> None:
    """A point sent twice is one point: its time is that of the journal row, not of the sending."""
    outcome = run()
    state = Path(outcome.state_dir)
    with sqlite3.connect(state / "journal.sqlite") as journal:
        times = {row[0] for row in journal.execute("SELECT written FROM part")}
        journal.execute("UPDATE meta SET value = 'null' WHERE key = 'mlflow'")
    run()
    with sqlite3.connect(folder / "mlflow.db") as store:
        rows = store.execute("SELECT step, timestamp FROM metrics WHERE key = 'loss'").fetchall()
    assert {time for step, time in rows if step < 39} <= times
    assert len({step for step, _ in rows}) == len(rows)


def test_secrets_of_the_environment_are_not_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of the environment reaches the store."""
    monkeypatch.setenv("OPTITRIP_TEST_SECRET", "sentinel-6f1b")
    run()
    assert b"sentinel-6f1b" not in (folder / "mlflow.db").read_bytes()
    assert os.environ["OPTITRIP_TEST_SECRET"]


def test_a_relative_store_is_the_one_of_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual form of the variable works, and the run's page finds its artifacts."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    lines = Recording()
    outcome = run("tracking.experiment=/Shared/x", watch=lines)
    assert outcome.mlflow["tracking_uri"] == f"sqlite:///{folder / 'mlflow.db'}"
    assert not [line for line in [notice.text for notice in lines.notices] if "MLflow" in line]
    assert {path.name for path in folder.glob("mlartifacts/_Shared_x/*/artifacts/*")} >= ARTIFACTS


@pytest.mark.daily
def test_another_store_gets_the_sweep_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that was delivered to one store is delivered to another, too."""
    run()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    outcome = run()
    assert outcome.evaluated == 0
    assert outcome.mlflow["tracking_uri"].endswith("other.db")


def test_any_name_of_a_figure_reaches_mlflow(folder: Path) -> None:
    """Names that MLflow refuses are spelled as it takes them; a figure that is not finite is null in JSON."""
    (folder / "tracked_loss.py").write_text(
        "class Loss:\n"
        "    def __call__(self, x, y): return x * x + y\n"
        "    def report(self, x, y): return {'top-5 (%)': 12.5, 'ratio': float('inf')}\n"
    )
    outcome = run("objective.loss=tracked_loss:Loss")
    found, metrics, artifacts = stored(folder)
    assert metrics["report/top-5 ___"] == [(0, 12.5)]
    assert found.info.status == "FINISHED"
    assert {*artifacts} == ARTIFACTS
    assert outcome.to_json()["report"] == {"ratio": None, "top-5 (%)": 12.5}
    json.dumps(outcome.to_json(), allow_nan=False)


GRADIENT = """
[objective]
loss = "optitrip.objectives:Softmax"
[space]
W = { shape = [10, 65] }
[method]
use = "gradient"
scheme = "central"
at = { fill = 0.0 }
[run]
executor = "serial"
"""


@pytest.mark.daily
def test_a_gradient_is_one_run_too(folder: Path) -> None:
    """Norm and largest magnitude as figures, never a key a coordinate; the table in the description; the files."""
    import numpy as np

    (folder / "tracked.toml").write_text(GRADIENT)
    outcome = run()
    found, metrics, artifacts = stored(folder)
    assert found.info.status == "FINISHED"
    files = ["gradcheck.csv", "gradcheck.png", "gradient.npz", "gradient.png", "images", "point.npz", "sweep.toml"]
    assert artifacts == files
    figures = {key: points[-1][1] for key, points in metrics.items()}
    assert figures["gradient/norm"] == outcome.answer.norm
    assert figures["gradient/max_abs"] == outcome.answer.max_abs
    assert figures["gradient/from_analytic"] < 1e-9
    assert figures["loss"] == pytest.approx(np.log(10))
    assert figures["report/train_accuracy"] > 0
    assert figures["coordinates"] == 650
    assert "failed" not in figures
    assert len(metrics) <= 13
    assert found.data.params["method.use"] == "gradient"
    assert found.data.params["method.at"] == outcome.answer.method.center.digest
    assert found.data.tags["optitrip.coordinates"] == "650"
    note = found.data.tags["mlflow.note.content"]
    assert "|  | W | W + h | loss(W + h) | loss(W - h) | dW | error |" in note
    first = outcome.answer.table()[1][0]
    assert f"| {' | '.join(first)} |" in note
    assert run("method.coordinates=3").mlflow["run_id"] == outcome.mlflow["run_id"]
    assert stored(folder)[0].data.tags["optitrip.coordinates"] == "3"


def test_numbers_beside_the_loss_reach_mlflow(folder: Path) -> None:
    """They are those of the best candidate, under their names, unless these are ours; a maximised loss rises."""
    (folder / "tracked_loss.py").write_text(
        "def loss(x, y): return {'loss': x * x + y, 'accuracy': x, 'seconds': 7.0, 'best/x': 8.0, 'candidates': 9.0}\n"
    )
    outcome = run("objective.maximize=true")
    found, metrics, _ = stored(folder)
    assert metrics["accuracy"] == metrics["best/x"] == [(0, outcome.answer.x["x"])]
    theirs = [metrics[name] for name in ("seconds_2", "best/x_2", "candidates_2")]
    assert theirs == [[(0, 7.0)], [(0, 8.0)], [(0, 9.0)]]
    assert metrics["candidates"] == [(0, 40)]
    best = [value for _, value in metrics["loss"]]
    assert best == sorted(best)
    assert best[-1] == outcome.answer.loss == max(losses_of(40, lambda x, y: x * x + y).values())
    assert found.data.params["objective.maximize"] == "True"
