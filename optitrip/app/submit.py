"""Submits a sweep as a job of a Ray cluster, with the modules and files that it needs."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from optitrip.config.overrides import parsed, resolved
from optitrip.config.sweep import Draft
from optitrip.errors import InputError
from optitrip.jobs.client import Job, JobsClient
from optitrip.jobs.package import own_files, package_name, zip_bytes
from optitrip.jobs.submission import (
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
from optitrip.jobs.working_dir import working_dir
from optitrip.journal.facts import Epoch
from optitrip.runtime.files import digest
from optitrip.store import STATE_ROOT
from optitrip.store.lookup import read_any_draft, resolve
from optitrip.store.state_dir import peek_fact
from optitrip.tracking.secrets import without_password

OWN = ("--address", "--set", "--state-dir", "--workers")
"""Options of `optitrip sweep` that are also options of `optitrip submit`."""
SHOWN = "holds a secret, and all who may list the jobs can read a job's command line"
SECRET = re.compile(r"(?i)(passw(or)?d|secret|api_?key|access_?key|token|credentials?)$")
"""Ends of keys whose text nobody else should read."""


def submit(
    file: Path,
    overrides: Sequence[str],
    options: Sequence[str],
    state_dir: str | None,
    client: JobsClient,
    say: Callable[[str], None],
    *,
    attach: bool = False,
) -> str:
    """Submit a sweep; return the id of the job.

    `options` are further ones of `optitrip sweep`. With `attach`, a job that runs the sweep already is the one that is
    returned; otherwise that raises StateError. Raise InputError if something cannot be sent.
    """
    check_options(options)
    draft = read_any_draft(file, overrides)
    for given in (*draft.overrides, state_dir or ""):
        check_shown(given)
    for option in draft.overrides:
        check_override(option)
    vanishing = would_vanish(state_dir)
    uri = sent_uri(os.environ, without_password) if draft.tracking.use != "none" else None
    root = Path(state_dir) if state_dir else STATE_ROOT
    identity = identity_of(draft, root)
    client.connect()
    before = jobs_of(client.jobs(), draft.name, identity)
    if job := running(before):
        return attached(job, client, say, attach=attach)
    found = working_dir(draft)
    for note in (*found.notes, unsent(os.environ, uri), vanishing):
        if note:
            say(note)
    words = [word for option in draft.overrides for word in ("--set", option)]
    submission = Submission(draft.name, identity, found.file, (*words, *options), state_dir, uri)
    opened = peek_fact(root / f"{draft.name}-{identity}", Epoch) if state_dir else None
    attempt = next_attempt(before, opened.number if opened else 0)
    sent = submission.job(attempt, upload(client, found.files), upload(client, own_files()))
    try:
        client.submit(sent)
    except InputError:  # perhaps its id was just used, by another one who submits the sweep
        if job := running(jobs_of(client.jobs(), draft.name, identity)):
            return attached(job, client, say, attach=attach)
        raise
    return sent["submission_id"]


def attached(job: Job, client: JobsClient, say: Callable[[str], None], *, attach: bool) -> str:
    """Return the id of a job that runs the sweep already, with a message; raise StateError without `attach`."""
    if not attach:
        raise refusal(job, Commands(client.url))
    say(f"{job.id} runs this sweep already, with the options that it was submitted with; following it")
    return job.id


def check_options(options: Sequence[str]) -> None:
    """Raise InputError if these cannot be further options of `optitrip sweep`."""
    for place, given in enumerate(options):
        check_shown(given)
        if (place == 0 and not given.startswith("-")) or given.partition("=")[0] in OWN:
            raise InputError(f"{given}: wanted options of `optitrip sweep` after --; {', '.join(OWN)} go before")


def check_shown(given: str) -> None:
    """Raise InputError if a word of the command line holds a secret."""
    if (shown := without_password(given)) != given:
        raise InputError(f"{shown}: {SHOWN}")


def check_override(option: str) -> None:
    """Raise InputError if an override sets a text that is called a secret."""
    path, value, _ = parsed(option)
    if isinstance(value, str) and SECRET.search(path[-1]):
        raise InputError(f"--set {'.'.join(path)}: {SHOWN}; in the sweep file itself they cannot")


def upload(client: JobsClient, files: Mapping[str, bytes]) -> str:
    """Send some files unless the head has them; return the name of their package."""
    name = package_name(files)
    if not client.has_package(name):
        client.upload(name, zip_bytes(files))
    return name


def identity_of(draft: Draft, root: Path) -> str:
    """Return the identity of the sweep; if it starts at the result of another one that is not stored here, a hash of
    its text, which tells attempts at it from those at other sweeps as well."""
    try:
        return resolve(draft, root).identity
    except InputError:
        at = draft.spec.start(draft.method)
        if at is None or at.best_of is None:
            raise
        return digest(resolved(draft.text, draft.overrides, draft.name).encode()).split()[1][:8]
