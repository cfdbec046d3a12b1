"""The job that runs a sweep: its command, its number, what is refused, and what is never sent."""

from __future__ import annotations

import json
import shlex

import pytest

from optitrip.errors import InputError
from optitrip.jobs.client import Job
from optitrip.jobs.submission import (
    ATTEMPT,
    IDENTITY,
    NAME,
    Commands,
    Submission,
    jobs_of,
    next_attempt,
    refusal,
    running,
    sent_uri,
    unsent,
    would_vanish,
)
from optitrip.tracking.secrets import without_password


def job(attempt: str = "1", status: str = "STOPPED", name: str = "a", identity: str = "12345678") -> Job:
    return Job(f"job-{attempt}", status, {NAME: name, IDENTITY: identity, ATTEMPT: attempt})


def test_the_command_is_quoted_for_the_shell() -> None:
    """What a user's file and overrides are called is never run."""
    odd = ("--set", "x=$(rm -rf /)", "--set", "name='; ls'")
    sent = Submission("a", "12345678", "my sweeps/a.toml", odd, "/mnt/a folder")
    words = shlex.split(sent.entrypoint)
    wanted = ["exec", "python", "-m", "optitrip", "sweep", "my sweeps/a.toml", "--state-dir", "/mnt/a folder", *odd]
    assert words == wanted


def test_a_folder_that_looks_like_an_option_is_none() -> None:
    assert shlex.split(Submission("a", "12345678", "-x/a.toml").entrypoint)[-1] == "./-x/a.toml"


def test_the_job_says_what_it_is() -> None:
    """By an id with name, identity and attempt, and the same as metadata, which are strings only."""
    found = Submission("a", "12345678", "a.toml", tracking_uri="http://mlflow:5000").job(3, "w.zip", "o.zip")
    assert found["submission_id"] == "optitrip-a-12345678-3"
    assert all(isinstance(value, str) for value in found["metadata"].values())
    assert found["runtime_env"] == {
        "working_dir": "gcs://w.zip",
        "py_modules": ["gcs://o.zip"],
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "30", "MLFLOW_TRACKING_URI": "http://mlflow:5000"},
    }
    json.dumps(found)


def test_attempts_are_counted_by_the_head_and_by_the_journal() -> None:
    """A new head knows none, and its ids may be used again; a journal that cannot be seen from here counts as none."""
    assert next_attempt([], 0) == 1
    assert next_attempt([job("1"), job("3"), job("x"), job("")], 0) == 4
    assert next_attempt([job("1")], 7) == 8


def test_a_running_sweep_is_not_submitted_again() -> None:
    """Of the same name and identity only; one that has ended is no obstacle."""
    commands = Commands("http://head:8265")
    others = [job("1"), job("2", "RUNNING", name="b"), job("3", "PENDING", identity="87654321")]
    mine = jobs_of(others, "a", "12345678")
    assert mine == others[:1]
    assert running(mine) is None
    for status in ("RUNNING", "PENDING"):
        assert running([*mine, active := job("4", status)]) == active
        assert "ray job stop --address http://head:8265 job-4" in str(refusal(active, commands))


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:hunter2@mlflow:5000",
        "http://hunter2@mlflow:5000",
        "postgresql://me:hunter2@db/mlflow",
        "https://mlflow/?token=hunter2",
    ],
)
def test_an_address_of_mlflow_with_a_secret_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="cluster") as raised:
        sent_uri({"MLFLOW_TRACKING_URI": uri}, without_password)
    assert "hunter2" not in str(raised.value)


def test_the_address_of_mlflow_is_sent_and_its_secrets_are_not() -> None:
    """A file of this machine is not sent: the cluster does not see it."""
    given = {"MLFLOW_TRACKING_URI": "https://mlflow:5000", "MLFLOW_TRACKING_TOKEN": "hunter2"}
    assert sent_uri(given, without_password) == "https://mlflow:5000"
    said = unsent(given, "https://mlflow:5000")
    assert said is not None
    assert "MLFLOW_TRACKING_TOKEN" in said
    assert "hunter2" not in said
    for uri in ("", "sqlite:////home/me/mlflow.db", "file:///home/me/mlruns", "./mlruns"):
        assert sent_uri({"MLFLOW_TRACKING_URI": uri}, without_password) is None
    assert unsent(given, None) is None


@pytest.mark.parametrize("state_dir", [None, "", "results", "./x", ".", "x..y"])
def test_results_that_would_vanish_are_told(state_dir: str | None) -> None:
    said = would_vanish(state_dir)
    assert said is not None
    assert "--state-dir" in said
    assert would_vanish("/mnt/shared/optitrip") is None
