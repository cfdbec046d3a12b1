"""The command as a person meets it: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from command import OPTITRIP, ROOT, optitrip, optitrip_process, start_optitrip

FILE = """
seed = 1
[objective]
loss = "cli_loss:{name}"
[space]
x = {{ normal = [0, 1] }}
[method]
use = "search"
candidates = {candidates}
[run]
executor = "{executor}"
[tracking]
use = "none"
"""
LOSSES = """
import ctypes, os, pathlib, time

def good(x): return (x - 1) ** 2
def some(x):
    if x > 1: raise ValueError(f"{x} is too much")
    return x * x
def none(x): raise KeyError("weights")
def nans(x): return float("nan")
def slow(x):
    time.sleep(0.005)
    return (x - 1) ** 2
def crashes(x):
    if x > 0.5: ctypes.string_at(0)
    return x * x
def table(x):
    time.sleep(0.005)
    return x * float(pathlib.Path("table.txt").read_text())
def other(y): return y
def loud(x):
    print("from the loss")
    os.system("echo from a child of the loss")
    return x * x
def worded(x): return float(len(x))
class Undigested:
    def __call__(self, x): return x
    def digest(self): raise OSError("no such data")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cli_loss.py").write_text(LOSSES)
    return tmp_path


def sweep_file(folder: Path, name: str, candidates: int = 50, executor: str = "serial") -> Path:
    path = folder / "trial.toml"
    path.write_text(FILE.format(name=name, candidates=candidates, executor=executor))
    return path


def test_a_finished_sweep(folder: Path) -> None:
    """Exit status 0, a short table on stdout, nothing of a traceback."""
    sweep_file(folder, "good")
    done = optitrip_process(folder, "sweep", "trial.toml")
    assert done.returncode == 0, done.stderr
    assert re.search(r"min loss +\d", done.stdout)
    assert "Traceback" not in done.stderr


def test_json_is_one_object_and_all_of_stdout(folder: Path) -> None:
    """`--json` prints one object with all that a program may want to know about a search."""
    sweep_file(folder, "good")
    done = optitrip(folder, "sweep", "trial.toml", "--json", "--quiet")
    answer = json.loads(done.stdout)
    assert {"name", "identity", "status", "items", "failed", "seconds", "phases", "items_per_second", "best"} <= set(
        answer
    )
    assert {"report", "state_dir", "mlflow"} <= set(answer)
    assert answer["status"] == "finished"
    assert answer["items"] == 50
    assert set(answer["best"]) == {"loss", "index", "file"}
    assert (folder / answer["best"]["file"]).exists()
    assert done.stderr == ""


def test_every_second_is_in_a_phase_and_memory_is_reported(folder: Path) -> None:
    """The phases, start-up among them, add up to the seconds; nothing runs elsewhere, so no worker has a peak."""
    sweep_file(folder, "good")
    answer = json.loads(optitrip(folder, "sweep", "trial.toml", "--json").stdout)
    assert {"start", "load", "search", "files"} <= set(answer["phases"])
    assert answer["seconds"] == pytest.approx(sum(answer["phases"].values()), abs=0.001 * len(answer["phases"]))
    assert 10**7 < answer["memory"]["driver_bytes"] < 10**11
    assert answer["memory"]["worker_bytes"] is None


@pytest.mark.ray
@pytest.mark.daily
def test_ray_and_mlflow_are_waited_for(folder: Path, store: Path) -> None:
    """In phases of their own; a sweep that has its result starts neither."""
    path = sweep_file(folder, "good", executor="ray")
    path.write_text(path.read_text().replace('use = "none"', 'experiment = "trials"'))
    shutil.copy(store, folder / "runs.db")
    where = {"MLFLOW_TRACKING_URI": "sqlite:///runs.db"}
    done = optitrip_process(folder, "sweep", "trial.toml", "--json", environment=where)
    answer = json.loads(done.stdout)
    first_words = [line.split()[0] for line in done.stderr.splitlines()]
    # A busy machine is waited for, and after ten seconds the progress is told.
    assert [word for word in first_words if word not in ("still", "waiting", "Attempt", "0")] == [
        "starting",
        "evaluating",
        "writing",
    ]
    assert {"ray", "shutdown", "mlflow"} <= set(answer["phases"])
    assert answer["seconds"] == pytest.approx(sum(answer["phases"].values()), abs=0.001 * len(answer["phases"]))
    assert 10**7 < answer["memory"]["worker_bytes"] < 10**11
    assert answer["mlflow"]["experiment"] == "trials"
    again = optitrip_process(folder, "sweep", "trial.toml", "--json", environment=where)
    assert again.stderr == "already finished; showing the stored result\n"
    assert json.loads(again.stdout)["best"] == answer["best"]


@pytest.mark.ray
@pytest.mark.daily
def test_a_mistake_is_reported_before_ray_starts(folder: Path) -> None:
    """The objective is loaded first; its mistake ends the command as it does without Ray."""
    sweep_file(folder, "good", executor="ray")
    done = optitrip_process(folder, "sweep", "trial.toml", "--set", "objective.loss=absent_module:f")
    assert done.returncode == 2
    assert "there is no module 'absent_module'" in done.stderr
    assert "Traceback" not in done.stderr
    assert "starting Ray" not in done.stderr


@pytest.mark.parametrize("words", [["--json"], []])
def test_piped_output_has_no_control_codes(folder: Path, words: list[str]) -> None:
    """Nothing but text in a file or a pipe."""
    sweep_file(folder, "good", candidates=2_000)
    done = optitrip(folder, "sweep", "trial.toml", *words)
    for stream in (done.stdout, done.stderr):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", stream)


@pytest.mark.daily
def test_output_is_ascii_where_the_stream_is_not_utf_8(folder: Path) -> None:
    """A terminal without UTF-8 gets the table too, whatever the values are."""
    path = sweep_file(folder, "worded")
    path.write_text(path.read_text().replace("x = { normal = [0, 1] }", 'x = { choice = ["grün"] }'))
    done = optitrip_process(folder, "sweep", "trial.toml", environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


@pytest.mark.daily
def test_the_live_line_on_a_terminal(folder: Path) -> None:
    """In the words of the original loop, within 80 columns, and gone at the end."""
    sweep_file(folder, "slow", candidates=400)
    terminal_end, command_end = pty.openpty()
    terminal = {"COLUMNS": "80", "TERM": "xterm"}
    child = start_optitrip(
        folder, "sweep", "trial.toml", environment=terminal, stdout=subprocess.DEVNULL, stderr=command_end
    )
    os.close(command_end)
    seen = b""
    while child.poll() is None or select.select([terminal_end], [], [], 0)[0]:
        if select.select([terminal_end], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal_end, 65_536)
            except OSError:  # the other end is closed
                break
    assert child.wait() == 0
    os.close(terminal_end)
    text = seen.decode()
    lines = re.findall(r"Attempt [\d,]+ \| Loss [\d.]+ \| MinLoss [\d.e-]+ at \d+ \| [\d,]+/s \| \d+:\d\d left", text)
    assert lines
    assert all(len(line) <= 80 for line in lines)
    assert text.rstrip().endswith("\x1b[2K")


def test_failures_are_counted_reported_and_set_the_exit_status(folder: Path) -> None:
    """Exit status 3, counts by kind, the first exception as it was raised with its index and parameters."""
    sweep_file(folder, "some")
    done = optitrip(folder, "sweep", "trial.toml")
    assert done.returncode == 3
    assert re.search(r"\(\d+ failed: \d+ raised\)", done.stdout)
    found = re.search(r"candidate (\d+) \(raised\), with\n  x = ([\d.]+)", done.stderr)
    assert found
    assert f"ValueError: {found[2]} is too much" in done.stderr
    assert 'cli_loss.py", line 6, in some' in done.stderr
    assert "optitrip" not in done.stderr.replace(str(folder), "")


@pytest.mark.parametrize(("name", "reason"), [("none", "KeyError: 'weights'"), ("nans", "the loss was nan")])
@pytest.mark.parametrize("candidates", [50, 100_000])
def test_if_all_fail_there_is_no_answer(folder: Path, name: str, reason: str, candidates: int) -> None:
    """Exit status 1, with the first traceback and its parameters; a long sweep ends early."""
    sweep_file(folder, name, candidates)
    done = optitrip(folder, "sweep", "trial.toml")
    assert done.returncode == 1
    assert "no answer" in done.stderr
    assert reason in done.stderr
    assert re.search(r"candidate 0 \(\w+\), with\n  x = ", done.stderr)
    assert "optitrip/" not in done.stderr


BAD: dict[str, tuple[list[str], list[str]]] = {
    "missing file": (["nowhere.toml"], ["nowhere.toml: no such file"]),
    "zero candidates": (["trial.toml", "--set", "method.candidates=0"], ["method.candidates", "was 0"]),
    "unknown set key": (["trial.toml", "--set", "method.candidate=5"], ["did you mean candidates?"]),
    "unknown executor": (["trial.toml", "--executor", "rya"], ["executor", "'rya'", "'ray'"]),
    "no module": (["trial.toml", "--set", "objective.loss=absent_module:f"], ["no module 'absent_module'"]),
    "no name": (["trial.toml", "--set", "objective.loss=cli_loss:goood"], ["did you mean good?"]),
    "not callable": (["trial.toml", "--set", "objective.loss=cli_loss:os"], ["module"]),
    "other parameters": (
        ["trial.toml", "--set", "objective.loss=cli_loss:other"],
        ["takes:", "y", "the space has:", "x"],
    ),
    "digest": (["trial.toml", "--set", "objective.loss=cli_loss:Undigested"], ["digest raised", "no such data"]),
    "no such folder": (["trial.toml", "--state-dir", "/proc/nothing"], ["state directory", "/proc/nothing"]),
    "no cluster": (["trial.toml", "--executor", "ray", "--address", "127.0.0.1:1"], ["could be joined", "127.0.0.1:1"]),
    "cluster": (["trial.toml", "--executor", "ray", "--address", "ray://host:1"], ["Ray Client is not supported"]),
}


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.daily] * ("cluster" in case)) for case in BAD])
def test_bad_input_is_reported_before_anything_starts(folder: Path, case: str) -> None:
    """Exit status 2, a message without a traceback, and nothing left behind."""
    sweep_file(folder, "good")
    words, expected = BAD[case]
    done = (optitrip_process if "cluster" in case else optitrip)(folder, "sweep", *words)
    assert done.returncode == 2, done.stderr
    assert [part for part in expected if part not in done.stderr] == []
    assert "optitrip/" not in done.stderr
    assert done.stdout == ""
    assert not (folder / "mlflow.db").exists()


def test_missing_data_is_reported_with_where_to_get_it(tmp_path: Path) -> None:
    """Exit status 2 and the page of the data set."""
    done = optitrip(tmp_path, "sweep", str(ROOT / "sweeps" / "cifar10_random.toml"))
    assert done.returncode == 2
    assert "data_batch_1.bin: no such file" in done.stderr
    assert "cifar.html" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_check_prints_the_plan_without_importing(folder: Path) -> None:
    """Even a module that would raise is only named."""
    (folder / "cli_loss.py").write_text("raise SystemExit('imported')")
    sweep_file(folder, "good")
    done = optitrip(folder, "check", "trial.toml")
    assert done.returncode == 0
    assert "search: 50 candidates" in done.stdout
    assert f"imports cli_loss for good, found in {folder}" in done.stdout


@pytest.mark.daily
def test_a_killed_sweep_resumes_to_the_same_answer(folder: Path) -> None:
    """SIGKILL in the middle; the same command resumes, and its files are those of a sweep never killed, to the bit."""
    sweep_file(folder, "slow", candidates=600)
    whole = json.loads(optitrip(folder, "sweep", "trial.toml", "--json", "--state-dir", "whole").stdout)
    child = start_optitrip(folder, "sweep", "trial.toml", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    journal = folder / ".optitrip" / f"trial-{whole['identity']}" / "journal.sqlite"
    wait_for_parts(journal)
    child.kill()
    child.wait()
    resumed = optitrip(folder, "sweep", "trial.toml", "--json")
    answer = json.loads(resumed.stdout)
    assert re.search(r"resuming: [\d,]+ of 600 items", resumed.stderr)
    assert 0 < answer["evaluated"] < 600
    assert answer["best"]["loss"] == whole["best"]["loss"]
    for name in ("best.npz", "candidates.parquet"):
        assert (folder / whole["state_dir"] / name).read_bytes() == (folder / answer["state_dir"] / name).read_bytes()


@pytest.mark.thorough
@pytest.mark.ray
def test_a_crash_takes_the_command_along_once(folder: Path) -> None:
    """Small sweeps are evaluated in the command's own process; after a segmentation fault the same command evaluates on
    workers, so that the candidate is recorded and all others are evaluated."""
    pytest.importorskip("ray")
    sweep_file(folder, "crashes", candidates=3, executor="auto")
    assert optitrip_process(folder, "sweep", "trial.toml", "--workers", "2").returncode == -signal.SIGSEGV
    done = optitrip_process(folder, "sweep", "trial.toml", "--json", "--workers", "2")
    assert "the last command crashed, perhaps because of the loss" in done.stderr
    assert done.stdout, (done.returncode, done.stderr)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"], answer["items"]) == (3, "finished", 3)
    assert list(answer["failures"]) == ["died"]


@pytest.mark.daily
def test_what_the_loss_reads_must_still_be_the_same(folder: Path) -> None:
    """A file that no digest covers was edited: both losses are shown, and going on must be said."""
    sweep_file(folder, "table", candidates=600)
    (folder / "table.txt").write_text("1")
    child = start_optitrip(folder, "sweep", "trial.toml", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for_parts(next_journal(folder))
    child.kill()
    child.wait()
    (folder / "table.txt").write_text("2")
    refused = optitrip(folder, "sweep", "trial.toml")
    assert refused.returncode == 2
    assert re.search(r"gave a (best_)?loss of \S+ before and give \S+ now", refused.stderr)
    assert "Traceback" not in refused.stderr
    random = ["--set", "objective.deterministic=false"]
    assert optitrip(folder, "sweep", "trial.toml", "--accept-changes", "--set", "method.candidates=300").returncode == 0
    assert optitrip(folder, "sweep", "trial.toml", "--set", "method.candidates=301").returncode == 0
    (folder / "table.txt").write_text("3")
    assert optitrip(folder, "sweep", "trial.toml", "--set", "method.candidates=302").returncode == 2
    assert optitrip(folder, "sweep", "trial.toml", "--set", "method.candidates=302", *random).returncode == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.daily)]
)
def test_a_stopped_sweep_says_how_to_resume(folder: Path, number: int, status: int) -> None:
    """One line, exit status 128 + the signal, and what is journaled stays."""
    sweep_file(folder, "slow", candidates=100_000)
    child = start_optitrip(folder, "sweep", "trial.toml", "--json", stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for_parts(next_journal(folder))
    child.send_signal(number)
    out, errors = child.communicate(timeout=60)
    assert child.returncode == status
    assert re.search(r"stopped by \w+: [\d,]+ of 100,000 candidates are stored. The same command resumes", errors)
    assert "Traceback" not in errors
    answer = json.loads(out)
    assert answer["status"] == "stopped"
    assert 0 < answer["items"] < 100_000
    assert answer["best"]["index"] < answer["items"]


@pytest.mark.ray
@pytest.mark.daily
@pytest.mark.parametrize("seconds", [1.5, 4.0])
def test_sigterm_while_ray_starts(folder: Path, seconds: float) -> None:
    """143 with the usual line, not Ray's own 15."""
    sweep_file(folder, "slow", candidates=100_000, executor="ray")
    child = start_optitrip(folder, "sweep", "trial.toml", stderr=subprocess.PIPE)
    assert child.stderr
    assert "starting Ray" in child.stderr.readline()
    time.sleep(seconds)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 143
    assert "stopped by SIGTERM" in errors


@pytest.mark.ray
@pytest.mark.daily
def test_a_second_ctrl_c_while_ray_starts(folder: Path) -> None:
    """130 without a traceback, once Ray is there and gone again; the command leaves none of it behind."""
    sweep_file(folder, "slow", candidates=100_000, executor="ray")
    child = start_optitrip(folder, "sweep", "trial.toml", stderr=subprocess.PIPE)
    assert child.stderr
    assert "starting Ray" in child.stderr.readline()
    for _ in range(2):
        time.sleep(0.7)
        child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 130
    assert "Traceback" not in errors


def next_journal(folder: Path) -> Path:
    end = time.monotonic() + 60
    while not (found := list(folder.glob(".optitrip/*/journal.sqlite"))) and time.monotonic() < end:
        time.sleep(0.05)
    return found[0]


def wait_for_parts(journal: Path) -> None:
    """Until a few slices are durable."""
    import sqlite3

    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with sqlite3.connect(journal) as database:
                if database.execute("SELECT count(*) FROM part").fetchone()[0] >= 3:
                    return
        except sqlite3.Error:
            pass
        time.sleep(0.05)


def test_changed_code_is_shown_and_must_be_accepted(folder: Path) -> None:
    """The answer depends on code beside the file: a changed module is named, and never mixed in unseen."""
    sweep_file(folder, "good")
    assert optitrip(folder, "sweep", "trial.toml").returncode == 0
    (folder / "cli_loss.py").write_text(LOSSES + "\n# changed\n")
    refused = optitrip(folder, "sweep", "trial.toml")
    assert refused.returncode == 2
    assert "modules.cli_loss" in refused.stderr
    assert "--accept-changes" in refused.stderr
    assert optitrip(folder, "sweep", "trial.toml", "--accept-changes").returncode == 0
    assert optitrip(folder, "sweep", "trial.toml").returncode == 0


def test_fresh_sets_aside(folder: Path) -> None:
    """`--fresh` evaluates anew and keeps the old directory."""
    sweep_file(folder, "good")
    first = json.loads(optitrip(folder, "sweep", "trial.toml", "--json").stdout)
    again = json.loads(optitrip(folder, "sweep", "trial.toml", "--json", "--fresh").stdout)
    assert again["evaluated"] == 50
    assert again["best"]["loss"] == first["best"]["loss"]
    assert (folder / f"{first['state_dir']}.old-1" / "journal.sqlite").exists()


def test_a_changed_file_is_a_new_sweep_and_says_in_what(folder: Path) -> None:
    """The nearest sweep of the same name is compared."""
    sweep_file(folder, "good")
    first = json.loads(optitrip(folder, "sweep", "trial.toml", "--json").stdout)
    other = optitrip(folder, "sweep", "trial.toml", "--set", "seed=2")
    assert f"differs from trial-{first['identity']} in seed: 1 -> 2" in other.stderr


def test_a_damaged_journal_is_repaired_or_refused(folder: Path) -> None:
    """A row that is not as it was written is told and evaluated again; a file that is none is exit status 2."""
    sweep_file(folder, "good")
    first = json.loads(optitrip(folder, "sweep", "trial.toml", "--json").stdout)
    journal = folder / first["state_dir"] / "journal.sqlite"
    with sqlite3.connect(journal) as database:
        database.execute("UPDATE part SET columns = zeroblob(length(columns))")
    again = optitrip(folder, "sweep", "trial.toml", "--json")
    assert "the journal was damaged: the row of stage 0, items 0 to" in again.stderr
    assert json.loads(again.stdout)["best"] == first["best"]
    assert json.loads(again.stdout)["evaluated"] == 50
    assert journal.with_name("journal.sqlite.damaged-1").exists()
    with sqlite3.connect(journal) as database:
        database.execute("UPDATE meta SET value = '{}' WHERE key = 'provenance'")
    unknown = optitrip(folder, "sweep", "trial.toml")
    assert unknown.returncode == 2
    assert "the record of the code, data and libraries behind the stored parts is damaged" in unknown.stderr
    assert optitrip(folder, "sweep", "trial.toml", "--accept-changes").returncode == 0
    journal.write_bytes(b"damaged" * 999)
    done = optitrip(folder, "sweep", "trial.toml")
    assert done.returncode == 2
    assert "journal" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.daily
def test_a_sweep_has_one_command_at_a_time(folder: Path) -> None:
    """A second one is refused, with --fresh too; looking on is not; the system lets go of what was killed."""
    sweep_file(folder, "slow", candidates=100_000)
    child = start_optitrip(folder, "sweep", "trial.toml", "--quiet", stderr=subprocess.DEVNULL)
    wait_for_parts(next_journal(folder))
    for words in ([], ["--fresh"]):
        second = optitrip(folder, "sweep", "trial.toml", *words)
        assert second.returncode == 2
        assert "another command is running this sweep" in second.stderr
    assert "of 100,000 items are stored" in optitrip(folder, "show", "trial").stdout
    child.kill()
    child.wait()
    limited = optitrip(folder, "sweep", "trial.toml", "--json", "--set", "stop.max_seconds=2")
    assert limited.returncode == 75
    assert "stopped after 2 s, the limit in [stop] max_seconds" in limited.stderr
    assert json.loads(limited.stdout)["status"] == "stopped"


@pytest.mark.daily
def test_a_reader_that_goes_away_costs_no_sweep(folder: Path) -> None:
    """With a closed pipe on stdout and stderr a sweep ends as it would; without room for its result it says so."""
    sweep_file(folder, "some", candidates=200)
    reading, writing = os.pipe()
    os.close(reading)
    done = optitrip_process(folder, "sweep", "trial.toml", stdout=writing, stderr=writing)
    os.close(writing)
    assert done.returncode == 3
    assert "finished with 200" in optitrip(folder, "show", "trial").stdout
    assert optitrip(folder, "sweep", "trial.toml", "--set", "failures.allow=0.5").returncode == 0
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            allowed = ["--set", "failures.allow=0.5"]
            done = optitrip_process(folder, "sweep", "trial.toml", "--json", *allowed, stdout=full)
        assert done.returncode == 1
        assert "could not be written to stdout" in done.stderr


@pytest.mark.daily
def test_a_closed_terminal_is_a_request_to_stop(folder: Path) -> None:
    """SIGHUP: what is done is kept, exit status 129."""
    sweep_file(folder, "slow", candidates=100_000)
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        os.execv(OPTITRIP[0], [*OPTITRIP, "sweep", "trial.toml"])
    wait_for_parts(next_journal(folder))
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    shown = optitrip(folder, "show", "trial", "--json")
    (stage,) = json.loads(shown.stdout)["stages"]
    assert 0 < stage["done"] < 100_000


def test_a_failure_can_be_looked_at_again(folder: Path) -> None:
    """`show --failures` tells which; `replay` raises it in the loss's own words; `--pdb` stands inside it."""
    sweep_file(folder, "some", candidates=200)
    optitrip(folder, "sweep", "trial.toml")
    shown = optitrip(folder, "show", "trial", "--story").stdout
    assert "search: 1 joined" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    shown = optitrip(folder, "show", "trial", "--failures").stdout
    first = re.search(r"^search, raised: \d+: (\d+)", shown)
    assert first
    again = optitrip(folder, "replay", "trial", first[1])
    assert again.returncode == 1
    assert f"candidate {first[1]} of trial-" in again.stdout
    assert re.search(r"ValueError: [\d.]+ is too much\n$", again.stderr)
    inside = optitrip_process(folder, "replay", "trial.toml", first[1], "--pdb", input="c\np x\nq\n")
    assert re.search(r"\(Pdb\) [\d.]+\n", inside.stdout)


GRADIENT = """
[objective]
loss = "cli_loss:{name}"
[space]
w = {{ shape = [{entries}] }}
[method]
use = "gradient"
scheme = "central"
errors = false
at = {{ fill = 0.5 }}
[run]
executor = "serial"
[tracking]
use = "none"
"""
SLOPES = """
import time

def slope(w): return float((w * range(1, len(w) + 1)).sum())
def edge(w):
    if w[2] > 0.5: raise ValueError("past the edge")
    return slope(w)
def none(w): raise KeyError("weights")
def slow(w):
    time.sleep(0.005)
    return slope(w)
class Both:
    def __call__(self, w): return slope(w)
    def losses(self, w): return (w * range(1, w.shape[1] + 1)).sum(axis=1)
    def gradient(self, w): return w * 0 + range(1, len(w) + 1)
    def report(self, w): return {"accuracy": 0.5}
"""


def gradient_file(folder: Path, name: str, entries: int = 5) -> Path:
    (folder / "cli_loss.py").write_text(SLOPES)
    path = folder / "slope.toml"
    path.write_text(GRADIENT.format(name=name, entries=entries))
    return path


def test_a_gradient_as_a_person_sees_it(folder: Path) -> None:
    """Norm, largest entries, how far the analytic one is, and the classic table, within 80 columns."""
    gradient_file(folder, "Both")
    done = optitrip(folder, "sweep", "slope.toml")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^coordinates +5 *$", done.stdout, re.MULTILINE)
    assert re.search(r"gradient +norm 7\.41\d+, largest magnitude 5(\.0+)?, central differences", done.stdout)
    assert re.search(r"largest +w\[4\] 5, w\[3\] 4, w\[2\] 3", done.stdout)
    assert re.search(r"analytic +relative difference \S+e-1\d", done.stdout)
    assert re.search(r"accuracy +50\.00 %", done.stdout)
    table = done.stdout[done.stdout.index(" | ") - 60 :].splitlines()
    assert re.search(r"w \| +w \+ h \| +loss\(w \+ h\) \| +loss\(w - h\) \| +dw", done.stdout)
    rows = re.findall(
        r"^w\[(\d)\] +\| +0\.5 \| 0\.500003\d* +\| +([\d.]+) \| +([\d.]+) \| +(\d)", done.stdout, re.MULTILINE
    )
    assert [(int(n), float(slope)) for n, _, _, slope in rows] == [(n, n + 1.0) for n in range(5)]
    assert all(len(line.rstrip()) <= 80 for line in table)


def test_the_json_of_a_gradient(folder: Path) -> None:
    """`--json` prints one object, and gradient.npz has values, steps and flags by variable."""
    import numpy as np

    gradient_file(folder, "slope")
    answer = json.loads(optitrip(folder, "sweep", "slope.toml", "--json", "--quiet").stdout)
    assert (answer["status"], answer["items"], answer["evaluated"], answer["failed"]) == ("finished", 5, 5, 0)
    gradient = answer["gradient"]
    assert {"norm", "max_abs", "file", "flagged"} <= set(gradient)
    assert gradient["max_abs"] == pytest.approx(5)
    assert gradient["flagged"] == 0
    with np.load(folder / gradient["file"], allow_pickle=False) as file:
        np.testing.assert_allclose(file["w"], [1, 2, 3, 4, 5])
        np.testing.assert_allclose(file["w.steps"], np.full(5, 0.5 * np.finfo(float).eps ** (1 / 3)), rtol=1e-9)
        assert file["w.flags"].tolist() == [0] * 5
    with np.load(folder / answer["state_dir"] / "point.npz", allow_pickle=False) as file:
        assert file["w"].tolist() == [0.5] * 5
    assert "best" not in answer


def test_a_missing_coordinate_sets_the_exit_status(folder: Path) -> None:
    """Exit status 3: a failure, told with its coordinate and its parameters, though the other side gave the answer."""
    gradient_file(folder, "edge")
    done = optitrip(folder, "sweep", "slope.toml")
    assert done.returncode == 3
    assert "(1 failed: 1 raised)" in done.stdout
    assert re.search(r"one-sided +1 coordinates have losses on one side of x only", done.stdout)
    assert re.search(r"w\[2\] +\|.*nan.*\| +3", done.stdout)
    assert "x with w[2] one step +h (raised), with\n  w = " in done.stderr
    assert "ValueError: past the edge" in done.stderr


def test_without_a_loss_at_x_there_is_no_gradient(folder: Path) -> None:
    """Exit status 1 after the first evaluation, however many coordinates there are."""
    gradient_file(folder, "none", entries=100_000)
    done = optitrip(folder, "sweep", "slope.toml")
    assert done.returncode == 1
    assert "no answer: the first item failed\nx itself (raised), with\n  w = " in done.stderr
    assert "KeyError: 'weights'" in done.stderr


def test_steps_that_lead_nowhere_are_no_answer(folder: Path) -> None:
    """A step that no coordinate can take is told before anything is evaluated."""
    gradient_file(folder, "none")
    done = optitrip(folder, "sweep", "slope.toml", "--set", "method.step=1e-30")
    assert done.returncode == 1
    assert "no coordinate can take a step: w[0] is 0.5, and after the step it is 0.5 and 0.5" in done.stderr
    assert optitrip(folder, "sweep", "slope.toml", "--set", "method.step=0").returncode == 2


def test_plain_takes_one_coordinate_at_a_time(folder: Path) -> None:
    """`--plain` is another sweep, since its bits may differ, of the same gradient."""
    gradient_file(folder, "Both")
    fast = json.loads(optitrip(folder, "sweep", "slope.toml", "--json").stdout)
    plain = json.loads(optitrip(folder, "sweep", "slope.toml", "--json", "--plain").stdout)
    assert "agreement" in fast["phases"]
    assert "agreement" not in plain["phases"]
    assert fast["identity"] != plain["identity"]
    assert plain["gradient"]["norm"] == pytest.approx(fast["gradient"]["norm"], rel=1e-9)


@pytest.mark.daily
def test_a_stopped_gradient_is_resumed(folder: Path) -> None:
    """SIGINT in its middle; the same command takes the coordinates that are left, to the same bits."""
    gradient_file(folder, "slow", entries=600)
    whole = json.loads(optitrip(folder, "sweep", "slope.toml", "--json", "--state-dir", "whole").stdout)
    child = start_optitrip(folder, "sweep", "slope.toml", stderr=subprocess.PIPE)
    wait_for_parts(next_journal(folder))
    time.sleep(1)  # the first parts are those of the noise; the gradient takes six seconds
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert re.search(r"stopped by SIGINT: \d+ of 600 coordinates are stored", errors)
    resumed = optitrip(folder, "sweep", "slope.toml", "--json")
    answer = json.loads(resumed.stdout)
    assert re.search(r"resuming: \d+ of 601 items are in the journal", resumed.stderr)
    assert 0 < answer["evaluated"] < 600
    files = [folder / state["state_dir"] / "gradient.npz" for state in (whole, answer)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_gradient_at_the_best_of_a_search(folder: Path) -> None:
    """The two halves of the trip: the second begins where the first ended."""
    sweep_file(folder, "good")
    assert optitrip(folder, "sweep", "trial.toml").returncode == 0
    text = sweep_file(folder, "good").read_text().split("[method]")[0]
    (folder / "slope.toml").write_text(
        text + '[method]\nuse = "gradient"\nat = { best_of = "trial.toml" }\n[tracking]\nuse = "none"\n'
    )
    checked = optitrip(folder, "check", "slope.toml")
    assert "gradient: 1 coordinates, four-point differences" in checked.stdout
    answer = json.loads(optitrip(folder, "sweep", "slope.toml", "--json").stdout)
    best = json.loads((folder / answer["state_dir"]).parent.glob("trial-*/result.json").__next__().read_text())["best"]
    assert answer["gradient"]["loss"] == best["loss"]


def test_numbers_beside_the_loss_are_shown_and_kept(folder: Path) -> None:
    """A dict loss, maximised: in the table with the user's sign, in the JSON, in Parquet."""
    import pyarrow.parquet as pq

    sweep_file(folder, "named")
    (folder / "cli_loss.py").write_text("def named(x): return {'loss': -(x - 1) ** 2, 'distance': abs(x - 1)}\n")
    done = optitrip(folder, "sweep", "trial.toml", "--set", "objective.maximize=true", "--json")
    answer = json.loads(done.stdout)
    table = pq.read_table(folder / answer["state_dir"] / "candidates.parquet")
    losses, distances = table["loss"].to_pylist(), table["distance"].to_pylist()
    assert answer["best"]["loss"] == max(losses)
    assert answer["best"]["named"] == {"distance": distances[losses.index(max(losses))]}
    again = optitrip(folder, "sweep", "trial.toml", "--set", "objective.maximize=true")
    assert re.search(r"max loss +-\S+ at candidate", again.stdout)
    assert re.search(r"distance +0\.\d", again.stdout)


def test_init_writes_a_file_that_runs(folder: Path) -> None:
    """`optitrip init` and `optitrip sweep` in a row; a second `init` overwrites nothing."""
    done = optitrip(folder, "init", "cli_loss:good")
    assert (done.returncode, done.stdout) == (0, "good.toml\n")
    assert optitrip(folder, "sweep", "good.toml", "--set", "tracking.use=none").returncode == 0
    again = optitrip(folder, "init", "cli_loss:good")
    assert again.returncode == 2
    assert "good.toml exists and is not overwritten" in again.stderr


def test_data_knows_its_data_sets(folder: Path) -> None:
    """A slip of the pen is answered with what there is."""
    done = optitrip(folder, "data", "cifar")
    assert done.returncode == 2
    assert "did you mean cifar10?" in done.stderr


def test_a_loss_that_prints_does_not_spoil_the_json(folder: Path) -> None:
    """stdout holds the result alone."""
    sweep_file(folder, "loud")
    done = optitrip(folder, "sweep", "trial.toml", "--json")
    assert json.loads(done.stdout)["status"] == "finished"
    assert "from the loss" in done.stderr
    assert "from a child of the loss" in done.stderr


def test_help_lists_the_commands(folder: Path) -> None:
    """`--help` names them all, with a whole sentence about each."""
    done = optitrip(folder, "--help")
    assert done.returncode == 0
    assert all(
        f"  {command} " in done.stdout
        for command in ("sweep", "check", "merge", "runs", "show", "sync", "table", "replay", "init", "data", "ui")
    )
    assert not [line for line in done.stdout.splitlines() if line.endswith(("...", "e.g."))][1:]  # the first is usage


SERVER = """
import http.server, subprocess, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e9)"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Health).serve_forever()
"""
"""In place of MLflow, which takes twenty seconds of two cores to start its own."""


def mlflow_that_runs(folder: Path, code: str) -> None:
    """Have `python -m mlflow` in this folder run some code, on a store that is there."""
    (folder / "mlflow").mkdir()
    (folder / "mlflow" / "__init__.py").touch()
    (folder / "mlflow" / "__main__.py").write_text(code)
    (folder / "mlflow.db").touch()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.mark.parametrize("server", ["a stand-in", pytest.param("MLflow", marks=pytest.mark.daily)])
def test_ui_serves_the_store_of_this_directory(folder: Path, server: str) -> None:
    """On loopback, with the page's address, and all of its processes end with it."""
    from urllib.request import urlopen

    if server == "MLflow":
        sweep_file(folder, "good")
        assert optitrip(folder, "sweep", "trial.toml", "--set", "tracking.use=mlflow").returncode == 0
    else:
        mlflow_that_runs(folder, SERVER)
    port = free_port()
    child: Any = start_optitrip(
        folder, "ui", "--no-open", "--port", str(port), stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    first, second = child.stderr.readline(), child.stderr.readline()
    assert str(folder / "mlflow.db") in first
    assert second.startswith(f"http://127.0.0.1:{port}/")
    with urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
        assert answer.status == 200
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (0, "", "")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_ui_says_why_its_server_did_not_start(folder: Path) -> None:
    """With the server's last words and its exit status."""
    mlflow_that_runs(folder, "import sys; sys.exit('no room for a server')")
    done = optitrip(folder, "ui", "--port", str(free_port()))
    assert done.returncode == 1
    assert done.stderr.endswith("no room for a server\n")


def test_ui_without_a_store_or_a_port_says_so(folder: Path) -> None:
    """Exit status 2: nothing was tracked in this directory, or something else listens there."""
    done = optitrip(folder, "ui")
    assert done.returncode == 2
    assert "no such file; run a sweep in this directory first" in done.stderr
    (folder / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        done = optitrip(folder, "ui", "--port", str(busy.getsockname()[1]))
    assert done.returncode == 2
    assert "the port is already in use" in done.stderr


SWEEPS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.thorough] if path.stem == "model_selection" else [])
    for path in sorted((ROOT / "sweeps").glob("*.toml"))
]
"""The files in `sweeps`; the one that uses scikit-learn takes seconds to import it."""


@pytest.mark.parametrize("path", SWEEPS)
def test_every_sweep_file_runs(path: Path, tmp_path: Path) -> None:
    """With a few items each, in an empty folder; what needs CIFAR-10 says where it is to be had."""
    units = {
        "gradient": "coordinates",
        "estimate": "directions",
        "network": "steps",
        "rules": "steps",
        "sensitivity": "rows",
    }
    few = [f"method.{units.get(path.stem.rpartition('_')[2], 'candidates')}=4"]
    if path.stem.startswith("roadtrip"):
        few = [f"leg.{key}" for key in ("blind.candidates=40", "local.tries=40", "sgd.steps=4", "momentum.steps=4")]
        few += ["leg.adam.steps=4"]
        few = few[:1] if "cifar10" in path.stem else few
    few += ["method.rates=[0.1, 1.0]"] if path.stem == "digits_rules" else []
    few = ["seed=0"] if path.stem == "points" else few
    words = ["--executor", "serial", *(word for one in few for word in ("--set", one))]
    words += ["--set", "tracking.use=none", "--json"]
    # scikit-learn brings an OpenMP library, which would stay in this process and be part of what later sweeps run with.
    command = optitrip_process if path.stem == "model_selection" else optitrip
    done = command(tmp_path, "sweep", str(path), *words)
    if "cifar10" in path.stem:
        assert done.returncode == 2
        assert "optitrip data cifar10" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"] == {
        "roadtrip_digits": 5,
        "points": 27,
        "digits_rules": 3 * 2 * 4,
        "sensitivity": 4 * 5,
    }.get(path.stem, 4)
