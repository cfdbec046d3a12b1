"""`optitrip ui` leads to the runs of the right experiment, with the columns that they have."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from command import optitrip
from optitrip.tracking.page import ALL_RUNS, runs_page, view

RUNS = [
    {
        "info": {"experiment_id": "7"},
        "data": {
            "metrics": [{"key": key, "value": 1.5} for key in ("loss", "candidates", "best/x", "best/index", "odd")],
            "tags": [{"key": "optitrip.candidates", "value": "1"}, {"key": "best/kind", "value": "a"}],
        },
    },
    {"info": {"experiment_id": "7"}, "data": {"metrics": [{"key": "seconds", "value": 2}]}},
]


class Server(ThreadingHTTPServer):
    """A stand-in for an MLflow server with one experiment, which records what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, Any, str | None]] = []
        self.place = f"127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(None)

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: Any) -> None:
        server: Any = self.server
        server.asked.append((self.path.removeprefix("/api/2.0/mlflow/"), body, self.headers["Authorization"]))
        word = self.path.rpartition("/")[2].partition("?")[0]
        table: Any = {
            "get-by-name": {"experiment": {"experiment_id": "7"}},
            "search": {"runs": RUNS, "experiments": [{"experiment_id": "7"}]},
            "set-experiment-tag": {},
        }[word]
        self.send_response(404 if "missing" in self.path else 200)
        self.end_headers()
        self.wfile.write(json.dumps(table).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("experiment", ["mine, or / yours?", None])
def test_the_page_shows_the_runs_of_an_experiment(server: Server, experiment: str | None) -> None:
    """That of a name, else that of the latest run; the columns of the view are what the runs have."""
    page = runs_page(f"http://{server.place}/", experiment)
    place = "#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=optitrip"
    assert page == f"http://{server.place}/{place}"
    path, body, _ = server.asked[-1]
    assert (path, body["experiment_id"]) == ("experiments/set-experiment-tag", "7")
    assert body["key"] == "mlflow.sharedViewState.optitrip"
    columns = json.loads(body["value"])["selectedColumns"]
    metrics = [f"metrics.`{key}`" for key in ("loss", "candidates", "seconds")]
    assert columns == ["tags.`optitrip.state`", *metrics, "tags.`best/kind`", "metrics.`best/x`"]
    if experiment:
        assert server.asked[0][0] == "experiments/get-by-name?experiment_name=mine%2C%20or%20%2F%20yours%3F"


def test_an_axis_is_logarithmic_where_the_losses_allow_it() -> None:
    """All positive; without a loss there is no chart."""
    scale = {}
    for value in (1e-9, 0.0, -2.0, "NaN"):
        (chart,) = view([{"data": {"metrics": [{"key": "loss", "value": value}]}}])["compareRunCharts"]
        scale[value] = chart["scaleType"], chart["xAxisScaleType"]
    assert scale == {1e-9: ("log", "log"), **dict.fromkeys((0.0, -2.0, "NaN"), ("linear", "log"))}
    assert "compareRunCharts" not in view([{"data": {}}])


def test_many_variables_are_a_dozen_columns() -> None:
    """A table of hundreds of columns would make the page slow."""
    runs = [{"data": {"metrics": [{"key": f"best/{number}", "value": 1} for number in range(500)]}}]
    assert len(view(runs)["selectedColumns"]) == 13


@pytest.mark.parametrize("server_", ["http://127.0.0.1:9", "http://[", "http://x:S3NT/@y", "none"])
def test_without_a_server_that_answers_the_page_is_the_list(server_: str) -> None:
    """MLflow may start answering later."""
    page = runs_page(server_, "missing")
    assert page.endswith(ALL_RUNS)
    assert "S3NT" not in page


def test_a_missing_experiment_is_the_list(server: Server) -> None:
    assert runs_page(f"http://{server.place}", "missing") == f"http://{server.place}/{ALL_RUNS}"


def test_ui_shows_the_page_of_a_server(server: Server, tmp_path: Path) -> None:
    """Its password opens it, and is not printed; a program that the user names as browser gets the address."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    browser.chmod(0o700)
    uri = f"http://somebody:S3NT%40NEL@{server.place}"
    done = optitrip(tmp_path, "ui", MLFLOW_TRACKING_URI=uri, BROWSER=f"{browser} %s")
    assert done.returncode == 0, done.stderr
    page = done.stderr.split(" ")[0]
    assert page.startswith(f"http://{server.place}/#/experiments/7/runs?")
    assert opened.read_text().strip() == page
    assert "S3NT" not in done.stderr + done.stdout
    wanted = "Basic " + base64.b64encode(b"somebody:S3NT@NEL").decode()
    assert {header for _, _, header in server.asked} == {wanted}
    opened.unlink()
    assert optitrip(tmp_path, "ui", "--no-open", MLFLOW_TRACKING_URI=uri, BROWSER=f"{browser} %s").returncode == 0
    assert not opened.exists()
