"""Law 7 with a server that is down, slow or killed: the answer comes first, and the run is whole in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from command import optitrip, start_optitrip
from driver_setup import Recording
from mlflow_http import Server, mlflow_server
from mlflow_store import told_to
from optitrip.tracking import observer
from optitrip.tracking.mlflow_client import InProcessClient
from tracked import incomplete, run

END = b'"candidates"', b'"FINISHED"', b'optitrip.state", "value": "finished'
"""What only the requests after the answer hold."""
pytestmark = pytest.mark.daily


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Give a server on the store in this directory, to which sweeps are recorded."""
    with mlflow_server(folder / "mlflow.db") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        yield server


def numbers(uri: str) -> dict[str, Any]:
    """Return steps and values of each metric of the only run, its state and its artifacts; its durations differ."""
    found, metrics, artifacts = told_to(uri)
    assert metrics.pop("seconds")
    return {**metrics, "state": found.info.status, "artifacts": artifacts}


def test_the_answer_is_on_the_terminal_before_mlflow_is_told(folder: Path, server: Server) -> None:
    """The server holds every request about the end of a real command until its answer has been read."""
    read, held = threading.Event(), list[str]()

    def meet(path: str, body: bytes) -> None:
        if any(word in body for word in END) or "artifacts" in path:
            held.append(path)
            assert read.wait(100)

    server.meet = meet
    server.start()
    environment = {"MLFLOW_TRACKING_URI": server.uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "100"}
    with start_optitrip(folder, "sweep", "tracked.toml", environment=environment, stdout=PIPE, stderr=PIPE) as command:
        assert command.stdout is not None
        lines = [command.stdout.readline()]
        while "min loss" not in lines[-1]:
            assert lines[-1], "the answer did not come"
            lines.append(command.stdout.readline())
        read.set()
        rest = command.stdout.read()
    assert command.returncode == 3
    assert held
    assert "run " in rest
    assert numbers(server.uri)["state"] == "FINISHED"


class Trouble(Recording):
    """Does something to the server when the first parts are there, and something else when all are."""

    def __init__(self, first: Any, last: Any) -> None:
        super().__init__()
        self._first, self._last = first, last

    def parts(self, written: Any, *, new: bool) -> None:
        begins, ends = written[0][0].items.start == 0, written[-1][0].items.stop == 40
        for act in [self._first] * begins + [self._last] * ends:
            act()


@pytest.mark.parametrize("trouble", ["down at first", "down", "killed in the middle", "slow", "refuses in the middle"])
def test_a_run_is_whole_after_sync(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch, trouble: str, store: Path
) -> None:
    """Metric by metric, with state and artifacts, it is what an undisturbed sweep has."""
    monkeypatch.setattr(observer, "PAUSE_SECONDS", 0.01)
    begun, log = threading.Event(), InProcessClient.log

    def logged(*given: Any) -> None:
        log(*given)
        begun.set()

    monkeypatch.setattr(InProcessClient, "log", logged)

    def nothing() -> None: ...

    def middle(act: Any) -> Any:
        return lambda: (begun.wait(60), act())

    def refuse() -> None:
        server.meet = lambda path, body: "503 Busy"

    whole = {
        "down at first": (nothing, server.start),
        "down": (nothing, nothing),
        "killed in the middle": (nothing, middle(server.stop)),
        "slow": (nothing, nothing),
        "refuses in the middle": (nothing, middle(refuse)),
    }
    if "middle" in trouble or trouble == "slow":
        server.start()
    if trouble == "slow":
        server.meet = lambda path, body: time.sleep(0.2)
    watch = Trouble(*whole[trouble])
    disturbed = run(watch=watch)
    assert disturbed.answer is not None
    if trouble != "slow":
        assert (disturbed.mlflow is None) == (len(incomplete(watch)) == 1)
    server.meet = lambda path, body: None
    if trouble in ("down", "killed in the middle"):
        assert incomplete(watch)
        server.start()
    done = optitrip(folder, "sync", "tracked", MLFLOW_TRACKING_URI=server.uri)
    assert done.returncode == 0, done.stderr
    found = numbers(server.uri)
    with mlflow_server(folder / "undisturbed.db") as other:
        (folder / "undisturbed.db").write_bytes(store.read_bytes())
        other.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", other.uri)
        (folder / ".optitrip").rename(folder / "disturbed")
        run()
        assert found == numbers(other.uri)
    assert found["loss"][-1] == (39, disturbed.answer.loss)
