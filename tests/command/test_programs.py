"""Sweeps of programs: the same answer wherever they run, and stops that leave nothing behind and nothing undone."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from command import optitrip, optitrip_process, start_optitrip
from optitrip.config.program import as_written
from optitrip.core.differences import flat
from optitrip.errors import OptitripError
from optitrip.store.follow import progress
from optitrip.store.lookup import find_stored_sweep, read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the scripts are for a POSIX shell, and /proc")
SWEEP = """
[program]
command = ["sh", "{here}/simulate", "{x}", "{n}"]
[space]
x = { uniform = [0, 1] }
n = { integer = [0, 9] }
[method]
use = "search"
candidates = 24
[tracking]
use = "none"
[stop]
drain_seconds = 1
"""
QUICK = "echo $1 $2 >> $(dirname $0)/log\n[ $2 = 4 ] && { echo 'four is bad' >&2; exit 5; }\necho $1\n"
SLOW = (
    "echo begins $2 >> $(dirname $0)/log\n(setsid sleep 300 &)\nsleep 0.4\n[ $2 -gt 7 ] && sleep 300\n"
    "echo ends $1 >> $(dirname $0)/log\necho $1\n"
)


def folder_with(folder: Path, script: str) -> Path:
    """A folder with a sweep and its simulator."""
    (folder / "p.toml").write_text(SWEEP)
    (folder / "simulate").write_text(script)
    return folder


def best(text: str) -> Any:
    found = json.loads(text)
    return {name: found["best"][name] for name in ("loss", "index")}, found["failures"]


def test_the_stored_file_is_known_again(tmp_path: Path) -> None:
    """It names the folder of the program's files, and is neither taken for one that was edited nor for another's."""
    folder_with(tmp_path, QUICK)
    for count in (4, 6):
        done = optitrip(tmp_path, "sweep", "p.toml", "--set", f"method.candidates={count}")
        assert "was not as written" not in done.stderr
    (stored,) = (tmp_path / ".optitrip").glob("p-*/sweep.toml")
    assert f'here = "{tmp_path}"' in stored.read_text()
    done = optitrip(tmp_path, "sweep", str(stored), "--set", "method.candidates=8")
    assert "resuming: 6 of 8 items are in the journal" in done.stderr
    assert len(list(stored.parent.parent.iterdir())) == 1


def test_a_sweep_of_a_program(tmp_path: Path) -> None:
    """Losses and failures are those of the program, each candidate is run once, for any number of workers."""
    folder_with(tmp_path, QUICK)
    answers: list[Any] = []
    for workers in ("1", "3"):
        done = optitrip(tmp_path, "sweep", "p.toml", "--workers", workers, "--json", "--state-dir", workers)
        answers.append(best(done.stdout))
        lines = (tmp_path / "log").read_text().splitlines()
        assert len(lines) == len(set(lines)) == 24
        failed = sum(line.endswith(" 4") for line in lines)
        assert answers[-1][1] == {"raised": failed}
        losses = [float(line.split()[0]) for line in lines if not line.endswith(" 4")]
        assert answers[-1][0]["loss"] == min(losses)
        assert "four is bad" in done.stderr
        (tmp_path / "log").unlink()
    assert answers[0] == answers[1]
    assert len(list((tmp_path / "runs").iterdir())) == answers[0][1]["raised"]
    stored = json.loads(done.stdout)["state_dir"]
    again = optitrip(tmp_path, "replay", f"{stored}/sweep.toml", str(answers[0][0]["index"]), "--state-dir", "3")
    assert float(again.stdout.split()[-1]) == answers[0][0]["loss"]


def test_the_folder_of_the_best_run(tmp_path: Path) -> None:
    """It is with the files of the answer, and moves if a better one is found; failures are retried as often as the
    program says."""
    folder_with(tmp_path, QUICK.replace("echo $1\n", "echo $1 | tee result\n"))
    options = ("--json", "--workers", "2", "--set", 'program.keep=["best", "failed"]', "--set", "program.retries=1")
    for candidates in (12, 24):
        done = optitrip(tmp_path, "sweep", "p.toml", *options, "--set", f"method.candidates={candidates}")
        answer = json.loads(done.stdout)
        (kept,) = Path(tmp_path, answer["state_dir"]).glob("run-*")
        assert f"the files of the best run are in {kept}" in " ".join(done.stderr.split())
        assert float((kept / "result").read_text()) == answer["best"]["loss"]
        assert not list((tmp_path / "runs").glob("best-*"))
    lines = (tmp_path / "log").read_text().splitlines()
    again = {line: lines.count(line) - 1 - line.endswith(" 4") for line in lines}
    assert sum(again.values()) == 1  # a run that is stored shows that the program has not changed
    assert min(again.values()) == 0
    (tmp_path / "simulate").write_text("echo 0\n")
    done = optitrip(tmp_path, "sweep", "p.toml", *options, "--set", "method.candidates=25")
    assert "files of the program (simulate): " in done.stderr
    shown = optitrip(tmp_path, "show", "p", "--failures").stdout
    assert "ProgramFailed: the program ended with status 5\n    stderr ends with:\n    four is bad\n" in shown


def test_what_is_stored_is_read_without_the_files(tmp_path: Path) -> None:
    """Shards of a program with a template are merged, shown and put into a table, also when its folder is gone."""
    lab = tmp_path / "lab"
    lab.mkdir()
    folder_with(lab, QUICK)
    (lab / "deck").write_text("x = @x@\n")
    sweep = (lab / "p.toml").read_text().replace("[space]", 'templates = ["deck"]\n[space]')
    (lab / "p.toml").write_text(sweep)
    for number in (1, 2):
        done = optitrip(tmp_path, "sweep", "lab/p.toml", "--shard", f"{number}/2", "--workers", "2")
        assert done.returncode == 0, done.stderr
    merged = optitrip(tmp_path, "merge", ".optitrip/shard-1-of-2", ".optitrip/shard-2-of-2")
    assert merged.returncode == 3, merged.stderr  # an answer, with more failures than allowed
    done = optitrip(tmp_path, "sweep", "lab/p.toml", "--json")
    assert json.loads(done.stdout)["evaluated"] == 0
    lab.rename(tmp_path / "elsewhere")
    assert "24 candidates" in optitrip(tmp_path, "show", "p").stdout
    table = optitrip(tmp_path, "table", "p", "-o", "p.csv")
    assert table.returncode == 0, table.stderr
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 25


@pytest.mark.thorough
def test_what_runs_now_is_told(tmp_path: Path) -> None:
    """Of a running sweep, with how long it has taken; of one that has ended, nothing is said to run."""
    folder_with(tmp_path, "sleep $(test $2 -gt 4 && echo 6 || echo 0); echo $1\n")
    seen: list[str] = []

    def told() -> bool:
        with suppress(OptitripError):  # there is no such sweep yet
            seen.append(progress(*find_stored_sweep("p", tmp_path / ".optitrip", []), time.time()).text)
        return bool(seen) and " | now " in seen[-1]

    few = ("--set", "method.candidates=6", "--workers", "2")
    child = start_optitrip(tmp_path, "sweep", "p.toml", *few, start_new_session=True)
    try:
        assert soon(told, 40), seen[-3:]
        shown = optitrip_process(tmp_path, "show", "p", "--follow")
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
    assert re.search(r"\d of 6 candidates( \| min loss .*)? \| now [0-5] for 0:0\d", seen[-1])
    assert "finished with 6 candidates" in shown.stdout
    assert not told()


@pytest.mark.thorough
@pytest.mark.ray
def test_programs_on_ray(tmp_path: Path, local_ray: Any) -> None:
    """The answer is that of this machine alone."""
    folder_with(tmp_path, QUICK)
    here = optitrip(tmp_path, "sweep", "p.toml", "--json", "--state-dir", "a")
    there = optitrip(tmp_path, "sweep", "p.toml", "--json", "--state-dir", "b", "--executor", "ray", "--workers", "2")
    assert best(here.stdout) == best(there.stdout)


def below(process: int) -> list[str]:
    """The commands of all processes that still have the test's folder in their command, or sleep so long."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "sleep 300" in words and int(folder.name) != process:
            found.append(words)
    return found


def soon(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.daily
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_every_program_and_records_none(tmp_path: Path, number: int) -> None:
    """Hung programs, and daemons of others, are gone; what had ended is stored and not run again."""
    folder_with(tmp_path, SLOW)
    log = tmp_path / "log"
    child = start_optitrip(tmp_path, "sweep", "p.toml", "--workers", "2", start_new_session=True)
    try:
        assert soon(lambda: log.exists() and log.read_text().count("ends") >= 2, 30)
        os.kill(child.pid, number)
        child.wait(20)
    finally:
        child.kill()
        child.wait()
    assert soon(lambda: not below(os.getpid()))
    assert not (tmp_path / "runs").exists()  # what was ended has no folder to be kept
    (tmp_path / "simulate").write_text(SLOW.replace("[ $2 -gt 7 ] && sleep 300\n", "").replace("0.4", "0"))
    done = optitrip_process(tmp_path, "sweep", "p.toml", "--workers", "2", "--json", "--accept-changes")
    answer = json.loads(done.stdout)
    assert (answer["items"], answer["failed"]) == (24, 0)
    ended = [line for line in log.read_text().splitlines() if line.startswith("ends")]
    assert len(set(ended)) == 24
    # The journal is written a few times a second: what a kill takes along are the runs of that time.
    assert len(ended) - 24 <= (2 if number == signal.SIGKILL else 0)


def test_a_program_that_hangs(tmp_path: Path) -> None:
    """It is ended at its time limit, and recorded; the others go on."""
    folder_with(tmp_path, "[ $2 -gt 7 ] && sleep 300\necho $1\n")
    done = optitrip(tmp_path, "sweep", "p.toml", "--set", "program.timeout_seconds=0.4", "--json", "--workers", "4")
    answer = json.loads(done.stdout)
    assert answer["failed"] > 0
    assert "longer than timeout_seconds = 0.4" in done.stderr
    assert soon(lambda: not below(os.getpid()))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('command = ["sim", "{y}"]', "p.toml:3: program.command: has {y}"),
        ('command = ["sim", "{x.y}"]', "p.toml:3: program.command: "),
        ('command = "sim"', "p.toml:3: program.command: was 'sim', wanted"),
        ('command = ["sim"]\ntemplates = ["absent.in"]', "p.toml:4: program.templates: names 'absent.in'"),
        ('command = ["sim"]\ntemplates = ["plain"]', "p.toml:4: program.templates: plain has none of the parameters"),
        ('command = ["sim"]\nloss = { rgex = "x" }', "p.toml:4: program.loss: was {'rgex': 'x'}"),
        ('command = ["sim"]\nloss = "rms"', "p.toml:4: program.loss: was 'rms', wanted a table, e.g. { json = "),
        ('command = ["sh", "run.sh", "{x}"]', "p.toml:3: program.command: names run.sh, which is in the folder"),
        ('command = ["sh ./run.sh {x}"]\nshell = true', "write '{here}/run.sh', or copy = ['run.sh']"),
        ('command = ["sim"]\nkeep = "worst"', "p.toml:4: program.keep: was 'worst'"),
        ('command = ["sim"]\narrays = { y = "y.npy" }', "p.toml:4: program.arrays: has y"),
        ('command = ["sim"]\nretries = 1\n[failures]\nretries = 2', "p.toml:4: program.retries: is given in"),
        ('command = ["sim"]\n[objective]\nloss = "a:b"', "objective: is given beside [program]"),
        ('comand = ["sim"]', "program.comand: unknown key; did you mean command"),
        ('command = ["sim"]\ngoal = "maximize"', "environment, copy, link, "),
    ],
)
def test_mistakes_are_found_at_the_door(line: str, message: str, tmp_path: Path) -> None:
    """With file and line, before anything runs."""
    folder_with(tmp_path, QUICK)
    (tmp_path / "plain").write_text("no marks\n")
    (tmp_path / "run.sh").write_text("echo $1\n")
    command = next(line for line in SWEEP.splitlines() if line.startswith("command"))
    (tmp_path / "p.toml").write_text(SWEEP.replace(command, line))
    done = optitrip(tmp_path, "check", "p.toml")
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        'command = ["sh", "{here}/run.sh", "{x}"]',
        'command = ["sh", "run.sh", "{x}"]\ncopy = ["run.sh"]',
        'command = ["sh", "other/run.sh", "{x}"]\nlink = ["other"]',
        'command = ["./simulate", "out.txt", "{x}"]',
    ],
)
def test_files_that_a_run_has_or_makes_are_no_mistake(line: str, tmp_path: Path) -> None:
    """Files that are copied or linked, and what an earlier run outside optitrip has left beside the sweep file."""
    folder_with(tmp_path, QUICK)
    (tmp_path / "other").mkdir()
    for name in ("run.sh", "other/run.sh", "out.txt"):
        (tmp_path / name).touch()
    command = next(line for line in SWEEP.splitlines() if line.startswith("command"))
    (tmp_path / "p.toml").write_text(SWEEP.replace(command, line))
    read(tmp_path / "p.toml")


@pytest.mark.parametrize(
    ("line", "called"),
    [
        ("", "loss"),
        ('loss = { json = "fit.rms", file = "out.json" }', "fit.rms"),
        ("loss = { regex = 'e (.*)' }", "loss"),
    ],
)
def test_the_loss_of_a_program_has_the_name_of_its_key(line: str, called: str, tmp_path: Path) -> None:
    """In pictures; and keys that differ from an earlier sweep's are told as the file has them."""
    folder_with(tmp_path, QUICK)
    (tmp_path / "p.toml").write_text(SWEEP.replace("[space]", f"{line}\n[space]"))
    sweep = read(tmp_path / "p.toml")
    assert sweep.objective.called == called
    written = flat(as_written(sweep.identity_fields))
    assert not [key for key in written if key.startswith("objective")]
    assert written["program.command"] == ["sh", "{here}/simulate", "{x}", "{n}"]
    assert ("program.loss.json" in written) == ("json" in line)
