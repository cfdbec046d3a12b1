"""A stop always stops: wherever the loss runs, whatever it does, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from command import optitrip, optitrip_process, start_optitrip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests send signals")
LAB = """
import os, signal, time


def hangs(x):
    with open("log", "a") as log:
        log.write(f"{x!r}\\n")
    while x > 0.5:
        time.sleep(300)
    return x


def swallows(x):
    while True:
        try:
            hangs(x)
            return x
        except BaseException:
            pass


def crashes(x):
    with open("log", "a") as log:
        log.write(f"{x!r}\\n")
    time.sleep(0.1)  # a slice is one item
    if x > 0.8:
        os.kill(os.getpid(), signal.SIGSEGV)
    return x
"""


def lab(folder: Path, loss: str, *lines: str) -> Path:
    """Write a module of losses and a sweep of one of them; in the order of its candidates the first is harmless."""
    (folder / "stopped_lab.py").write_text(LAB)
    (folder / "lab.toml").write_text(
        f'[objective]\nloss = "stopped_lab:{loss}"\n[space]\nx = {{ uniform = [0, 1] }}\n[method]\nuse = "search"\n'
        'candidates = 12\n[tracking]\nuse = "none"\n[stop]\ndrain_seconds = 0.5\n' + "\n".join(lines)
    )
    return folder


def logged(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


def stopped(folder: Path, *words: str, number: int = signal.SIGINT) -> Any:
    """Run a sweep until its second candidate, which hangs, has begun; stop it, and return status and stderr."""
    child = start_optitrip(folder, "sweep", "lab.toml", *words, start_new_session=True, stderr=PIPE)
    try:
        until = time.monotonic() + 60
        while len(logged(folder)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(child.pid, number)
        _, errors = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    return child.returncode, errors


@pytest.mark.mostly_daily
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_hung_loss_in_this_process_is_interrupted(tmp_path: Path, number: int) -> None:
    """After drain_seconds; the candidate is no failure, and the sweep resumes."""
    status, errors = stopped(lab(tmp_path, "hangs"), "--executor", "serial", number=number)
    assert status == 128 + number if status != 75 else status
    assert "1 of 12 candidates are stored" in errors
    assert not json.loads(optitrip(tmp_path, "show", "lab", "--json").stdout).get("failures")


@pytest.mark.daily
def test_a_loss_that_cannot_be_interrupted_ends_with_its_process(tmp_path: Path) -> None:
    """The next command evaluates in a process of its own, whose time limit holds."""
    folder = lab(tmp_path, "swallows")
    status, errors = stopped(folder, "--executor", "serial")
    assert status == 75
    assert "cannot be interrupted" in errors
    limit = ("--set", "failures.timeout_seconds=0.3", "--json")
    done = optitrip_process(folder, "sweep", "lab.toml", "--executor", "serial", *limit)
    answer = json.loads(done.stdout)
    assert (answer["items"], answer["failures"]) == (12, {"timeout": answer["failed"]})
    assert answer["failed"] > 2


@pytest.mark.daily
def test_max_seconds_holds_for_a_hung_loss(tmp_path: Path) -> None:
    """In this process, and in one of its own."""
    for lines in ([], ["[run]", 'executor = "serial"']):
        folder = tmp_path / str(len(lines))
        folder.mkdir()
        lab(folder, "hangs", *lines)
        isolate = ["--set", "objective.isolate=true"] if not lines else []
        started = time.monotonic()
        done = optitrip_process(folder, "sweep", "lab.toml", "--set", "stop.max_seconds=3", *isolate)
        assert done.returncode == 75
        assert "the limit in [stop] max_seconds" in done.stderr
        assert time.monotonic() - started < 60  # the loss sleeps for five minutes


@pytest.mark.daily
def test_a_crash_in_process_costs_one_more_try(tmp_path: Path) -> None:
    """The command dies with its loss; the next one evaluates in a process of its own, and records the candidate after
    one try there."""
    folder = lab(tmp_path, "crashes")
    done = optitrip_process(folder, "sweep", "lab.toml", "--executor", "serial")
    assert done.returncode == -signal.SIGSEGV
    done = optitrip_process(folder, "sweep", "lab.toml", "--executor", "serial", "--json")
    answer = json.loads(done.stdout)
    bad = {line for line in logged(folder) if float(line) > 0.8}
    assert answer["failures"] == {"died": len(bad)}
    assert "the last command crashed" in done.stderr
    assert all(logged(folder).count(line) <= 2 for line in bad)
    # What was evaluated in the fifth of a second before the crash was not stored.
    assert all(logged(folder).count(line) <= 2 for line in logged(folder))


@pytest.mark.daily
def test_isolated_losses_have_the_same_answer(tmp_path: Path) -> None:
    """To the bit, and what they print is shown."""
    folder = lab(tmp_path, "crashes")
    here = optitrip(folder, "sweep", "lab.toml", "--executor", "serial", "--json", "--set", "method.candidates=3")
    there = optitrip(
        folder, "sweep", "lab.toml", "--json", "--state-dir", "other", "--set", "method.candidates=3",
        "--set", "objective.isolate=true", "--workers", "2",
    )  # fmt: skip
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    one, other = (json.loads(done.stdout) for done in (here, there))
    assert one["best"]["loss"] == other["best"]["loss"]
    assert one["identity"] == other["identity"] if "identity" in one else one["sweep"] == other["sweep"]
