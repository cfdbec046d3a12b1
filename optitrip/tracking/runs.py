"""Starts and finishes the MLflow run of a sweep."""

import getpass
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import optitrip
from optitrip.config.sweep import Sweep
from optitrip.core.differences import flat
from optitrip.core.notice import warning
from optitrip.core.observer import Observer
from optitrip.errors import Stopped
from optitrip.jobs.session_folder import submission_id
from optitrip.journal.facts import Commands, Delivered, OpenRun, Outbox, RecordedRun
from optitrip.journal.journal import Journal
from optitrip.output.outcome import Outcome
from optitrip.runtime.interrupts import failure
from optitrip.store.state_dir import StateDir
from optitrip.tracking.dead import PROCESS, this_process
from optitrip.tracking.description import Describer, run_name
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.names import VALUE_LENGTH, encodable, keys_of
from optitrip.tracking.observer import MlflowObserver
from optitrip.tracking.record import ending_of, record_of, run_of
from optitrip.tracking.run import Run, TrackingClient
from optitrip.tracking.secrets import redacted, without_password

T = TypeVar("T")


def track(
    sweep: Sweep,
    state: StateDir,
    uri: str,
    client: TrackingClient | None,
    commands: Commands,
    observer: Observer,
    folder: Path,
) -> MlflowObserver | None:
    """Start the MLflow run of this sweep, unless the file turns tracking off or the store is complete already; `folder`
    is the working directory of the command."""
    journal, experiment = state.journal, sweep.tracking.experiment
    delivered = Delivered(sweep.items, without_password(uri), experiment)
    if sweep.tracking.use == "none" or (commands.began is None and journal.fact(Delivered) == delivered):
        return None

    def start() -> MlflowObserver:
        describer, name = Describer(sweep, state, uri, folder), journal.name

        def run() -> Run:
            tags = tags_of(sweep) | describer.tags() | {"mlflow.note.content": describer.running()}
            return Run(uri, experiment, run_name(sweep), name, commands.started, params_of(sweep), tags)

        with suppress(Stopped):  # if the journal cannot be written
            journal.note(OpenRun(without_password(uri), experiment, ended=False))
        return MlflowObserver(client or InProcessClient(), run, sweep.spec.curve, describer.ended)

    return guarded(start, uri, state, observer)


def params_of(sweep: Sweep) -> dict[str, str]:
    """Return what the identity is made of, by key."""
    params = flat({key: value for key, value in sweep.identity_fields.items() if key != "space"})
    params |= {f"space.{name}": described for name, described in sweep.space.describe().items()}
    keys = keys_of(params)
    return {keys[name]: encodable(str(value), VALUE_LENGTH) for name, value in params.items()}


def tags_of(sweep: Sweep) -> dict[str, str]:
    tags = {
        "optitrip.identity": sweep.identity,
        f"optitrip.{sweep.unit}": str(sweep.items),
        "optitrip.version": optitrip.__version__,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": "unknown",
        PROCESS: this_process(),
    }
    if (job := submission_id()) is not None:
        tags["optitrip.ray_job_id"] = job
    with suppress(Exception):  # a container without an entry for its user
        tags["mlflow.user"] = getpass.getuser()
    return tags


def finish_run(
    tracker: MlflowObserver | None,
    state: StateDir,
    outcome: Outcome,
    sweep: Sweep,
    files: Sequence[Path],
    observer: Observer,
) -> dict[str, str] | None:
    """Finish the MLflow run and return its location; a failure only causes a notice."""
    if tracker is None:
        recorded = state.journal.fact(RecordedRun)
        return shown(recorded) if recorded else None
    uri = tracker.run().uri
    return guarded(lambda: deliver(tracker, state, outcome, sweep, files, observer), uri, state, observer)


def deliver(
    tracker: MlflowObserver,
    state: StateDir,
    outcome: Outcome,
    sweep: Sweep,
    files: Sequence[Path],
    observer: Observer,
) -> dict[str, str]:
    """Store what the run holds, then send it; raise whatever MLflow raises."""
    run, journal = tracker.run(), state.journal
    record = journal.fact(Outbox)
    ended = outcome.status == "finished" and record is not None and record.state == "finished"
    if record is None or not ended or outcome.evaluated or record.items != outcome.items:
        names, note = [file.name for file in files], tracker.describe(outcome)
        record = record_of(outcome, sweep, run, tracker.points, names, note, record)
    with suppress(Stopped):  # sending everything again is harmless
        journal.note(record, OpenRun(without_password(run.uri), run.experiment, ended=True))
        if journal.fact(Delivered) is not None:
            journal.forget(Delivered)
    paths = [str(file.absolute()) for file in files]
    refused = tracker.finish(
        run_of(record, run.uri, run.experiment, run.journal),
        ending_of(record, paths, children=sweep.tracking.children > 0),
    )
    if refused is None or tracker.run_id is None:
        raise tracker.error or RuntimeError("MLflow gave no answer")
    if refused:
        lines = [first_line(redacted(line, run.uri)) for line in refused]
        text = f"MLflow refused {'; '.join(lines[:3])}{' ...' if len(lines) > 3 else ''}; all else is recorded"
        observer.notice(warning("mlflow-incomplete", text))
    return shown(delivered(journal, record, run, tracker.run_id))


def shown(recorded: RecordedRun) -> dict[str, str]:
    """Return the location of a run; the URI of an older journal may hold a password."""
    return {**recorded.to_json(), "tracking_uri": without_password(recorded.tracking_uri)}


def delivered(journal: Journal, record: Outbox, run: Run, run_id: str) -> RecordedRun:
    """Store that a record has been sent."""
    uri = without_password(run.uri)
    recorded = RecordedRun(uri, run.experiment, run_id)
    facts = [Delivered(record.items, uri, run.experiment)] if record.state == "finished" else []
    with suppress(Stopped):
        journal.note(recorded, *facts)
        journal.forget(OpenRun)
    return recorded


def guarded(act: Callable[[], T], uri: str, state: StateDir, observer: Observer) -> T | None:
    """Call a function; whatever it raises costs a notice, and None is returned. User code may have changed whatever it
    needs, so it may raise anything."""
    try:
        return act()
    except BaseException as error:
        reason = first_line(redacted(str(failure(error)).strip() or repr(error), uri))
        failed = f"recording in MLflow at {without_password(uri)} failed ({reason}). "
        label = state.path.name if state.path else ""
        stored = f"The answer is stored in {state.path}; `optitrip sync {label}` records it later."
        lost = "It was not recorded in MLflow; with a state_dir, a later call could record it."
        observer.notice(warning("mlflow-incomplete", failed + (stored if state.path else lost)))
        return None


def first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")[:200]
