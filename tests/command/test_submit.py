"""`optitrip submit` and `optitrip fetch`: with a stand-in of a head, and once a day with a real one."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from command import ROOT, optitrip
from optitrip.jobs import transfer
from stand_in_head import Head, stand_in_head

SWEEP = """
[objective]
loss = "bowl:loss"

[space]
x = { uniform = [0, 1] }

[method]
use = "search"
candidates = 9
"""


@pytest.fixture
def head() -> Iterator[Head]:
    with stand_in_head() as head:
        yield head


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bowl.toml").write_text(SWEEP)
    (tmp_path / "bowl.py").write_text("def loss(x):\n    return x * x\n")
    (tmp_path / "diary.txt").write_text("mine")
    return tmp_path


def submit(folder: Path, head: Head, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return optitrip(folder, "submit", "bowl.toml", "--address", head.url, *words, **variables)


def unpacked(head: Head, job: dict[str, Any], key: str) -> dict[str, bytes]:
    """The files of a job's working directory or of its modules."""
    uris = job["runtime_env"][key]
    uri = uris if isinstance(uris, str) else uris[0]
    with ZipFile(io.BytesIO(head.packages[uri.removeprefix("gcs://")])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_sweep_is_submitted_once_and_again_when_it_has_ended(folder: Path, head: Head) -> None:
    """Only the id is on stdout; while the job runs another is refused; the next one has the next number."""
    first = submit(folder, head, "--state-dir", "/mnt/shared", "--workers", "3", "--set", "seed=4")
    assert first.returncode == 0, first.stderr
    job = head.jobs[first.stdout.strip()]
    assert re.fullmatch(r"optitrip-bowl-[0-9a-f]{8}-1", job["submission_id"])
    words = "exec python -m optitrip sweep bowl.toml --state-dir /mnt/shared --set seed=4 --set run.workers=3"
    assert job["entrypoint"] == words
    assert unpacked(head, job, "working_dir").keys() == {"bowl.toml", "bowl.py"}
    assert "optitrip/cli/main.py" in unpacked(head, job, "py_modules")
    assert "runs this sweep" not in first.stderr
    for line, verb in zip(first.stderr.splitlines(), ["logs", "status", "stop"], strict=True):
        assert shlex.split(line)[:3] == ["ray", "job", verb]
        assert line.endswith(job["submission_id"])

    again = submit(folder, head, "--state-dir", "/mnt/shared", "--set", "seed=4")
    assert (again.returncode, again.stdout) == (2, "")
    assert f"{job['submission_id']} runs this sweep already" in again.stderr
    assert submit(folder, head, "--state-dir", "/mnt/shared").returncode == 0  # another seed is another sweep

    job["status"] = "STOPPED"
    sent = len(head.packages)
    second = submit(folder, head, "--state-dir", "/mnt/shared", "--set", "seed=4")
    assert second.stdout.strip() == job["submission_id"][:-1] + "2"
    assert len(head.packages) == sent


def test_no_secret_is_sent(folder: Path, head: Head) -> None:
    """Neither in MLflow's address, nor in its variables, nor in options; and none is repeated."""
    refused = [
        submit(folder, head, MLFLOW_TRACKING_URI="http://me:hunter2@mlflow:5000"),
        submit(folder, head, "--set", 'objective.arguments.db="postgresql://me:hunter2@db/x"'),
        submit(folder, head, "--set", "objective.arguments.api_key=hunter2"),
        submit(folder, head, "--", "--mirror", "s3://me:hunter2@bucket/x"),
        optitrip(folder, "submit", "bowl.toml", "--address", head.url.replace("//", "//me:hunter2@")),
    ]
    assert [done.returncode for done in refused] == [2] * 5
    assert "hunter2" not in "".join(done.stdout + done.stderr for done in refused)
    assert head.requests == []
    variables = {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "MLFLOW_TRACKING_TOKEN": "hunter2"}
    done = submit(folder, head, "--state-dir", "/mnt/shared", **variables)
    assert "MLFLOW_TRACKING_TOKEN not sent" in done.stderr
    job = head.jobs[done.stdout.strip()]
    assert job["runtime_env"]["env_vars"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert "hunter2" not in json.dumps(job)


@pytest.mark.parametrize(
    "words", [["x.toml"], ["--", "x"], ["--", "--address=h"], ["--", "--fresh", "--state-dir", "x"]]
)
def test_options_of_the_sweep_come_after_the_dashes(folder: Path, head: Head, words: list[str]) -> None:
    """Those that `submit` has itself come before them."""
    done = submit(folder, head, *words)
    assert (done.returncode, head.requests) == (2, [])
    assert "after --" in done.stderr
    done = submit(folder, head, "--", "--accept-changes", "--shard", "1/2")
    assert head.jobs[done.stdout.strip()]["entrypoint"].endswith("bowl.toml --accept-changes --shard 1/2")


def test_results_that_would_vanish_are_told(folder: Path, head: Head) -> None:
    """Once, when the sweep is submitted; the job says it, too."""
    done = submit(folder, head)
    assert (done.returncode, "vanishes with the cluster" in done.stderr) == (0, True)


@pytest.mark.parametrize("place", ["/tmp/ray/session_latest/x", "../x", "a/../../x"])
def test_a_place_that_the_job_would_refuse_is_refused_here(folder: Path, head: Head, place: str) -> None:
    """Nobody is asked: the job would end at once, on the cluster, where it is seen late."""
    done = submit(folder, head, "--state-dir", place)
    assert (done.returncode, done.stdout, head.requests) == (2, "", [])
    assert "name a folder that outlives the cluster" in done.stderr


JOB = json.dumps({"metadata": {"job_submission_id": "raysubmit_1"}})


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_what_a_job_warns_of(folder: Path) -> None:
    """A sweep that runs in Ray's session folder, e.g. by a plain `ray job submit`, stores there what ends with it.

    Ray lets everyone write to that folder, and runs the job's code from it. Where a process is no job, where the state
    lies elsewhere in that folder, or is itself open to all, it is refused.
    """
    session = folder / "session_2026-11-27_07-41-10_123456_789"
    place = session / "_ray_pkg_1"
    place.mkdir(parents=True)
    for name in ("bowl.toml", "bowl.py"):
        (folder / name).rename(place / name)
    (place / "link").symlink_to(session)
    for path in (session, place):
        path.chmod(0o777)
    words = ("sweep", "bowl.toml", "--executor", "serial", "--set", "tracking.use=none")
    for more in ([], ["--state-dir", "."]):
        done = optitrip(place, *words, *more, RAY_JOB_CONFIG_JSON_ENV_VAR=JOB)
        assert done.returncode == 0, done.stderr
        assert f"{place / '' if more else place / '.optitrip'} would vanish with this Ray cluster" in done.stderr
    assert (place / ".optitrip").stat().st_mode & 0o777 == 0o700

    refused = [optitrip(place, *words, RAY_JOB_CONFIG_JSON_ENV_VAR="{}")]
    for elsewhere in ("..", str(session / "x"), "link", "link/x"):
        done = optitrip(place, *words, "--state-dir", elsewhere, RAY_JOB_CONFIG_JSON_ENV_VAR=JOB)
        refused.append(done)
    (place / ".optitrip").chmod(0o777)
    refused.append(optitrip(place, *words, RAY_JOB_CONFIG_JSON_ENV_VAR=JOB))
    for done in refused:
        assert (done.returncode, "can be written by everyone" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(("code", "status"), [(0, 0), (3, 3), (75, 75), (-9, 137)])
def test_following_ends_as_the_sweep_does(folder: Path, head: Head, code: int, status: int) -> None:
    """With what the job printed on stdout, after its id."""

    def ends(job: dict[str, Any]) -> None:
        job |= {"status": "FAILED" if code else "SUCCEEDED", "driver_exit_code": code}
        head.logs[job["submission_id"]] = "evaluating\nloss 1.5 \x1b[31m\n"

    head.begins = ends
    done = submit(folder, head, "--state-dir", "/mnt/shared", "--follow")
    assert done.returncode == status
    name, *lines = done.stdout.splitlines()
    assert name in head.jobs
    assert lines == ["evaluating", r"loss 1.5 \x1b[31m"]
    assert [line.split()[2] for line in done.stderr.splitlines()[:3]] == ["logs", "status", "stop"]


def test_a_sweep_that_runs_is_followed(folder: Path, head: Head) -> None:
    """To its end, without a second job; also if somebody else submits it in the same moment."""
    first = submit(folder, head, "--state-dir", "/mnt/shared").stdout.strip()
    job = head.jobs[first]
    job["status"] = "RUNNING"

    def end() -> None:
        job.update({"status": "FAILED", "driver_exit_code": 3})

    head.logs[first] = "evaluating\n"
    head.asked = lambda path: end() if path.endswith("/logs") else None
    done = submit(folder, head, "--state-dir", "/mnt/shared", "--workers", "7", "--follow")
    assert (done.returncode, done.stdout.splitlines()) == (3, [first, "evaluating"]), done.stderr
    assert f"{first} runs this sweep already" in done.stderr
    assert f"ray job stop --address {head.url} {first}" in done.stderr
    assert list(head.jobs) == [first]

    def faster(path: str) -> None:
        if path.startswith("/api/packages/") and len(head.jobs) == 1:
            head.submitted({**job, "submission_id": first[:-1] + "2"})

    head.asked = faster
    refused = submit(folder, head, "--state-dir", "/mnt/shared")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{first[:-1]}2 runs this sweep already" in refused.stderr
    assert len(head.jobs) == 2


def test_nobody_is_there(folder: Path, head: Head) -> None:
    """In one line, without a traceback, with the status that says to try again, also for a head that is not ready; and
    a file that is wrong is told before anybody is asked."""
    for words in (["submit", "bowl.toml"], ["submit", "bowl.toml", "--follow"], ["fetch", "bowl"]):
        done = optitrip(folder, *words, "--address", "127.0.0.1:1")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1)
    for status in (429, 503):
        head.answers = {"GET /api/jobs/": (status, b"busy")}
        assert submit(folder, head).returncode == 75
    head.answers = {"GET /api/jobs/": (404, b"")}
    assert submit(folder, head).returncode == 2
    (folder / "bowl.toml").write_text("[objective]]")
    assert "bowl.toml:1" in optitrip(folder, "submit", "bowl.toml", "--address", "127.0.0.1:1").stderr


def test_files_are_fetched_by_any_name(folder: Path, head: Head) -> None:
    """Of the file, the name, the identity or the job; where the latest job stored them.

    A head that knows no job of the sweep goes on counting by the journal, which was opened once.
    """
    state = folder / "state"
    words = ["--state-dir", str(state)]
    optitrip(folder, "sweep", "bowl.toml", *words, "--executor", "serial", "--set", "tracking.use=none")
    (stored,) = state.iterdir()

    def runs(job: dict[str, Any]) -> None:
        if job["submission_id"].startswith("optitrip-fetch-"):
            root, sweep = shlex.split(job["entrypoint"])[-2:]
            job |= {"status": "SUCCEEDED", "driver_exit_code": 0}
            head.logs[job["submission_id"]] = "\n".join(["Running entrypoint", *transfer.sent(Path(root), sweep)])

    head.begins = runs
    job = submit(folder, head, *words).stdout.strip()
    assert job.endswith("-2")
    for number, name in enumerate(["bowl.toml", "bowl", stored.name, stored.name.rpartition("-")[2], job]):
        done = optitrip(folder, "fetch", name, "--address", head.url, "-o", f"fetched-{number}")
        assert done.returncode == 0, done.stderr
        assert f"fetched-{number}/best.npz" in done.stdout.split()
        assert (folder / f"fetched-{number}" / "best.npz").read_bytes() == (stored / "best.npz").read_bytes()
    done = optitrip(folder, "fetch", "cup", "--address", head.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "it knows bowl" in done.stderr
    done = optitrip(folder, "fetch", "bowl", "--address", head.url, *words)  # as after a new head
    assert (folder / stored.name / "result.json").exists()


DIGITS = """
[objective]
loss = "slow_digits:Digits"

[objective.arguments]
data = "digits"

[space]
W = { shape = [10, 65], normal = [0, 0.03] }

[method]
use = "search"
candidates = 20_000
"""
SLOW_DIGITS = """
from optitrip.objectives import Softmax

from waiting import wait


class Digits(Softmax):
    def losses(self, W):
        wait()
        return super().losses(W)
"""
WAITING = """
import os
import time


def wait():
    if "HURRY" not in os.environ:
        time.sleep(0.1)
"""
LIFE = ROOT / "tests" / "support" / "local_head.py"


@pytest.mark.daily
@pytest.mark.timeout(900)
def test_the_life_of_a_sweep_on_a_real_head(tmp_path: Path, store: Path) -> None:
    """Submitted, stopped, submitted again, followed and fetched: with the bits of the serial run on this machine."""
    if importlib.util.find_spec("aiohttp_cors") is None:
        pytest.skip("needs a Ray with the Jobs API: uv run --isolated --extra cluster pytest -m daily tests/command")
    for name, text in {"digits.toml": DIGITS, "slow_digits.py": SLOW_DIGITS, "waiting.py": WAITING}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "mlflow.db").write_bytes(store.read_bytes())
    words = [sys.executable, str(LIFE), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    if "skipped" in told:
        pytest.skip(told["skipped"])

    for key in ("no token", "wrong token", "while it runs"):
        status, out, err = told[key]
        assert (status, out, err.count("\n")) == (2, "", 1), told[key]
    assert "token" in told["no token"][2]
    assert "token" in told["wrong token"][2]
    first, second = told["first"][1].strip(), told["second"][1].splitlines()[0]
    assert (first[-2:], second[-2:]) == ("-1", "-2")
    assert (told["stop"], told["stopped"]) == (0, "STOPPED")
    assert "The same command resumes" in told["log"], told["log"]
    assert told["second"][0] == 0, told["second"]
    assert "resuming" in told["second"][1]
    assert told["failing"][0] == 2, told["failing"]
    assert "absent" in told["failing"][1]
    assert told["without a folder"][0] == 0, told["without a folder"]
    assert "would vanish with this Ray cluster" in told["without a folder"][1]
    assert "a-token-of-the-tests" not in json.dumps(told["jobs"])

    assert told["fetched"][0] == 0, told["fetched"]
    serial = optitrip(tmp_path, "sweep", "digits.toml", "--executor", "serial", "--set", "tracking.use=none", HURRY="1")
    assert serial.returncode == 0
    (here,) = (tmp_path / ".optitrip").iterdir()
    for name in ("best.npz", "candidates.parquet"):
        assert (tmp_path / "fetched" / name).read_bytes() == (here / name).read_bytes()
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        tags = database.execute("SELECT value FROM tags WHERE key = 'optitrip.ray_job_id'").fetchall()
    assert tags == [(second,)]
