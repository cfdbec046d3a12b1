"""A method that lives here goes wherever a method goes, with no edit elsewhere.

Whoever asks "search or gradient?" somewhere in optitrip sees it here.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import sys
import tomllib
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

import optitrip
from command import optitrip as command
from command import surroundings
from examples import HERE
from optitrip.methods.registry import METHODS
from optitrip.store.lookup import read

N, BELOW = 100, 0.5
MANY = 2_000
"""More draws than are handed out at once, so that a stop leaves some."""
LOSSES = """
import os, signal
from pathlib import Path

calls, failed = 0, set()

def square(x): return x * x
def troubled(x):
    if x > 1:
        raise ValueError(f"no loss at {x}")
    return x * x
def flaky(x):
    if x > 0 and x not in failed:
        failed.add(x)
        raise OSError("not now")
    return x * x
def none(x): raise KeyError("weights")
def ended(x):
    "Somebody stops the first process at its 60th call; the second one dies at its 5th."
    global calls
    calls += 1
    for call, sent, marker in ((60, signal.SIGTERM, "stopped"), (5, signal.SIGKILL, "killed")):
        if calls == call and (marker == "stopped" or Path("stopped").exists()) and not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), sent)
    return x * x
"""
SWEEP = f"""
seed = 3
[objective]
loss = "toy_losses:LOSS"
[space]
x = {{ normal = [0, 1] }}
[method]
use = "count"
draws = {N}
below = {BELOW}
[run]
executor = "serial"
[tracking]
use = "none"
"""
PROCESS = f"""
import sys
sys.path.insert(0, {HERE!r})
from optitrip.methods.registry import METHODS
METHODS["count"] = "toy_method.spec:SPEC"
from optitrip.cli.main import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with losses, in a process in which the method is registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(METHODS, "count", "toy_method.spec:SPEC")
    monkeypatch.delitem(sys.modules, "toy_losses", raising=False)
    (tmp_path / "toy_losses.py").write_text(LOSSES)
    return tmp_path


def write(folder: Path, loss: str, more: str = "") -> str:
    (folder / f"{loss}.toml").write_text(SWEEP.replace("LOSS", loss) + more)
    return f"{loss}.toml"


def swept(folder: Path, file: str, *words: str) -> dict[str, Any]:
    """The JSON of the command, which has an answer."""
    done = command(folder, "sweep", file, "--json", *words)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def hits(folder: Path, file: str, among: range = range(N)) -> list[int]:
    """The draws that a plain loop counts."""
    xs = read(folder / file).candidates.values(among)["x"].tolist()
    return [n for n, x in zip(among, xs, strict=True) if x * x < BELOW]


def test_the_command_answers(folder: Path) -> None:
    """`--json` has its fields, and the short table its rows; the rate and the number are told in its unit."""
    file = write(folder, "square")
    found, wanted = swept(folder, file), hits(folder, file)
    assert (found["count"], found["first"], found["complete"]) == (len(wanted), wanted[0], True)
    assert (found["items"], found["evaluated"], found["status"]) == (N, N, "finished")
    assert found["items_per_second"] > 0
    assert json.loads(Path(found["file"]).read_text()) == [len(wanted), wanted[0]]
    again = command(folder, "sweep", file)
    assert again.returncode == 0
    shown = [line.split() for line in again.stdout.splitlines()]
    assert [["draws", "100"], ["count", f"{len(wanted)}"], ["first", f"{wanted[0]}"]] == shown[1:4]
    assert shown[-3] == ["first", "|", "count"]
    assert json.loads((Path(found["state_dir"]) / "result.json").read_text())["evaluated"] == 0


def test_check_show_and_replay(folder: Path) -> None:
    """The plan, what is kept and what failed are told in its words, and a draw that failed fails again."""
    file = write(folder, "troubled")
    plan = command(folder, "check", file)
    assert "count: 100 draws, those with a loss below 0.5" in plan.stdout
    found = swept(folder, file)
    failed = found["failures"]["raised"]
    shown = command(folder, "show", file).stdout.splitlines()
    assert shown[0].startswith(f"troubled-{found['identity']}: 100 draws in ")
    assert shown[1:] == [
        f"  count: 100 of 100 items are stored; failed: {failed} raised",
        f"  finished with 100 draws: {found['count']} below",
        f"  command: optitrip sweep {found['state_dir']}/sweep.toml",
    ]
    table = json.loads(command(folder, "show", file, "--json").stdout)
    (stage,) = table["stages"]
    runs = stage["failures"]["raised"]["indices"]
    assert sum(hi - lo for lo, hi in runs) == failed > 0
    failures = command(folder, "show", file, "--failures").stdout
    assert failures.startswith(f"count, raised: {failed}: {runs[0][0]}")
    replayed = command(folder, "replay", found["identity"], str(runs[0][0]))
    assert replayed.stdout.startswith(f"candidate {runs[0][0]} of troubled-{found['identity']}\n  x = ")
    assert "ValueError: no loss at " in replayed.stderr
    well = command(folder, "replay", file, str(found["first"]))
    assert float(well.stdout.splitlines()[-1]) < BELOW
    beyond = command(folder, "replay", file, str(N))
    assert "wanted one of the 100 items, from 0 to 99" in beyond.stderr


@pytest.mark.daily
def test_stopped_and_killed_it_goes_on(folder: Path) -> None:
    """A stop gives the answer so far; after a stop and a crash only the rest is evaluated, to the same answer."""
    file, many = write(folder, "ended"), ["--set", f"method.draws={MANY}"]
    line = [sys.executable, "-c", PROCESS, "sweep", file, "--json", *many]
    process = partial(run, line, env=surroundings({}), cwd=folder, capture_output=True, text=True, check=False)
    stopped = process()
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    so_far = json.loads(stopped.stdout)
    done = so_far["items"]
    assert (so_far["status"], so_far["complete"]) == ("stopped", False)
    assert so_far["count"] == len(hits(folder, file, range(done)))
    assert f"{done:,} of {MANY:,} draws are stored" in stopped.stderr
    assert process().returncode == -signal.SIGKILL
    kept = json.loads(command(folder, "show", file, "--json", *many).stdout)["stages"][0]["done"]
    assert 60 <= done <= kept < MANY
    found = swept(folder, file, *many)
    assert found["evaluated"] == MANY - kept
    wanted = hits(folder, file, range(MANY))
    assert (found["count"], found["first"]) == (len(wanted), wanted[0])


def test_raising_the_number_evaluates_the_new_ones(folder: Path) -> None:
    """And lowering it again none; each time the answer is that of a sweep of so many."""
    file = write(folder, "square")
    for draws, new in ((40, 40), (N, N - 40), (40, 0)):
        found = swept(folder, file, "--set", f"method.draws={draws}")
        assert (found["count"], found["evaluated"]) == (len(hits(folder, file, range(draws))), new)


def test_shards_merge(folder: Path) -> None:
    """Each evaluates its share; the merge evaluates nothing, and its file is that of the whole."""
    file = write(folder, "troubled")
    whole = Path(swept(folder, file, "--state-dir", "whole")["file"]).read_bytes()
    for number in (2, 1, 3):
        share = swept(folder, file, "--state-dir", "parts", "--shard", f"{number}/3")
        assert (share["status"], share["evaluated"]) == ("shard", share["items"])
        assert 0 < share["items"] < N
    parts = sorted(str(path) for path in (folder / "parts").iterdir())
    done = command(folder, "merge", *parts, "--state-dir", "merged", "--json")
    merged = json.loads(done.stdout)
    assert (merged["status"], merged["evaluated"], merged["items"]) == ("finished", 0, N)
    assert Path(merged["file"]).read_bytes() == whole


def test_retries(folder: Path) -> None:
    """A failed item is retried and counts as if it had never failed; no other is evaluated twice."""
    file = write(folder, "flaky", "[failures]\nretries = 1\n")
    failed = sum(x > 0 for x in read(folder / file).candidates.values(range(N))["x"])
    found, wanted = swept(folder, file), hits(folder, file)
    assert (found["count"], found["first"]) == (len(wanted), wanted[0])
    assert (found["failed"], found["evaluated"]) == (0, N + failed)


@pytest.mark.parametrize(("draws", "said"), [(60, "none of the 60 draws has a loss"), (101, "first 100 items all")])
def test_no_answer(folder: Path, draws: int, said: str) -> None:
    """Says why, with the first failure, and what stands in `--json` in place of an answer."""
    done = command(folder, "sweep", write(folder, "none"), "--json", "--set", f"method.draws={draws}")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["status"], found["count"]) == ("failed", None)
    assert said in done.stderr
    assert "KeyError: 'weights'" in done.stderr


MISTAKES: dict[str, tuple[str, list[str]]] = {
    "it ends at no loss": ("[stop]\ntarget_loss = 0.1\n", ["square.toml:", "stop.target_loss", "this is a count"]),
    "nor where nothing improves": ("[stop]\nno_improvement = 3\n", ["square.toml:", "stop.no_improvement"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_it_cannot_do_is_refused(folder: Path, case: str) -> None:
    """With the place in the file, before anything is evaluated."""
    more, said = MISTAKES[case]
    file = write(folder, "square", more)
    line = (folder / file).read_text().splitlines().index(more.splitlines()[1]) + 1
    done = command(folder, "sweep", file)
    assert done.returncode == 2
    assert f"{file}:{line}: " in done.stderr
    assert all(words in done.stderr for words in said)


def test_its_own_table_is_checked(folder: Path) -> None:
    """Mistakes in it are told like those in any other table, and an unknown method is told with this one's word."""
    file = write(folder, "square")
    done = command(folder, "check", file, "--set", "method.draws=0", "--set", "method.above=1")
    assert done.returncode == 2
    assert "method.draws" in done.stderr
    assert "method.above" in done.stderr
    assert "'count'" in command(folder, "check", file, "--set", "method.use=cuont").stderr


def test_it_has_no_best_to_start_at(folder: Path) -> None:
    """A gradient that is to start at its best is told that it has none, and which methods have one."""
    swept(folder, write(folder, "square"))
    (folder / "slope.toml").write_text(
        '[objective]\nloss = "toy_losses:square"\n[space]\nx = { normal = [0, 1] }\n'
        '[method]\nuse = "gradient"\nat = { best_of = "square.toml" }\n'
    )
    done = command(folder, "check", "slope.toml")
    assert done.returncode == 2
    assert "square.toml is a count and has no best point; wanted a search" in done.stderr


@pytest.mark.daily
def test_mlflow_is_told(folder: Path) -> None:
    """Params, tags, the chart and the end figures, and the file among the artifacts."""
    found = swept(folder, write(folder, "square"), "--set", "tracking.use=mlflow")
    params, tags, metrics = told(folder / "mlflow.db")
    assert found["mlflow"]["experiment"] == "optitrip"
    assert (params["method.use"], params["method.below"], params["seed"]) == ("count", "0.5", "3")
    assert "method.draws" not in params
    assert (tags["optitrip.draws"], tags["optitrip.state"]) == (str(N), "finished")
    assert f"| count | {found['count']} |" in tags["mlflow.note.content"]
    assert metrics["count/below"] == [(0, found["count"])]
    assert metrics["count/first"] == [(found["first"], 1.0)]
    assert metrics["draws"] == [(0, N)]
    assert metrics.keys() == {"count/below", "count/first", "draws", "seconds"}
    assert list(folder.glob("mlartifacts/**/count.json"))


def told(store: Path) -> tuple[Mapping[str, str], Mapping[str, str], dict[str, list[tuple[int, float]]]]:
    """Return params, tags and metrics of the only run in a store."""
    with closing(sqlite3.connect(store)) as database:
        params, tags = (dict(database.execute(f"SELECT key, value FROM {table}")) for table in ("params", "tags"))
        metrics: dict[str, list[tuple[int, float]]] = {}
        for key, step, value in database.execute("SELECT key, step, value FROM metrics ORDER BY step"):
            metrics.setdefault(key, []).append((step, value))
    return params, tags, metrics


def test_the_same_from_python(folder: Path) -> None:
    """`optitrip.sweep` returns its answer, from a file and from its tables."""
    file = write(folder, "square")
    wanted = hits(folder, file)
    for given in (file, tomllib.loads((folder / file).read_text())):
        answer: Any = optitrip.sweep(given)
        assert (answer.result.count, answer.result.first) == (len(wanted), wanted[0])


@pytest.mark.daily
def test_the_same_on_ray(folder: Path, local_ray: None) -> None:
    """Workers import the method from the folder of the sweep file; the answer is the same, to the bit."""
    shutil.copytree(Path(HERE) / "toy_method", folder / "toy_method")
    file = write(folder, "troubled")
    serial = swept(folder, file, "--state-dir", "serial")
    workers = swept(folder, file, "--state-dir", "ray", "--executor", "ray", "--workers", "2")
    assert workers["evaluated"] == N
    assert Path(workers["file"]).read_bytes() == Path(serial["file"]).read_bytes()
    assert workers["failures"] == serial["failures"]
