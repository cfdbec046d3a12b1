"""Machines that are not Linux, as far as they can be imitated here: see `system_stand_ins.py`."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from multiprocessing import get_context
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from rich.console import Console
from rich.progress import BarColumn, Progress

import system_stand_ins
from command import ROOT, optitrip, surroundings
from optitrip.api.functions import search
from optitrip.cli.main import app
from optitrip.errors import StateError
from optitrip.runtime import posix
from optitrip.runtime.children import Children, Closed, Ended
from optitrip.runtime.files import is_locked, lock_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stand-ins take away what Linux has")
STAND_IN = [sys.executable, "-X", "warn_default_encoding", str(system_stand_ins.__file__)]
SWEEP = """
[objective]
loss = "small_loss:loss"
[space]
x = { normal = [0, 1] }
letter = { choice = ["é", "→"] }
[method]
use = "search"
candidates = 300
[run]
executor = "serial"
[tracking]
use = "none"
"""
LOSS = """
def loss(x, letter):
    if x > 2:
        raise ValueError("too far → é")
    return x * x
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(SWEEP, "utf-8")
    (tmp_path / "small_loss.py").write_text(LOSS, "utf-8")
    return tmp_path


def elsewhere(
    folder: Path, *commands: tuple[str, ...], encoding: str = "utf-8", system: str = "windows"
) -> CompletedProcess[str]:
    """Run commands one after the other on a stand-in, with streams of an encoding."""
    return subprocess.run(
        [*STAND_IN, json.dumps(commands)],
        cwd=folder,
        capture_output=True,
        encoding=encoding,
        env=surroundings({"STAND_IN": system, "PYTHONIOENCODING": encoding, "TMPDIR": str(folder)}),
        check=False,
    )


def statuses(done: CompletedProcess[str]) -> list[str]:
    """Return the commands with their exit statuses; no traceback but those of losses may be among what they say."""
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"^Traceback.*\n  File (.*)", done.stdout + done.stderr, re.MULTILINE):
        assert "small_loss.py" in line or "program" in line, done.stderr
    return re.findall(r"^\[(.*)\]$", done.stderr, re.MULTILINE)


LOCAL = (
    *(("sweep", "small.toml"), ("runs",), ("show", "small"), ("show", "small", "--failures")),
    *(("check", "small.toml"), ("table", "small"), ("replay", "small", "3"), ("sweep", "small.toml", "--json")),
)
"""The serial executor and the local tools; eight failures are more than are allowed."""


SYSTEMS = pytest.mark.parametrize("system", ["windows", "macos"])


@pytest.mark.thorough
@SYSTEMS
def test_the_local_tools_work(folder: Path, system: str) -> None:
    """The answer is that of Linux, to the bit, in a console of Western Europe; a sweep made there can be read here."""
    done = elsewhere(folder, *LOCAL, encoding="cp1252", system=system)
    assert statuses(done) == ["sweep 3", "runs 0", "show 0", "show 0", "check 0", "table 0", "replay 0", "sweep 3"]
    there = json.loads(done.stdout.splitlines()[-1])
    assert (there["memory"]["driver_bytes"] is None) == (system == "windows")
    assert ("\nmemory" not in done.stdout) == (system == "windows")
    here = json.loads(optitrip(folder, "sweep", "small.toml", "--json", "--state-dir", "here").stdout)
    assert there["best"]["loss"] == here["best"]["loss"]
    assert optitrip(folder, "show", "small").returncode == 0
    # What the code page has is shown, and what it lacks is escaped, never replaced.
    assert "'é'" in done.stdout
    assert r"'\u2192'" in done.stdout
    assert r"too far \u2192 é" in done.stdout + done.stderr
    assert "?" not in done.stdout + done.stderr


@pytest.mark.daily
@pytest.mark.thorough
def test_files_are_replaced_and_set_aside(folder: Path) -> None:
    """None is open meanwhile: shards, a fresh start, a copy that is restored, damage to a journal and to results."""
    first = ("sweep", "small.toml", "--set", "seed=1", "--shard")
    done = elsewhere(
        folder,
        *((*first, "1/2"), (*first, "2/2"), ("merge", ".optitrip/shard-1-of-2", ".optitrip/shard-2-of-2")),
        *(("sweep", "small.toml"), ("sweep", "small.toml", "--fresh")),
        ("sweep", "small.toml", "--set", "method.candidates=400", "--mirror", "m", "--restore", "m"),
        ("table", "small", "-o", "small.csv"),
    )
    assert statuses(done) == ["sweep 0", "sweep 0", "merge 3", "sweep 3", "sweep 3", "sweep 3", "table 0"]
    (aside,) = (folder / ".optitrip").glob("small-*.old-1")
    state = aside.with_suffix("")
    shutil.rmtree(state)
    words = ("sweep", "small.toml", "--set", "method.candidates=500")
    done = elsewhere(folder, (*words, "--mirror", "m", "--restore", "m"))
    assert statuses(done) == ["sweep 3"]
    assert "resuming: 400 of 500 items" in done.stderr
    (state / "best.csv").write_text("edited")
    done = elsewhere(folder, words)
    assert statuses(done) == ["sweep 3"]
    assert "files set aside as .old-N: best.csv" in done.stderr
    journal = state / "journal.sqlite"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:4096] + bytes(4096) + whole[8192:])
    done = elsewhere(folder, (*words, "--accept-changes"))
    assert statuses(done) == ["sweep 3"]
    assert "the damaged file is stored as" in done.stderr
    journal.unlink()
    done = elsewhere(folder, words)
    assert statuses(done) == ["sweep 3"]
    assert "set aside" in done.stderr


@pytest.mark.daily
@pytest.mark.thorough
def test_runs_are_tracked(folder: Path) -> None:
    """MLflow's store is made by a process of its own, in which nothing POSIX-only is used by us either."""
    done = elsewhere(folder, ("sweep", "small.toml", "--set", "tracking.use=mlflow"), ("runs",), ("sync", "small"))
    assert statuses(done) == ["sweep 3", "runs 0", "sync 0"]
    assert "MLflow      experiment optitrip" in done.stdout + done.stderr
    assert sorted(path.name for path in folder.glob("ml*")) == ["mlartifacts", "mlflow.db"]


@pytest.mark.daily
@SYSTEMS
def test_a_program_is_a_loss(folder: Path, system: str) -> None:
    """Its answer is that of Linux."""
    shutil.copytree(ROOT / "sweeps", folder / "sweeps")
    words = ("sweep", "sweeps/program.toml", "--json", "--set", "method.candidates=20", "--set", "tracking.use=none")
    done = elsewhere(folder, words, system=system)
    assert statuses(done) == ["sweep 0"]
    found, here = (json.loads(text) for text in (done.stdout, optitrip(folder, *words, "--state-dir", "here").stdout))
    assert (found["best"]["loss"], found["failures"]) == (here["best"]["loss"], here["failures"])


@pytest.fixture
def python(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processes that this one starts by `sys.executable` be on a stand-in. That for Windows has no groups of
    processes and reads its input by a thread; that for macOS cannot wait for the end of a process."""
    monkeypatch.setenv("STAND_IN", system)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", system_stand_ins.launcher())


def run(children: Children, folder: Path, script: str, seconds: float | None = None) -> Ended:
    return children.run(["sh", "-c", script], folder, {}, (folder / "out", folder / "err"), seconds)


@SYSTEMS
@pytest.mark.usefixtures("python")
def test_a_program_is_watched(tmp_path: Path) -> None:
    """It ends at its time limit, or when another thread wants it to; and others run after it."""
    children, own = Children(), tmp_path / "own"
    own.mkdir()
    assert run(children, tmp_path, "echo $$; exit 7") == Ended(status=7)
    assert run(children, tmp_path, "exec sleep 100", 0.2) == Ended(timed_out=True)
    assert "FileNotFoundError" in children.run(["/none"], tmp_path, {}, (tmp_path / "out", tmp_path / "err")).error
    threading.Timer(0.3, children.close).start()
    with pytest.raises(Closed):
        run(children, own, "echo $$ > ../process; exec sleep 100")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)


@SYSTEMS
@pytest.mark.usefixtures("python")
def test_whoever_watches_a_program_sees_the_end_of_its_own(tmp_path: Path) -> None:
    """The program ends with the process that wanted it, and its folder is removed."""
    folder = tmp_path / "own"
    folder.mkdir()
    wanted = {"command": ["sh", "-c", "echo $$; exec sleep 100"], "folder": str(folder), "environment": {}}
    line = json.dumps({**wanted, "stdout": str(tmp_path / "out"), "stderr": os.devnull, "seconds": None})
    nanny = ROOT / "optitrip" / "runtime" / "nanny.py"
    watcher = subprocess.Popen([sys.executable, "-S", "-E", nanny], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert watcher.stdin is not None
    assert watcher.stdout is not None
    watcher.stdin.write(line.encode() + b"\n")
    watcher.stdin.flush()
    process = json.loads(watcher.stdout.readline())["process"]
    watcher.stdin.close()
    assert watcher.wait(10) == 0
    watcher.stdout.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_without_groups_a_process_is_ended_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its number, and nobody is asked whether another one lives, which would press Ctrl-C there."""
    monkeypatch.setattr(posix, "GROUPS", False)
    monkeypatch.setattr(signal, "SIGKILL", None)
    with subprocess.Popen(["sleep", "100"]) as process:
        posix.end_group(process.pid)
        assert process.wait(10) == -signal.SIGTERM
    posix.end_group(process.pid)
    assert posix.is_alive(process.pid)


def test_a_lock_is_seen_without_sharing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files have no shared locks, whoever looks takes the lock for a moment."""
    monkeypatch.setattr(posix, "LOCKS", False)
    assert not is_locked(tmp_path)
    held = lock_folder(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(StateError):
        lock_folder(tmp_path)
    held.release()
    assert not is_locked(tmp_path)


def test_every_help_is_ascii(tmp_path: Path) -> None:
    """A console of any code page shows it."""
    names = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    assert len(names) > 10
    for words in ([], *([name.replace("_", "-")] for name in names)):
        done = optitrip(tmp_path, *words, "--help")
        assert done.returncode == 0, words
        assert done.stdout.isascii(), words


def test_the_bar_is_ascii_where_it_must_be() -> None:
    """The line beside it has no other characters either: see the laws on messages."""
    shown = io.TextIOWrapper(io.BytesIO(), "cp1252")
    console = Console(file=shown, force_terminal=True, width=60)
    with Progress(BarColumn(), console=console) as bar:
        bar.add_task("", total=10, completed=4)
    shown.seek(0)
    assert re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown.read()).isascii()


def spawned(queue: object) -> None:
    queue.put(search(lambda x: x * x, {"x": {"normal": [0, 1]}}, candidates=50).loss)  # type: ignore[attr-defined]


@pytest.mark.daily
def test_calls_in_a_spawned_process() -> None:
    """Python starts processes anew on macOS and Windows; a search there is the same."""
    context = get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=spawned, args=[queue])
    process.start()
    found = queue.get()
    process.join()
    assert found == search(lambda x: x * x, {"x": {"normal": [0, 1]}}, candidates=50).loss
