"""The outbox: what MLflow has missed is delivered later, and a run is then as if nothing had happened."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command import optitrip
from driver_setup import Recording
from optitrip.app import results
from optitrip.app.sync import sync
from optitrip.errors import StateError, Stopped
from optitrip.journal.facts import OpenRun, Outbox
from optitrip.journal.journal import Journal
from optitrip.runtime.files import lock_folder
from optitrip.store.state_dir import peek_fact
from optitrip.tracking import observer
from optitrip.tracking.description import Describer
from optitrip.tracking.location import tracking_uri
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.observer import MlflowObserver, seconds_until_next
from optitrip.tracking.run import NOTE
from optitrip.tracking.settle import settle
from tracked import SWEEP, incomplete, run

ROOT = Path(".optitrip")
DOWN = "http://127.0.0.1:9"
"""A port that nobody listens at."""


class Gone(BaseException):
    """Stands for SIGKILL: whatever would tidy up is gone too."""


def rows(store: str = "mlflow.db") -> dict[str, list[Any]]:
    """Return all that a store holds of its active runs, without the random names of runs and journals."""
    tables = {
        "metrics": "SELECT key, value, step, timestamp FROM metrics JOIN runs USING (run_uuid) WHERE lifecycle_stage = "
        "'active' ORDER BY key, step, timestamp",
        "params": "SELECT key, params.value FROM params ORDER BY key",
        "tags": "SELECT key, value FROM tags WHERE key != 'optitrip.journal' ORDER BY key",
        "runs": "SELECT name, status, start_time, end_time FROM runs WHERE lifecycle_stage = 'active'",
    }
    with closing(sqlite3.connect(store)) as database:
        return {name: database.execute(query).fetchall() for name, query in tables.items()}


def artifacts(store: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(store).glob("*/*/artifacts/*") if path.is_file()}


def images(store: str) -> list[str]:
    """The names of the pictures among the charts; each ends with a random part."""
    return sorted(path.name for path in Path(store).glob("*/*/artifacts/images/*"))


class Unused:
    """A client that must not be used: there is nothing to put right."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.mark.mostly_daily
@pytest.mark.parametrize("sweep", ["search", "stopped", "gradient"])
def test_what_was_missed_is_delivered_by_sync(folder: Path, monkeypatch: pytest.MonkeyPatch, sweep: str) -> None:
    """MLflow is down for the whole sweep: `optitrip sync` makes the run that another store got at once, with its times,
    and evaluates nothing."""
    text = SWEEP + "[stop]\nmax_seconds = 1e-9\n" if sweep == "stopped" else SWEEP
    if sweep == "gradient":
        text = text.replace('"search"\ncandidates = 40', '"gradient"\nat = { fill = 0.5 }')
    (folder / "tracked.toml").write_text(text)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    watch = Recording()
    with suppress(Stopped):
        run(watch=watch)
    (label,) = [path.name for path in ROOT.iterdir()]
    assert f"`optitrip sync {label}` records it later" in incomplete(watch)[0]
    (folder / "tracked_loss.py").unlink()
    for store in ("one.db", "other.db"):
        shutil.copy("mlflow.db", store)
        done = optitrip(folder, "sync", label, MLFLOW_TRACKING_URI=f"sqlite:///{store}")
        assert done.returncode == 0, done.stderr
        assert f"{store}: experiment optitrip, run " in done.stdout
    assert rows("one.db") == rows("other.db")
    ((name, status, start, end),) = rows("one.db")["runs"]
    assert (name, status) == ("tracked", "KILLED" if sweep == "stopped" else "FINISHED")
    assert 0 < end - start < 600_000
    assert optitrip(folder, "sync", label, MLFLOW_TRACKING_URI=DOWN).returncode == 75


@pytest.mark.daily
def test_a_run_that_is_sent_again_is_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to a store that has it; and the command itself delivers to another store, which it makes."""
    run()
    label = next(ROOT.iterdir()).name
    before, files, pictures = rows(), artifacts("mlartifacts"), images("mlartifacts")
    assert pictures
    assert {"best.npz", "sweep.toml", "losses.png"} <= files.keys()
    assert optitrip(folder, "sync", label).returncode == 0
    assert (rows(), images("mlartifacts")) == (before, pictures)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///there/other.db")
    assert run().evaluated == 0
    assert rows("there/other.db") == before
    assert artifacts("there/mlartifacts") == files


@pytest.mark.daily
def test_a_description_is_kept_up_to_date(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the sweep runs it tells how far it is, seldom enough; one that cannot be told costs nothing."""
    for name, value in {"PAUSE_SECONDS": 0.01, "DESCRIBE_SECONDS": -1.0, "DESCRIBE_SHARE": 0.0}.items():
        monkeypatch.setattr(observer, name, value)
    log, told, notes = InProcessClient.log, threading.Event(), list[str]()

    def logged(client: InProcessClient, metrics: Any, tags: Any) -> None:
        log(client, metrics, tags)
        if tags:
            notes.append(tags[NOTE])
            told.set()

    class Waits(Recording):
        def parts(self, written: Any, *, new: bool) -> None:
            if written[-1][0].items.stop == 40:
                assert told.wait(60)

    monkeypatch.setattr(InProcessClient, "log", logged)
    outcome = run(watch=Waits())
    assert re.match(r"\*\*running:\*\* \d+ of 40 candidates, .* failed; \*\*min loss .*\*\* so far", notes[0])
    assert re.search(r"\*\*\d+ were left\*\* on 2.*UTC  \n\*\*resume:\*\* `optitrip sweep tracked.toml`", notes[0])
    watch = Recording()
    monkeypatch.setattr(Describer, "so_far", lambda *_: (_ for _ in ()).throw(Gone))
    assert run("method.candidates=60", watch=watch).answer.loss <= outcome.answer.loss
    assert incomplete(watch) == []


def test_descriptions_are_seldom() -> None:
    """Some 150 in a week, and the first after half a minute."""
    times = [0.0]
    while times[-1] < 7 * 86_400:
        times.append(times[-1] + seconds_until_next(times[-1]))
    assert times[1] == 30
    assert len(times) < 200


def test_a_store_that_comes_up_late_has_the_whole_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginning is tried again while the sweep runs, and the run is there before the sweep ends."""
    monkeypatch.setattr(observer, "PAUSE_SECONDS", 0.01)
    begin, log, calls, there = InProcessClient.begin, InProcessClient.log, list[str](), threading.Event()

    def late(client: InProcessClient, described: Any) -> str:
        calls.append("begin")
        if len(calls) < 3:
            raise ConnectionError("not up yet")
        return begin(client, described)

    def logged(client: InProcessClient, metrics: Any, tags: Any) -> None:
        log(client, metrics, tags)
        there.set()

    class Waits(Recording):
        def parts(self, written: Any, *, new: bool) -> None:
            if written[-1][0].items.stop == 40:
                assert there.wait(60)

    watch = Waits()
    with monkeypatch.context() as patch:
        patch.setattr(InProcessClient, "begin", late)
        patch.setattr(InProcessClient, "log", logged)
        run(watch=watch)
    assert calls == ["begin"] * 3
    assert incomplete(watch) == []
    first = rows()
    shutil.copy("mlflow.db", "undisturbed.db")
    with closing(sqlite3.connect("undisturbed.db")) as store, store:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            store.execute(f"DELETE FROM {table}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///undisturbed.db")
    run()
    assert rows("undisturbed.db") == first


@pytest.mark.parametrize("place", ["evaluating", "delivering"])
def test_the_run_of_a_killed_command_is_put_right(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """By whatever comes next: it is marked as killed, or completed if the command had its answer."""
    victim = (results, "conclude") if place == "evaluating" else (MlflowObserver, "finish")
    begun = threading.Event()
    begin = InProcessClient.begin

    def seen(client: InProcessClient, described: Any) -> str:
        run_id = begin(client, described)
        begun.set()
        return run_id

    def kill(*_: Any) -> None:
        assert begun.wait(60)
        raise Gone

    with monkeypatch.context() as patch:
        patch.setattr(InProcessClient, "begin", seen)
        patch.setattr(*victim, kill)
        patch.setattr("optitrip.tracking.runs.failure", lambda error: (_ for _ in ()).throw(error))
        with pytest.raises(Gone):
            run()
    ((_, status, start, end),) = rows()["runs"]
    assert (status, end) == ("RUNNING", None)
    (state,) = ROOT.iterdir()
    lock = lock_folder(state)  # as if the command were running still
    unused: Any = Unused()
    assert settle(ROOT, tracking_uri(), unused) == []
    lock.release()
    (line,) = settle(ROOT, tracking_uri())
    assert state.name in line
    ((_, status, again, end),) = rows()["runs"]
    assert again == start <= end
    assert status == ("KILLED" if place == "evaluating" else "FINISHED")
    assert ("optitrip.state", "killed" if place == "evaluating" else "finished") in rows()["tags"]
    assert settle(ROOT, tracking_uri(), unused) == []
    if place == "delivering":
        assert len(artifacts("mlartifacts")) >= 4


def test_another_sweep_puts_the_run_of_a_killed_one_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the killed one was set aside by --fresh; a store that is gone, or not ours, is left alone."""
    with monkeypatch.context() as patch:
        patch.setattr(results, "conclude", lambda *_: (_ for _ in ()).throw(Gone))
        with pytest.raises(Gone):
            run()
    (state,) = ROOT.iterdir()
    state.rename(state.with_name(f"{state.name}.old-1"))
    watch = Recording()
    run("seed=4", watch=watch)
    assert [notice.text for notice in watch.notices if notice.code == "mlflow-settled"]
    assert sorted(status for _, status, *_ in rows()["runs"]) in (["FINISHED"], ["FINISHED", "KILLED"])
    assert peek_fact(state, OpenRun) is None
    assert settle(ROOT, "http://elsewhere") == settle(Path("no such folder"), DOWN) == []


@pytest.mark.daily
def test_a_command_is_not_refused_while_its_sweep_is_delivered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its answer meanwhile, and its own MLflow run begins when that has ended, so that there is only one."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    run()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    conclude, delivering, answered = InProcessClient.conclude, threading.Event(), threading.Event()

    def held(client: InProcessClient, ending: Any) -> list[str]:
        if threading.current_thread().name == "sync":
            delivering.set()
            assert answered.wait(60)
        return conclude(client, ending)

    class Answers(Recording):
        def parts(self, written: Any, *, new: bool) -> None:
            if written[-1][0].items.stop == 60:
                answered.set()

    monkeypatch.setattr(InProcessClient, "conclude", held)
    other = threading.Thread(target=sync, args=("tracked", ROOT), name="sync")
    other.start()
    assert delivering.wait(60)
    with pytest.raises(StateError, match="sending this sweep to MLflow"):
        sync("tracked", ROOT)
    unused: Any = Unused()
    assert settle(ROOT, tracking_uri(), unused) == []
    watch = Answers()
    run("method.candidates=60", watch=watch)
    other.join()
    assert incomplete(watch) == []
    ((_, status, *_),) = rows()["runs"]
    assert status == "FINISHED"
    assert [value for key, value, *_ in rows()["metrics"] if key == "candidates"] == [40, 60]
    (state,) = ROOT.iterdir()
    assert peek_fact(state, OpenRun) is None


def test_an_older_end_is_not_taken_for_the_latest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has run since `optitrip sync` began to deliver, and could not deliver itself: that is still to do."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    run()
    conclude = InProcessClient.conclude

    def later(client: InProcessClient, ending: Any) -> list[str]:
        (state,) = ROOT.iterdir()
        record = peek_fact(state, Outbox)
        assert record is not None
        with closing(Journal(state / "journal.sqlite", state.name.rpartition("-")[2])) as journal:
            journal.note(replace(record, items=60))
        return conclude(client, ending)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(InProcessClient, "conclude", later)
    sync("tracked", ROOT)
    assert peek_fact(next(ROOT.iterdir()), OpenRun) is not None


@pytest.mark.daily
def test_a_run_without_a_journal_is_put_right_by_its_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in a local store whose process has died is marked as killed; those of living ones and of other machines are
    not, and a damaged store is no reason to fail."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    monkeypatch.setattr(InProcessClient, "conclude", lambda *_: [])
    here = socket.gethostname()
    for seed, process in enumerate([f"{here} {ended.pid}", f"{here} {os.getpid()}", f"{here}2 {ended.pid}", "x"]):
        with monkeypatch.context() as patch:
            patch.setattr("optitrip.tracking.runs.this_process", lambda process=process: process)
            patch.setattr(results, "settle", lambda *_: [])
            run(f"seed={seed}")
    shutil.rmtree(ROOT)
    assert [status for _, status, *_ in rows()["runs"]] == ["RUNNING"] * 4
    (line,) = settle(ROOT, tracking_uri())
    assert "was killed" in line
    assert sorted(status for _, status, *_ in rows()["runs"]) == ["KILLED", *["RUNNING"] * 3]
    unused: Any = Unused()
    assert settle(ROOT, tracking_uri(), unused) == []
    (folder / "mlflow.db").write_bytes(b"damaged" * 1000)
    assert settle(ROOT, tracking_uri(), unused) == []


def test_whatever_mlflow_raises_costs_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """User code may have broken anything that MLflow needs; not every exception is an `Exception`."""
    for method in ("begin", "conclude"):
        watch = Recording()
        with monkeypatch.context() as patch:
            patch.setattr(InProcessClient, method, lambda *_: (_ for _ in ()).throw(Gone("broken")))
            outcome = run(f"seed={len(method)}", watch=watch)
        assert outcome.answer is not None
        assert "broken" in incomplete(watch)[0]
