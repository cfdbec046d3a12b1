"""MLflow: one tidy run a sweep, the same whatever the order of arrival, and never a cost to the sweep."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import LOSSES, search
from mlflow_store import stored, told_to
from optitrip.app.options import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.config.sweep import Sweep
from optitrip.core.method import merged
from optitrip.core.observer import InOrder, Observer, Times
from optitrip.core.progress import MetricPoint
from optitrip.methods.search.progress import SearchCurve
from optitrip.store.start_point import read
from optitrip.tracking.mlflow_client import QUIET, make_store
from optitrip.tracking.subprocess_client import SubprocessClient
from running import Lines

SWEEP = """
seed = 3
[objective]
loss = "tracked_loss:loss"
[space]
x = { normal = [0, 1] }
y = { uniform = [-1, 1] }
[method]
use = "search"
candidates = 40
[run]
executor = "serial"
"""
LOSS = "def loss(x, y):\n    return x * x + y if y < 0.9 else float('nan')\n"


@pytest.fixture
def folder(bare: Path, store: Path) -> Path:
    """A working directory with a sweep file and a store in it."""
    shutil.copy(store, bare)
    return bare


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a sweep file in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delitem(sys.modules, "tracked_loss", raising=False)
    (tmp_path / "tracked.toml").write_text(SWEEP)
    (tmp_path / "tracked_loss.py").write_text(LOSS)
    return tmp_path


def incomplete(lines: Lines) -> list[str]:
    """The notices that MLflow has not all of the sweep."""
    return [notice.text for notice in lines.notices if notice.code == "mlflow-incomplete"]


def run(*overrides: str, watch: Observer | None = None, apart: bool = False) -> Any:
    return run_sweep(read(Path("tracked.toml"), overrides), Options(apart=apart), watch or Lines())


def test_a_sweep_is_one_run_with_all_that_matters(bare: Path) -> None:
    """Params of the frozen sweep, curves at step = index, end figures, files, tags."""
    outcome = run()
    found, metrics, artifacts = stored(bare)
    assert outcome.mlflow["run_id"] == found.info.run_id
    assert outcome.mlflow["tracking_uri"] == f"sqlite:///{bare / 'mlflow.db'}"
    assert not list(bare.glob("mlflow-*"))
    assert found.info.status == "FINISHED"
    assert found.info.run_name == f"tracked-{outcome.identity}"
    assert artifacts == ["best.npz", "losses.parquet", "losses.png", "sweep.toml"]
    assert found.data.params["objective.loss"] == "tracked_loss:loss"
    assert found.data.params["seed"] == "3"
    assert found.data.params["space.x"] == "{'normal': [0.0, 1.0]}"
    assert not [key for key in found.data.params if "candidates" in key]
    tags = found.data.tags
    assert tags["optitrip.candidates"] == "40"
    assert tags["optitrip.identity"] == outcome.identity
    assert tags["optitrip.state"] == "finished"
    assert f"at candidate {outcome.answer.index:,}" in tags["mlflow.note.content"]
    assert metrics["failed"] == [(0, outcome.failed)]
    assert {f"phase/{name}" for name in outcome.phases} <= set(metrics)
    assert metrics["memory/driver_bytes"] == [(0, outcome.memory["driver_bytes"])]
    assert outcome.failed > 0
    assert not outcome.failures_allowed
    losses = dict(metrics["loss"])
    assert len(losses) == 40 - outcome.failed
    assert min(losses.values()) == outcome.answer.loss
    lows = metrics["loss/best"]
    assert lows[-2:] == [(outcome.answer.index, outcome.answer.loss), (39, outcome.answer.loss)]
    assert all(losses[step] == value for step, value in lows[:-1])


def test_a_process_of_its_own_tells_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MLflow runs makes no difference to what it is told, times and durations apart."""
    told: list[Any] = []
    for apart in (False, True):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{apart}.db")
        shutil.rmtree(folder / ".optitrip", ignore_errors=True)
        outcome = run(apart=apart)
        found, metrics, artifacts = stored(folder, f"{apart}.db")
        assert outcome.mlflow["run_id"] == found.info.run_id
        measured = ("phase/", "memory/", "seconds", "items_per_second")
        tags = {key: tag for key, tag in found.data.tags.items() if key != "optitrip.journal"}
        points = {key: points for key, points in metrics.items() if not key.startswith(measured)}
        told.append((points, found.data.params, tags, artifacts, found.info.status, found.info.run_name))
    assert told[0] == told[1]


def test_a_process_that_is_killed_costs_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 7: nothing waits for it, the answer is there, and the same command delivers later."""

    recorders: list[SubprocessClient] = []

    class Dies(SubprocessClient):
        def __init__(self) -> None:
            super().__init__()
            recorders.append(self)

        def log(self, metrics: Sequence[Any]) -> None:
            self._process.kill()
            super().log(metrics)

    monkeypatch.setattr("optitrip.app.run_sweep.SubprocessClient", Dies)
    lines = Lines()
    outcome = run(watch=lines, apart=True)
    assert outcome.answer is not None
    assert outcome.mlflow is None
    assert [line for line in incomplete(lines) if "its process has ended" in line]
    assert recorders[0]._process.returncode == -signal.SIGKILL
    later = run()
    assert later.evaluated == 0
    assert len(stored(folder)[1]["loss"]) == 40 - outcome.failed


def test_a_mistake_of_mlflow_keeps_its_words(folder: Path) -> None:
    """What raises in the process is told as it would be in this one."""
    (folder / "mlflow.db").write_bytes(b"this is not a database" * 100)
    said: list[list[str]] = []
    for apart in (False, True):
        lines = Lines()
        assert run("method.candidates=41" if apart else "seed=4", watch=lines, apart=apart).answer is not None
        said.append([line.partition(").")[0] for line in incomplete(lines)])
    assert said[0] == said[1] != []


def test_a_store_that_another_sweep_made_first_is_used(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sweeps that begin in an empty directory share one store: who comes second leaves it as it is."""
    run()
    first = (bare / "mlflow.db").read_bytes()
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != "mlflow.db" and exists(path))
    make_store(f"sqlite:///{bare / 'mlflow.db'}")
    assert (bare / "mlflow.db").read_bytes() == first
    assert not list(bare.glob("mlflow-*"))


def test_extending_goes_on_in_the_same_run(folder: Path) -> None:
    """A raised N keeps the run, adds to its curves without repeating them, and leaves its params."""
    first = run()
    once = stored(folder)[1]
    second = run("method.candidates=90")
    found, metrics, _ = stored(folder)
    assert first.mlflow["run_id"] == second.mlflow["run_id"] == found.info.run_id
    assert found.data.tags["optitrip.candidates"] == "90"
    assert metrics["loss"][: len(once["loss"])] == once["loss"]
    steps = [step for step, _ in metrics["loss"]]
    assert steps == sorted(set(steps))
    assert max(steps) > 40


def test_a_finished_sweep_is_told_once(folder: Path) -> None:
    """Asking again shows the result and writes nothing to MLflow."""
    run()
    before = (folder / "mlflow.db").read_bytes()
    again = run()
    assert (folder / "mlflow.db").read_bytes() == before
    assert again.evaluated == 0
    assert again.mlflow is not None


def test_mlflow_down_costs_a_line_and_is_made_up_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 7: a server that is not there changes neither answer nor exit status; the same command delivers later."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed}")
    lines = Lines()
    outcome = run(watch=lines)
    assert outcome.mlflow is None
    assert outcome.answer is not None
    assert len(incomplete(lines)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    later = run()
    assert later.evaluated == 0
    found, metrics, artifacts = stored(folder)
    assert found.info.run_id == later.mlflow["run_id"]
    assert len(metrics["loss"]) == 40 - outcome.failed
    assert len(artifacts) == 4


@pytest.mark.parametrize("answer", [500, 429, None])
def test_a_server_that_does_not_serve_costs_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    """Whether it answers with errors or never: it was asked, the sweep has its answer, and the store is told later."""
    asked: list[str] = []
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if answer is None:
                over.wait()
            else:
                self.send_error(answer)

        do_POST = do_GET  # noqa: N815 - its name is the library's

        def log_message(self, format: str, *args: Any) -> None: ...

    monkeypatch.setitem(QUIET, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        lines = Lines()
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
    assert len(stored(folder)[1]["loss"]) == 40 - outcome.failed


class Server:
    """MLflow's own server of the store in this directory."""

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

    class Kills(Lines):
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
    assert outcome.mlflow is not None, lines.said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'undisturbed.db'}")
    assert run("method.candidates=3000").evaluated == 0
    assert metrics["loss"] == stored(folder, "undisturbed.db")[1]["loss"]
    assert len(metrics["loss"]) == len(dict(metrics["loss"])) > 500
    assert len(artifacts) == 4


def test_a_locked_store_costs_nothing_but_a_line(folder: Path) -> None:
    """Law 7: a store that someone else damaged is the sweep's answer's least concern."""
    (folder / "mlflow.db").write_bytes(b"this is not a database" * 100)
    lines = Lines()
    outcome = run(watch=lines)
    assert outcome.answer is not None
    assert len(incomplete(lines)) == 1


def test_a_run_deleted_by_hand_is_made_anew(folder: Path) -> None:
    """What a user deletes in MLflow's page does not stop the sweep from being tracked when it goes on."""
    from mlflow import MlflowClient

    first = run()
    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").delete_run(first.mlflow["run_id"])
    second = run("method.candidates=60")
    assert second.mlflow["run_id"] != first.mlflow["run_id"]
    assert len(stored(folder)[1]["loss"]) == 60 - second.failed


def test_a_run_deleted_in_the_middle_is_made_anew(folder: Path) -> None:
    """The sweep has its answer and says what could not be told; the next command makes a run anew and tells it all."""
    from mlflow import MlflowClient

    (folder / "tracked_loss.py").write_text(f"import time\n{LOSS}".replace("return", "time.sleep(0.01)\n    return"))
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    deleted: list[str] = []

    class Deletes(Lines):
        def parts(self, written: Sequence[Any], *, new: bool) -> None:
            experiment = client.get_experiment_by_name("optitrip")
            runs = client.search_runs([experiment.experiment_id]) if experiment and not deleted else []
            for run in runs:
                client.delete_run(run.info.run_id)
                deleted.append(run.info.run_id)

    lines = Deletes()
    first = run("method.candidates=400", watch=lines)
    assert len(deleted) == 1
    assert first.answer is not None
    assert len(incomplete(lines)) == 1
    again = run("method.candidates=400")
    assert again.mlflow["run_id"] not in deleted
    assert len(stored(folder)[1]["loss"]) == 400 - again.failed


def test_no_tracking_where_none_is_wanted(bare: Path) -> None:
    """`[tracking] use = "none"` leaves no store behind."""
    assert run("tracking.use=none").mlflow is None
    assert not (bare / "mlflow.db").exists()


def test_the_result_files_hold_the_answer(folder: Path) -> None:
    """best.npz, losses.parquet and result.json say what the outcome says."""
    import numpy as np
    import pyarrow.parquet as pq

    outcome = run()
    state = Path(outcome.state_dir)
    with np.load(state / "best.npz", allow_pickle=False) as best:
        x, y = float(best["x"]), float(best["y"])
    assert x * x + y == outcome.answer.loss
    table = pq.read_table(state / "losses.parquet")
    losses = table["loss"].to_numpy()
    assert table["index"].to_pylist() == list(range(40))
    assert int(np.nanargmin(losses)) == outcome.answer.index
    assert int(np.isnan(losses).sum()) == outcome.failed
    assert json.loads((state / "result.json").read_text()) == outcome.to_json()
    assert (state / "losses.png").read_bytes().startswith(b"\x89PNG")


@given(cuts=st.sets(st.integers(1, 149), max_size=10), seed=st.integers(0, 2**32))
def test_curves_do_not_depend_on_slices_or_order(cuts: set[int], seed: int) -> None:
    """Whatever the order of arrival, the points are those of the whole, in order of index."""
    one = search(150, keep_all=10**6)
    edges = [0, *sorted(cuts), 150]
    parts = [one.evaluate(LOSSES["troubled"], range(lo, hi)) for lo, hi in itertools.pairwise(edges)]
    whole = SearchCurve(150).points(merged(parts, one.merge), Times([0], [1]))
    random.Random(seed).shuffle(parts)
    curve, order, points = SearchCurve(150), InOrder(), list[MetricPoint]()
    for part in parts:
        for ready, times in order.push([(part, Times([part.items.start], [1]))]):
            points += curve.points(ready, times)
    assert sorted(points) == sorted(whole)
    assert len(set(points)) == len(points)


def test_curves_stay_short_however_many_candidates() -> None:
    """At most about a thousand losses: the stride is a power of two, so a longer sweep keeps the points it has."""
    for items in (10, 1_000, 1_024, 10_000, 300_000, 10**9):
        stride = SearchCurve(items)._stride
        assert stride & (stride - 1) == 0
        assert items / stride <= 1_100
    assert SearchCurve(1_000)._stride == 1


def test_metrics_are_dated_by_the_journal(folder: Path) -> None:
    """A point sent twice is one point: its time is that of the journal row, not of the sending."""
    outcome = run()
    state = Path(outcome.state_dir)
    with sqlite3.connect(state / "journal.sqlite") as journal:
        times = {row[0] for row in journal.execute("SELECT written FROM part")}
        journal.execute("UPDATE meta SET value = 'null' WHERE key = 'delivered'")
    run()
    with sqlite3.connect(folder / "mlflow.db") as store:
        rows = store.execute("SELECT step, timestamp FROM metrics WHERE key = 'loss'").fetchall()
    assert {time for _, time in rows} <= times
    assert len({step for step, _ in rows}) == len(rows)


def test_secrets_of_the_environment_are_not_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of the environment reaches the store."""
    monkeypatch.setenv("OPTITRIP_TEST_SECRET", "sentinel-6f1b")
    run()
    assert b"sentinel-6f1b" not in (folder / "mlflow.db").read_bytes()
    assert os.environ["OPTITRIP_TEST_SECRET"]


def test_the_sweep_can_be_had_from_the_artifacts(folder: Path) -> None:
    """The kept file with the overrides that the run's description names is the same sweep."""
    outcome = run("space.x.normal=[0, 2]")
    kept = Path(outcome.state_dir) / "sweep.toml"
    assert kept.read_text().endswith("\n# --set space.x.normal=[0, 2]\n")
    again: Sweep = read(kept, ["space.x.normal=[0, 2]", "name=tracked"])
    assert again.label == f"tracked-{outcome.identity}"
    found, _, _ = stored(folder)
    assert "optitrip sweep sweep.toml --set 'space.x.normal=[0, 2]'" in found.data.tags["mlflow.note.content"]


def test_files_belong_to_the_answer_after_a_crash_between(folder: Path) -> None:
    """Raise N, die before the result is written, lower N again: winner and losses are those of the smaller sweep."""
    import numpy as np
    import pyarrow.parquet as pq

    first = run()
    state = Path(first.state_dir)
    small = (state / "best.npz").read_bytes()
    run("method.candidates=4_000")
    (state / "result.json").unlink()
    again = run()
    assert again.evaluated == 0
    assert (state / "best.npz").read_bytes() == small
    assert pq.read_table(state / "losses.parquet").num_rows == 40
    with np.load(state / "best.npz", allow_pickle=False) as best:
        assert float(best["x"]) ** 2 + float(best["y"]) == again.answer.loss


def test_a_relative_store_is_the_one_of_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual form of the variable works, and the run's page finds its artifacts."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    lines = Lines()
    outcome = run("tracking.experiment=/Shared/x", watch=lines)
    assert outcome.mlflow["tracking_uri"] == f"sqlite:///{folder / 'mlflow.db'}"
    assert not [line for line in lines.said if "MLflow" in line]
    assert len(list(folder.glob("mlartifacts/_Shared_x/*/artifacts/*"))) == 4


def test_another_store_is_told_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered to one place was not delivered to another."""
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
    assert len(artifacts) == 4
    assert outcome.to_json()["report"] == {"ratio": None, "top-5 (%)": 12.5}
    json.dumps(outcome.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", ["file", "allow_pickle", "args"])
def test_a_variable_may_have_any_name(folder: Path, name: str) -> None:
    """Not even NumPy's own parameter names are taken."""
    import numpy as np

    (folder / "tracked_loss.py").write_text(f"def loss({name}): return {name} ** 2\n")
    (folder / "tracked.toml").write_text(SWEEP.replace("x =", f"{name} =").replace("y = { uniform = [-1, 1] }", ""))
    outcome = run("tracking.use=none")
    with np.load(Path(outcome.state_dir) / "best.npz", allow_pickle=False) as best:
        assert float(best[name]) ** 2 == outcome.answer.loss


def test_huge_losses_cost_no_more_than_the_picture(folder: Path) -> None:
    """Losses near the end of float64 have an answer, whatever matplotlib thinks of them."""
    (folder / "tracked_loss.py").write_text("def loss(x, y): return 1.7e308 if x > 0 else -1.7e308\n")
    outcome = run("tracking.use=none")
    assert outcome.answer.loss == -1.7e308
    assert outcome.failures_allowed


def test_a_date_may_be_an_argument(folder: Path) -> None:
    """TOML's own dates are kept in the identity as such."""
    (folder / "tracked_loss.py").write_text("def loss(x, y, since): return x * x + since.year\n")
    with (folder / "tracked.toml").open("a") as file:
        file.write("[objective.arguments]\nsince = 2026-01-02\n")
    assert run("tracking.use=none").answer.loss > 2026
    assert run("tracking.use=none").evaluated == 0


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


def test_a_gradient_is_one_run_too(folder: Path) -> None:
    """Norm and largest magnitude as figures, never a key a coordinate; the table in the description; the files."""
    import numpy as np

    (folder / "tracked.toml").write_text(GRADIENT)
    outcome = run()
    found, metrics, artifacts = stored(folder)
    assert found.info.status == "FINISHED"
    assert artifacts == ["gradient.npz", "gradient.png", "point.npz", "sweep.toml"]
    figures = {key: points[-1][1] for key, points in metrics.items() if not key.startswith("phase/")}
    assert figures["gradient/norm"] == outcome.answer.norm
    assert figures["gradient/max_abs"] == outcome.answer.max_abs
    assert figures["gradient/from_analytic"] < 1e-9
    assert figures["loss"] == pytest.approx(np.log(10))
    assert figures["report/train_accuracy"] > 0
    assert len(metrics) < 25
    assert found.data.params["method.use"] == "gradient"
    assert found.data.params["method.at"] == outcome.answer.method.center.digest
    assert found.data.tags["optitrip.coordinates"] == "650"
    note = found.data.tags["mlflow.note.content"]
    assert "|  | W | W + h | loss(W + h) | loss(W - h) | dW |" in note
    first = outcome.answer.table()[1][0]
    assert f"| {' | '.join(first)} |" in note
    assert run("method.coordinates=3").mlflow["run_id"] == outcome.mlflow["run_id"]
    assert stored(folder)[0].data.tags["optitrip.coordinates"] == "3"


def test_numbers_beside_the_loss_reach_mlflow(folder: Path) -> None:
    """The best candidate's, under their names; the curve of a maximised loss rises."""
    (folder / "tracked_loss.py").write_text("def loss(x, y): return {'loss': x * x + y, 'accuracy': x}\n")
    outcome = run("objective.maximize=true")
    found, metrics, _ = stored(folder)
    assert metrics["named/accuracy"] == [(0, outcome.answer.x["x"])]
    best = [value for _, value in metrics["loss/best"]]
    assert best == sorted(best)
    assert best[-1] == outcome.answer.loss == max(value for _, value in metrics["loss"])
    assert found.data.params["objective.maximize"] == "True"
