"""The scripts of `cluster/` with stand-ins for optitrip, Ray and Slurm: who is started how, and what is tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import OPTITRIP, ROOT

CLUSTER = ROOT / "cluster"
FINAL, RESUMED = (0, 1, 2, 3), (75, 130, 137, 139, 143)
"""Exit statuses of optitrip after which the same command would end the same way, and after which it goes on."""
CONFIG = '{"metadata": {"job_submission_id": "raysubmit_7"}}'
JOB = {
    "RAY_PORT": "6400",
    "SLURM_CPUS_PER_TASK": "16",
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURMD_NODENAME": "localhost",
    "HEAD_ADDRESS": "10.0.0.7",
}
ARRAY = {
    "SLURM_ARRAY_JOB_ID": "80",
    "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_TASK_MAX": "4",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_JOB_ID": "83",
}


class Place:
    """A folder with stand-ins for commands, each of which writes its arguments to a file and then does something."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)

    def stand_in(self, name: str, action: str) -> None:
        (self.bin / name).write_text(f'#!/bin/bash\necho "$@" >>"{self.folder}/{name}.calls"\n{action}\n')
        (self.bin / name).chmod(0o755)

    def calls(self, name: str) -> list[str]:
        file = self.folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []

    def start(self, script: str, *words: str, **environment: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))}
        path = f"{self.bin}:{Path(sys.executable).parent}:/usr/bin:/bin"
        variables = {**kept, "PATH": path, "SLURM_SUBMIT_DIR": str(self.folder), **environment}
        return subprocess.Popen(
            ["bash", CLUSTER / script, *words], cwd=self.folder, env=variables, text=True, stderr=subprocess.PIPE
        )

    def run(self, script: str, *words: str, **environment: str) -> tuple[int, str]:
        started = self.start(script, *words, **environment)
        _, said = started.communicate(timeout=60)
        return started.returncode, said

    def stop_when_called(self, script: subprocess.Popen[str], name: str, number: int) -> tuple[int, str]:
        """Send the script a signal as soon as a stand-in runs; returns its end."""
        while not (self.folder / "ready").exists():
            assert script.poll() is None
            time.sleep(0.02)
        script.send_signal(number)
        _, said = script.communicate(timeout=60)
        return script.returncode, said


SLOW = (
    'trap "echo stopped >>$PWD/stopped; sleep 0.3; exit 143" TERM; touch ready; for i in {1..500}; do sleep 0.02; done'
)
"""A stand-in that stops in order, a moment after SIGTERM."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.stand_in("ray", "")
    made.stand_in("scontrol", "")
    made.stand_in("sleep", 'exec /bin/sleep "$(awk "BEGIN { print ($1 > 1) ? 0.01 : $1 }")"')
    return made


@pytest.mark.parametrize("status", [*FINAL, *RESUMED])
def test_a_ray_job_that_would_end_the_same_way_is_stopped(place: Place, status: int) -> None:
    """A controller does not retry stopped jobs; all other statuses are passed on, which Ray takes for failures."""
    place.stand_in("optitrip", f"exit {status}")
    ended, said = place.run("ray_job.sh", "optitrip", "sweep", "a b.toml", RAY_JOB_CONFIG_JSON_ENV_VAR=CONFIG)
    assert (ended, place.calls("optitrip")) == (status, ["sweep a b.toml"])
    final = status in (1, 2, 3)
    assert place.calls("ray") == (["job stop --no-wait raysubmit_7"] if final else [])
    assert (f"exit status {status} of optitrip is final" in said) == final


def test_without_a_ray_job_the_status_is_passed_on(place: Place) -> None:
    """For trying the script by hand."""
    place.stand_in("optitrip", "exit 2")
    assert place.run("ray_job.sh", "optitrip")[0] == 2
    assert place.calls("ray") == []


def test_a_ray_job_that_is_stopped_waits_for_its_sweep(place: Place) -> None:
    """Ray signals all processes of a job at once; the entrypoint ends last."""
    place.stand_in("optitrip", SLOW)
    started = place.start("ray_job.sh", "optitrip", RAY_JOB_CONFIG_JSON_ENV_VAR=CONFIG)
    while not (place.folder / "ready").exists():
        time.sleep(0.02)
    started.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert started.poll() is None
    child = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()[0]
    os.kill(int(child), signal.SIGTERM)
    started.communicate(timeout=60)
    assert started.returncode == 143
    assert place.calls("ray") == []


@pytest.mark.parametrize("status", [*FINAL, *RESUMED])
def test_what_slurm_requeues(place: Place, status: int) -> None:
    """A job whose sweep can be resumed; a task of an array by both of its numbers."""
    place.stand_in("optitrip", f"exit {status}")
    # As `ray symmetric-run` on the head: run what follows `--`.
    place.stand_in("srun", 'while [ "$1" != -- ]; do shift; done; shift; "$@"')
    requeued = status in RESUMED
    assert place.run("slurm.sbatch", "a.toml", **JOB)[0] == status
    assert place.calls("scontrol") == (["requeue 77"] if requeued else [])
    assert place.run("slurm_array.sbatch", "a.toml", **ARRAY)[0] == status
    assert place.calls("scontrol") == (["requeue 77", "requeue 80_3"] if requeued else [])


def test_how_slurm_starts_a_sweep(place: Place) -> None:
    """On all nodes, with the same address for Ray and for optitrip, and a token that only the user can read."""
    place.stand_in("optitrip", 'stat -c %a "$RAY_AUTH_TOKEN_PATH"; wc -c <"$RAY_AUTH_TOKEN_PATH"; echo $RAY_AUTH_MODE')
    place.stand_in("srun", f'while [ "$1" != -- ]; do shift; done; shift; "$@" >"{place.folder}/said"')
    assert place.run("slurm.sbatch", "a.toml", "--set", "seed=3", **JOB) == (0, "")
    (call,) = place.calls("srun")
    assert call.startswith("--nodes=3 --ntasks=3 --ntasks-per-node=1 --cpus-per-task=16 --no-kill --wait=0 ")
    assert " ray symmetric-run --address=10.0.0.7:6400 --min-nodes=3 --num-cpus=16 --num-gpus=0 -- bash -c " in call
    assert place.calls("optitrip") == ["sweep a.toml --address 10.0.0.7:6400 --set seed=3"]
    assert (place.folder / "said").read_text().split() == ["600", "64", "token"]
    assert not (place.folder / ".optitrip-slurm" / "77").exists()


def test_a_ray_that_did_not_start_is_requeued(place: Place) -> None:
    """`ray symmetric-run` exits with 0 then, or with 1 as if there were no answer."""
    for status in (0, 1):
        place.stand_in("srun", f"exit {status}")
        assert place.run("slurm.sbatch", "a.toml", **JOB)[0] == 75
    assert place.calls("scontrol") == ["requeue 77"] * 2


def test_requeuing_has_a_limit(place: Place) -> None:
    """For what fails again and again."""
    place.stand_in("optitrip", "exit 75")
    place.stand_in("srun", 'while [ "$1" != -- ]; do shift; done; shift; "$@"')
    for restarts, limit, times in (("20", "20", 0), ("19", "20", 1), ("3", "3", 1)):
        given = {"SLURM_RESTART_COUNT": restarts, "MAX_RESTARTS": limit}
        assert place.run("slurm.sbatch", "a.toml", **JOB, **given)[0] == 75
        assert place.run("slurm_array.sbatch", "a.toml", **ARRAY, **given)[0] == 75
        assert len(place.calls("scontrol")) == 2 * times


def test_before_the_time_limit_a_sweep_is_stopped_in_order_and_requeued(place: Place) -> None:
    """Slurm sends SIGUSR1 to the script, which sends SIGTERM to optitrip and waits for it."""
    place.stand_in("optitrip", SLOW)
    place.stand_in("srun", 'while [ "$1" != -- ]; do shift; done; shift; "$@"')
    for script, given, name in (("slurm.sbatch", JOB, "77"), ("slurm_array.sbatch", ARRAY, "80_3")):
        started = place.start(script, "a.toml", **given)
        assert place.stop_when_called(started, "optitrip", signal.SIGUSR1)[0] == 143
        assert (place.folder / "stopped").read_text() == "stopped\n"
        assert place.calls("scontrol")[-1] == f"requeue {name}"
        for file in ("ready", "stopped"):
            (place.folder / file).unlink()


def test_a_part_of_an_array_needs_the_number_of_shards(place: Place) -> None:
    """Slurm's count is that of the tasks, so shard 3 of 2 would be evaluated, or shards would overlap."""
    place.stand_in("optitrip", "")
    part = {**ARRAY, "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "7", "SLURM_ARRAY_TASK_COUNT": "2"}
    status, said = place.run("slurm_array.sbatch", "a.toml", **part)
    assert (status, place.calls("optitrip"), place.calls("scontrol")) == (2, [], [])
    assert "give the number of all shards as SHARDS" in said
    assert place.run("slurm_array.sbatch", "a.toml", **part, SHARDS="16")[0] == 0
    assert place.calls("optitrip") == ["sweep a.toml --shard 3/16 --executor serial"]


def test_a_script_without_a_sweep_says_how_it_is_used(place: Place) -> None:
    """And starts nothing."""
    for script, given in (("slurm.sbatch", JOB), ("slurm_array.sbatch", ARRAY)):
        status, said = place.run(script, **given)
        assert status != 0
        assert "usage: sbatch" in said


@pytest.mark.daily
def test_shards_of_an_array_are_merged(place: Place) -> None:
    """As the script's own comment says, with optitrip itself: the answer is that of one sweep."""
    bowl = CLUSTER / "kuberay" / "sweep"
    for file in bowl.iterdir():
        (place.folder / file.name).write_text(file.read_text())
    (place.bin / "optitrip").write_text(
        f"#!/bin/sh\nexec {OPTITRIP[0]} -c 'from optitrip.cli.main import main; main()' \"$@\"\n"
    )
    (place.bin / "optitrip").chmod(0o755)
    few = ("--set", "method.candidates=1000", "--set", "tracking.use=none", "--json")
    for task in ("1", "2"):
        given = {**ARRAY, "SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MAX": "2"}
        assert place.run("slurm_array.sbatch", "bowl.toml", *few, **given)[0] == 0
    merge = subprocess.run(
        f'PATH="{place.bin}:$PATH"; optitrip merge .optitrip/shard-*-of-2', shell=True, cwd=place.folder,
        executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert merge.returncode == 0, merge.stderr
    assert "1,000" in merge.stdout


def test_secrets_are_random_and_private(tmp_path: Path) -> None:
    """Only the owner can read the file, and one that exists stays."""
    file = tmp_path / "secrets.env"
    for status in (0, 2):
        done = subprocess.run([CLUSTER / "make_secrets.sh", file], capture_output=True, text=True, check=False)
        assert done.returncode == status
        lines = dict(line.split("=") for line in file.read_text().splitlines())
        assert list(lines) == ["auth_token", "postgres_password", "s3_secret_key"]
    assert {len(value) for value in lines.values()} == {64}
    assert len(set(lines.values())) == 3
    assert file.stat().st_mode & 0o777 == 0o600
