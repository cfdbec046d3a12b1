"""Fetches the result files of a sweep from a Ray cluster."""

import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from optitrip.app.submit import identity_of, upload
from optitrip.errors import InputError, Stopped
from optitrip.jobs.client import Job, JobsClient
from optitrip.jobs.follow import LOST
from optitrip.jobs.package import own_files
from optitrip.jobs.submission import IDENTITY, NAME, STATE_DIR, runtime_env
from optitrip.jobs.transfer import Received, received
from optitrip.runtime.files import make_private, write_atomically
from optitrip.store import STATE_ROOT
from optitrip.store.lookup import read_any_draft

POLL_SECONDS = 0.5
LIMIT_SECONDS = 300.0
"""Seconds that the job that reads the files may take; it may have to wait for a place."""


@dataclass(frozen=True)
class Wanted:
    """A sweep on the cluster, and where it is stored there."""

    sweep: str
    state_dir: str
    working_dir: str | None
    """Package of the job whose working directory a relative `state_dir` is in; None for an absolute one."""


def fetch(sweep: str, state_dir: str | None, output: Path | None, client: JobsClient) -> tuple[Path, Received]:
    """Write the result files of a sweep into a folder, by default one of its label; return the folder, and the files.

    `state_dir` is the folder of state directories as the nodes see it, by default that of the latest job of the sweep.
    """
    client.connect()
    found = received(log_of(wanted(sweep, state_dir, client.jobs()), client))
    folder = output if output is not None else Path(found.label)
    try:
        make_private(folder)
        for name, data in found.files.items():
            write_atomically(folder / name, data)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from None
    return folder, found


def wanted(sweep: str, state_dir: str | None, jobs: list[Job]) -> Wanted:
    """Return the sweep of this file, name, identity, label or job, as its latest job stored it."""
    words = [sweep]
    if Path(sweep).suffix == ".toml" and Path(sweep).is_file():
        draft = read_any_draft(Path(sweep), ())
        words = [f"{draft.name}-{identity_of(draft, STATE_ROOT)}", draft.name]
    for word in words:
        matching = [job for job in jobs if NAME in job.metadata and word in names_of(job)]
        if matching:
            job = max(matching, key=lambda job: job.started)
            place = state_dir or job.metadata.get(STATE_DIR) or str(STATE_ROOT)
            package = str(job.runtime_env.get("working_dir") or "").removeprefix("gcs://")
            label = f"{job.metadata[NAME]}-{job.metadata.get(IDENTITY, '')}"
            return Wanted(label, place, None if PurePosixPath(place).is_absolute() else package or None)
    if state_dir is None:
        known = sorted({f"{job.metadata[NAME]}" for job in jobs if NAME in job.metadata})
        raise InputError(
            f"the head knows no job of a sweep {sweep!r:.80} (it knows {', '.join(known[:10]) or 'none'}); after a new "
            "head has started, give --state-dir as it was given to `optitrip submit`"
        )
    return Wanted(words[0], state_dir, None)


def names_of(job: Job) -> set[str]:
    name, identity = job.metadata[NAME], job.metadata.get(IDENTITY, "")
    return {job.id, name, identity, f"{name}-{identity}"}


def log_of(want: Wanted, client: JobsClient, sleep: Callable[[float], None] = time.sleep) -> str:
    """Run the job that prints the files of a sweep; return its log."""
    name = f"optitrip-fetch-{secrets.token_hex(6)}"
    words = ["python", "-m", "optitrip.jobs.transfer", want.state_dir, want.sweep]
    client.submit(
        {
            "submission_id": name,
            "entrypoint": f"exec {shlex.join(words)}",
            "metadata": {"optitrip.fetch": want.sweep},
            "runtime_env": runtime_env(want.working_dir, upload(client, own_files())),
        }
    )
    for _ in range(round(LIMIT_SECONDS / POLL_SECONDS)):
        job = client.job(name)
        if job is not None and not job.active:
            if job.exit_code is None:
                reason = job.message.strip().splitlines() or ["without a reason"]
                error = Stopped if job.error_type == LOST else InputError
                raise error(f"the job that reads the files did not run: {reason[-1]:.300}")
            return client.log(name)  # the job stays in the list: Ray 2.60 would list a deleted one as failed
        sleep(POLL_SECONDS)
    raise Stopped(f"the job {name}, which reads the files, has not ended in {LIMIT_SECONDS:g} s; fetch again later")
