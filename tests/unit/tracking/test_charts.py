"""Pictures among the charts of a run, and files whose making fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from driver_setup import Recording
from tracked import run


def test_pictures_are_images_of_the_run(folder: Path) -> None:
    """As they are in the file, with white below to a square; those of an extended sweep have a later step, so
    that they are shown in their place."""
    from mlflow import MlflowClient

    run()
    outcome = run("method.candidates=60")
    client = MlflowClient(outcome.mlflow["tracking_uri"])
    assert client.get_run(outcome.mlflow["run_id"]).data.tags["mlflow.loggedImages"] == "True"
    (images,) = folder.glob("mlartifacts/*/*/artifacts/images")
    steps = {int(path.name.split("+")[2]): path for path in images.glob("answer~losses+step+*.png")}
    assert sorted(steps) == [39, 59]
    drawn, logged = (imread(path)[:, :, :3] for path in (Path(outcome.state_dir) / "losses.png", steps[59]))
    assert logged.shape[0] == logged.shape[1] == drawn.shape[1] > drawn.shape[0]
    assert (logged[: len(drawn)] == drawn).all()
    assert (logged[len(drawn) :] == 1).all()


def test_a_report_that_fails_costs_only_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer and the other files are there, a warning says which one is missing, and the same command is quiet."""

    def broken() -> Any:
        raise OSError("plotly.min.js is missing")

    monkeypatch.setattr("plotly.offline.get_plotlyjs", broken)
    lines = Recording()
    outcome = run("tracking.use=none", watch=lines)
    (notice,) = (notice for notice in lines.notices if notice.code == "no-picture")
    assert notice.text == "report.html could not be drawn: plotly.min.js is missing"
    assert not (Path(outcome.state_dir) / "report.html").exists()
    assert (Path(outcome.state_dir) / "losses.png").exists()
    again = Recording()
    assert run("tracking.use=none", watch=again).answer.loss == outcome.answer.loss
    assert "no-picture" not in again.codes
