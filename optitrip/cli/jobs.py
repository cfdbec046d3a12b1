"""Submits sweeps to a Ray cluster for a command, follows their jobs, and fetches their files."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from optitrip.app import fetch as fetching
from optitrip.app import submit as submitting
from optitrip.cli.main import say
from optitrip.cli.statuses import FINISHED
from optitrip.jobs.access import base_url, token
from optitrip.jobs.client import JobsClient
from optitrip.jobs.follow import Follower
from optitrip.jobs.submission import Commands
from optitrip.output.text import plain


def tell(*lines: str) -> None:
    """Print messages on stderr."""
    say(*lines, file=sys.stderr)


def run_submit(
    file: Path, overrides: Sequence[str], options: Sequence[str], address: str, state_dir: str | None, *, follow: bool
) -> int:
    """Submit a sweep and print the id of its job on stdout; with `follow`, also what the job prints, be it a new one or
    one that runs the sweep already, and return the exit status of the sweep."""
    client = JobsClient(base_url(address), token())
    job = submitting.submit(file, overrides, options, state_dir, client, tell, attach=follow)
    say(job)
    sys.stdout.flush()
    commands = Commands(client.url)
    tell(commands.logs(job), commands.status(job), commands.stop(job))
    if not follow:
        return FINISHED
    try:
        return Follower(client, job, show, tell, time.monotonic, time.sleep).status()
    except KeyboardInterrupt:
        tell(f"{job} goes on; follow it with `{commands.logs(job)}`, stop it with `{commands.stop(job)}`")
        raise


def show(text: str) -> None:
    """Print lines of a job."""
    print(plain(text), end="", flush=True)


def run_fetch(sweep: str, address: str, state_dir: str | None, output: Path | None) -> None:
    """Fetch the files of a sweep and print their paths."""
    folder, found = fetching.fetch(sweep, state_dir, output, JobsClient(base_url(address), token()))
    say(*(str(folder / name) for name in sorted(found.files)))
    for note in found.notes:
        tell(note)
