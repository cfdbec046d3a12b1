"""Delivers later what MLflow has missed, and puts right the runs of commands that were killed."""

import re
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from optitrip.errors import StateError, Stopped
from optitrip.journal.facts import OpenRun, Outbox, RecordedRun, SweepFact
from optitrip.journal.journal import Journal, peek
from optitrip.runtime.files import LOOK_SECONDS, is_locked, lock_folder
from optitrip.runtime.interrupts import failure
from optitrip.store.state_dir import JOURNAL, check_trusted, matching
from optitrip.tracking.dead import dead_runs
from optitrip.tracking.location import store_file
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.record import ending_of, run_of
from optitrip.tracking.run import Run, TrackingClient
from optitrip.tracking.runs import delivering
from optitrip.tracking.secrets import without_password


def settle(root: Path, uri: str, client: TrackingClient | None = None) -> list[str]:
    """Put right the MLflow runs of commands in `root` that were killed or could not reach MLflow; return a line each.

    Those of commands that are still running, which hold the locks of their state directories, are left alone. If there
    is nothing to put right, MLflow is not imported. Nothing is raised, except interruptions.
    """
    lines: list[str] = []
    for path in matching(root, f"*/{JOURNAL}"):
        identity = identity_of(path.parent)
        mark = peek(path, identity, OpenRun) if identity else None
        if mark is None or (where := store_of(mark, uri)) is None:
            continue
        with ExitStack() as stack:
            try:
                check_trusted(path.parent)
                journal = stack.enter_context(delivery(path, identity))
            except (StateError, OSError):  # a command is at it, it is damaged, or cannot be written
                continue
            try:
                lines += settle_run(journal, identity, where, client or InProcessClient())
            except BaseException as error:
                failure(error)
                return lines  # MLflow cannot be reached; others would only wait for it again
    try:
        for run, last in dead_runs(uri):
            (client or InProcessClient()).kill(run, last)
            lines.append(f"a sweep of the experiment {run.experiment} was killed; its MLflow run is marked as killed")
    except BaseException as error:
        failure(error)
    return lines


def settle_run(journal: Journal, identity: str, uri: str, client: TrackingClient) -> list[str]:
    mark, record, label = journal.fact(OpenRun), journal.fact(Outbox), journal.path.parent.name
    if mark is None:  # another command was first
        return []
    if mark.ended and record is not None:
        send(journal, identity, record, uri, mark.experiment, client)
        return [f"the MLflow run of {label} was not complete; it is now"]
    last = journal.last_write() or 0
    client.kill(Run(uri, mark.experiment, label, journal.name, last, {}, {}), last)
    note_settled(journal.path, identity, record)
    return [f"the command that ran {label} was killed; its MLflow run is marked as killed"]


def send(
    journal: Journal, identity: str, record: Outbox, uri: str, experiment: str, client: TrackingClient
) -> RecordedRun:
    """Send a stored record; raise whatever MLflow raises."""
    run = run_of(record, uri, experiment, journal.name)
    recorded = RecordedRun(without_password(uri), experiment, client.begin(run))
    paths = [str((journal.path.parent / file).absolute()) for file in record.files]
    client.conclude(ending_of(record, paths, children=False))
    note_settled(journal.path, identity, record, recorded)
    return recorded


def note_settled(path: Path, identity: str, record: Outbox | None, *facts: SweepFact) -> None:
    """Store that a run is as it should be, unless a command runs the sweep, or did since: there is more to send."""
    with suppress(StateError, Stopped, OSError), ExitStack() as stack:
        stack.callback(lock_folder(path.parent).release)
        journal = stack.enter_context(closing(Journal(path, identity)))
        if journal.fact(Outbox) == record:
            journal.note(*facts)
            journal.forget(OpenRun)


@contextmanager
def delivery(path: Path, identity: str) -> Generator[Journal]:
    """Open the journal of a sweep to send what it holds, while no other command does, nor runs the sweep.

    A command that begins to run it meanwhile is not refused: only its own MLflow run begins later. Raises StateError if
    a command is at it, or the journal is damaged, OSError if the folder cannot be written.
    """
    with delivering(path.parent, LOOK_SECONDS):
        if is_locked(path.parent):
            raise StateError(f"{path.parent}: a command is running this sweep, and sends it to MLflow itself")
        with closing(Journal(path, identity, reading=True)) as journal:
            yield journal


def identity_of(folder: Path) -> str:
    """Return the identity in the name of a state directory, also of one that was set aside; else an empty text."""
    found = re.search(r"-([0-9a-f]{8})(?:\.old-\d+)?$", folder.name)
    return found[1] if found else ""


def store_of(mark: OpenRun, uri: str) -> str | None:
    """Return the URI of the store that a mark names; None if it is another one than ours, whose password is unknown."""
    if mark.uri == without_password(uri):
        return uri
    file = store_file(mark.uri)
    if file is None:
        return None
    return mark.uri if file.exists() else uri  # a folder that was moved has its store with it
