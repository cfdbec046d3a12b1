"""Describes the job that runs a sweep: its id, its command, what is stored beside it, and what its nodes get."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import optitrip
from optitrip.errors import InputError, StateError
from optitrip.jobs.client import Job
from optitrip.runtime.ray_job import vanishes

STOP_SECONDS = 30
"""Seconds between the signal to stop and the kill; Ray's own 3 are too few for running slices and MLflow."""
NAME, IDENTITY, FILE, VERSION, ATTEMPT, STATE_DIR = (
    f"optitrip.{key}" for key in ("sweep", "identity", "file", "version", "attempt", "state_dir")
)
"""Keys of a job's metadata."""
SECRETS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables that are not sent."""
NAME_ONE = "name a folder that outlives the cluster, and that all nodes see, with --state-dir"


@dataclass(frozen=True)
class Commands:
    """Ray's own command lines for a job."""

    url: str

    def logs(self, id: str) -> str:
        return f"ray job logs --follow --address {self.url} {id}"

    def stop(self, id: str) -> str:
        return f"ray job stop --address {self.url} {id}"

    def status(self, id: str) -> str:
        return f"ray job status --address {self.url} {id}"


@dataclass(frozen=True)
class Submission:
    """A sweep, and how a job runs it."""

    name: str
    identity: str
    file: str
    """Path of the sweep file in the job's working directory."""
    options: tuple[str, ...] = ()
    """Options of `optitrip sweep`, with the overrides."""
    state_dir: str | None = None
    """Folder of state directories as the nodes see it; None for the job's working directory."""
    tracking_uri: str | None = None

    @property
    def entrypoint(self) -> str:
        """Command line, for a shell."""
        where = ["--state-dir", self.state_dir] if self.state_dir else []
        file = f"./{self.file}" if self.file.startswith("-") else self.file
        # `exec`, so that the exit status is the sweep's and a signal comes once.
        return f"exec {shlex.join(['python', '-m', 'optitrip', 'sweep', file, *where, *self.options])}"

    def job(self, attempt: int, working_dir: str, own: str) -> dict[str, Any]:
        """Return what the Jobs API wants, with the names of two packages: of the sweep, and of optitrip."""
        metadata = {
            NAME: self.name,
            IDENTITY: self.identity,
            FILE: self.file,
            VERSION: optitrip.__version__,
            ATTEMPT: str(attempt),
            **({STATE_DIR: self.state_dir} if self.state_dir else {}),
        }
        return {
            "submission_id": f"optitrip-{self.name}-{self.identity}-{attempt}",
            "entrypoint": self.entrypoint,
            "metadata": metadata,
            "runtime_env": runtime_env(working_dir, own, self.tracking_uri),
        }


def runtime_env(working_dir: str | None, own: str, tracking_uri: str | None = None) -> dict[str, Any]:
    """Return the environment of a job. `ray job list`, the Jobs API and logs show it: no secret may be in it."""
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
    if tracking_uri:
        variables["MLFLOW_TRACKING_URI"] = tracking_uri
    place = {"working_dir": f"gcs://{working_dir}"} if working_dir else {}
    return {**place, "py_modules": [f"gcs://{own}"], "env_vars": variables}


def jobs_of(jobs: Iterable[Job], name: str, identity: str) -> list[Job]:
    """Return the jobs of a sweep."""
    return [job for job in jobs if job.metadata.get(NAME) == name and job.metadata.get(IDENTITY) == identity]


def next_attempt(before: Sequence[Job], opened: int) -> int:
    """Return the number of the next attempt at a sweep.

    `opened` is how often its journal was opened, where that can be seen: a new head does not know earlier jobs. Ids
    that were ever used cannot be used again, also those of jobs that were stopped.
    """
    numbers = [job.metadata.get(ATTEMPT, "") for job in before]
    return 1 + max([opened, *(int(number) for number in numbers if re.fullmatch(r"\d{1,9}", number))])


def running(jobs: Iterable[Job]) -> Job | None:
    """Return the latest of some jobs that has not ended."""
    return max((job for job in jobs if job.active), key=lambda job: job.started, default=None)


def refusal(job: Job, commands: Commands) -> StateError:
    """Return the error for a sweep that a job runs already."""
    return StateError(
        f"{job.id} runs this sweep already ({job.status.lower()}); follow it with `{commands.logs(job.id)}`, "
        f"or stop it with `{commands.stop(job.id)}` and submit again: it resumes"
    )


def sent_uri(environment: Mapping[str, str], hide: Callable[[str], str]) -> str | None:
    """Return the address of MLflow's server if the job needs it; raise InputError if it holds a secret.

    A file of this machine is not there on the cluster. `hide` returns a URI without its secrets.
    """
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    if "://" not in uri or uri.startswith(("sqlite:", "file:")):
        return None
    if (shown := hide(uri)) != uri:
        raise InputError(
            f"MLFLOW_TRACKING_URI, {shown}, holds a secret, which all who may list the jobs could read; set it where "
            "the cluster's nodes start, and unset it here"
        )
    return uri


def unsent(environment: Mapping[str, str], uri: str | None) -> str | None:
    """Return a message about secrets of MLflow that are set here and are not sent."""
    found = [name for name in SECRETS if environment.get(name)] if uri else []
    return f"{' and '.join(found)} not sent: set it where the cluster's nodes start" if found else None


def would_vanish(state_dir: str | None) -> str | None:
    """Return a warning if what the sweep stores would go with the job's working directory.

    Raise InputError for another place in Ray's session folder: others may write there, so the sweep would refuse it.
    """
    place = PurePosixPath(state_dir or ".")
    if vanishes(Path(place)) if place.is_absolute() else ".." in place.parts:
        raise InputError(f"--state-dir {state_dir}: is in Ray's session folder, where others may write; {NAME_ONE}")
    if place.is_absolute():
        return None
    return (
        "the journal and the results are stored in the job's working directory, which vanishes with the cluster, and "
        f"when a file of the sweep changes; {NAME_ONE}"
    )
