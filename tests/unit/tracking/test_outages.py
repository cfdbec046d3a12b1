"""Law 7: MLflow that is down, slow or damaged costs a sweep nothing; what it missed is delivered later."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.request import urlopen

import pytest

from driver_setup import Recording
from mlflow_store import stored, told_to
from optitrip.tracking import observer
from optitrip.tracking.mlflow_client import QUIET, InProcessClient
from optitrip.tracking.observer import PATIENCE_SECONDS
from optitrip.tracking.run import Ending, Metric, Run
from optitrip.tracking.subprocess_client import SubprocessClient
from tracked import ARTIFACTS, LOSS, incomplete, run


@pytest.mark.daily
def test_a_process_that_is_killed_costs_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 7: nothing waits for it, the answer is there, and the same command delivers later."""

    clients: list[SubprocessClient] = []

    class Dies(SubprocessClient):
        def __init__(self) -> None:
            super().__init__()
            clients.append(self)

        def conclude(self, ending: Ending) -> list[str]:
            self._process.kill()
            return super().conclude(ending)

    monkeypatch.setattr("optitrip.app.run_sweep.SubprocessClient", Dies)
    lines = Recording()
    outcome = run(watch=lines, apart=True)
    assert outcome.answer is not None
    assert outcome.mlflow is None
    assert [line for line in incomplete(lines) if "its process has ended" in line]
    assert clients[0]._process.returncode == -signal.SIGKILL
    later = run()
    assert later.evaluated == 0
    assert stored(folder)[1]["loss"][-1] == (39, outcome.answer.loss)


@pytest.mark.daily
def test_an_exception_of_mlflow_keeps_its_message(folder: Path) -> None:
    """An exception in the process is reported as it would be in this one."""
    (folder / "mlflow.db").write_bytes(b"this is not a database" * 100)
    reported: list[list[str]] = []
    for apart in (False, True):
        lines = Recording()
        assert run("method.candidates=41" if apart else "seed=4", watch=lines, apart=apart).answer is not None
        reported.append([line.partition(").")[0] for line in incomplete(lines)])
    assert reported[0] == reported[1] != []


def test_mlflow_down_costs_a_line_and_is_delivered_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 7: a server that is not there changes neither answer nor exit status; the same command delivers later."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed}")
    lines = Recording()
    outcome = run(watch=lines)
    assert outcome.mlflow is None
    assert outcome.answer is not None
    assert len(incomplete(lines)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    later = run()
    assert later.evaluated == 0
    found, metrics, artifacts = stored(folder)
    assert found.info.run_id == later.mlflow["run_id"]
    assert metrics["loss"][-1] == (39, outcome.answer.loss)
    assert {*artifacts} >= ARTIFACTS


OFTEN = [(500, b"broken"), (429, b"")]
SELDOM = [(200, b"<html>log in"), (200, b"{}"), (200, b"null"), (401, b"no"), (403, b"\xff"), (302, b""), (204, b"")]


@pytest.mark.mostly_daily
@pytest.mark.parametrize("answer", [*OFTEN, *(pytest.param(one, marks=pytest.mark.daily) for one in [None, *SELDOM])])
def test_a_server_that_does_not_serve_costs_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes] | None
) -> None:
    """A server was asked that answers with errors, nonsense or never: the sweep has its answer, and the store gets it
    later."""
    asked: list[str] = []
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if answer is None:
                over.wait()
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - its name is the library's

        def log_message(self, format: str, *args: Any) -> None: ...

    monkeypatch.setitem(QUIET, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        lines = Recording()
        try:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
            outcome = run(watch=lines)
        finally:
            over.set()
            server.shutdown()
    assert asked
    assert outcome.answer is not None
    assert outcome.mlflow is None
    assert len(incomplete(lines)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert run().evaluated == 0
    assert stored(folder)[1]["loss"][-1] == (39, outcome.answer.loss)


class Server:
    """MLflow's own server on the store in this directory."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> None:
        words = ["-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1"]
        words += ["--artifacts-destination", "kept", "--host", "127.0.0.1", "--port", str(self.port)]
        silent = subprocess.DEVNULL
        self.process = subprocess.Popen([sys.executable, *words], stdout=silent, stderr=silent, start_new_session=True)
        while True:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return
            time.sleep(0.2)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.thorough
def test_a_server_that_is_killed_and_comes_back_has_all_of_it_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle of a sweep: one run in the end, with every loss and all files."""
    (folder / "tracked_loss.py").write_text(f"import time\n{LOSS}".replace("return", "time.sleep(0.01)\n    return"))
    server = Server()
    uri = f"http://127.0.0.1:{server.port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    server.start()

    class Kills(Recording):
        killed = False

        def parts(self, written: Sequence[Any], *, new: bool) -> None:
            if not self.killed and written[-1][0].items.stop > 500:
                self.killed = True
                server.kill()
                Thread(target=server.start).start()

    lines = Kills()
    outcome = run("method.candidates=3000", watch=lines)
    _, metrics, artifacts = told_to(uri)
    server.kill()
    assert lines.killed
    assert outcome.mlflow is not None, [notice.text for notice in lines.notices]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'undisturbed.db'}")
    assert run("method.candidates=3000").evaluated == 0
    assert metrics["loss"] == stored(folder, "undisturbed.db")[1]["loss"]
    assert len(metrics["loss"]) == len(dict(metrics["loss"]))
    assert {*artifacts} >= ARTIFACTS


@pytest.mark.mostly_daily
@pytest.mark.parametrize("damage", ["no database", "a folder", "of another version", "a deleted experiment"])
def test_a_store_that_cannot_be_used_costs_a_line(folder: Path, damage: str) -> None:
    """Law 7: a sweep has its answer, and MLflow does not try for minutes."""
    store = folder / "mlflow.db"
    if damage == "no database":
        store.write_bytes(b"this is not a database" * 100)
    elif damage == "a folder":
        store.unlink()
        store.mkdir()
    elif damage == "of another version":
        with closing(sqlite3.connect(store)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    else:
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{store}")
        client.delete_experiment(client.create_experiment("optitrip"))
    lines = Recording()
    began = time.monotonic()
    outcome = run(watch=lines)
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert outcome.answer is not None
    (line,) = incomplete(lines)
    assert damage != "a deleted experiment" or "restore it in MLflow" in line


@pytest.mark.daily
def test_a_run_deleted_by_hand_is_made_anew(folder: Path) -> None:
    """A run that a user deletes in MLflow's page is created anew when the sweep is resumed."""
    from mlflow import MlflowClient

    first = run()
    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").delete_run(first.mlflow["run_id"])
    second = run("method.candidates=60")
    assert second.mlflow["run_id"] != first.mlflow["run_id"]
    assert stored(folder)[1]["loss"][-1] == (59, second.answer.loss)


@pytest.mark.daily
def test_a_run_deleted_in_the_middle_is_made_anew(folder: Path) -> None:
    """The sweep has its answer and reports that the run is incomplete; the next command creates a complete one."""
    from mlflow import MlflowClient

    (folder / "tracked_loss.py").write_text(f"import time\n{LOSS}".replace("return", "time.sleep(0.01)\n    return"))
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    deleted: list[str] = []

    class Deletes(Recording):
        def parts(self, written: Sequence[Any], *, new: bool) -> None:
            experiment = client.get_experiment_by_name("optitrip")
            runs = client.search_runs([experiment.experiment_id]) if experiment and not deleted else []
            for found in (begun for begun in runs if begun.data.params):
                client.delete_run(found.info.run_id)
                deleted.append(found.info.run_id)

    lines = Deletes()
    first = run("method.candidates=400", watch=lines)
    assert len(deleted) == 1
    assert first.answer is not None
    assert len(incomplete(lines)) == 1
    again = run("method.candidates=400")
    assert again.mlflow["run_id"] not in deleted
    assert stored(folder)[1]["loss"][-1] == (399, again.answer.loss)


def test_an_outage_is_told_while_it_lasts_and_when_it_is_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches a long sweep learns that its server is away, once, with the cause and without the password."""
    monkeypatch.setattr(observer, "AWAY_SECONDS", 0.0)
    monkeypatch.setattr(observer, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    lines = Recording()

    class Away(InProcessClient):
        def begin(self, run: Run) -> str:
            told = [notice for notice in lines.notices if notice.code == "mlflow-away"]
            if not told:
                raise ConnectionError(f"no route to {run.uri}\nand more")
            return "a run"

        def log(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None: ...

        def conclude(self, ending: Ending) -> list[str]:
            return []

    monkeypatch.setattr("optitrip.tracking.runs.InProcessClient", Away)
    (folder / "tracked_loss.py").write_text(f"import time\n{LOSS}".replace("return", "time.sleep(0.01)\n    return"))
    assert run("method.candidates=100", "stop.max_seconds=60", watch=lines).mlflow is not None
    away, there = [notice.text for notice in lines.notices if notice.code == "mlflow-away"]
    assert "(no route to http" in away
    assert "is there again" in there
    assert "secret" not in away + there
    assert not incomplete(lines)
