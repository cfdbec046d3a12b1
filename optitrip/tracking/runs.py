"""Starts and finishes the MLflow run of a sweep."""

import getpass
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import optitrip
from optitrip.config.program import as_written
from optitrip.config.sweep import Sweep
from optitrip.core.differences import flat
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer, Progress
from optitrip.errors import Stopped
from optitrip.journal.facts import Commands, OpenRun, Outbox, RecordedRun
from optitrip.journal.journal import Journal
from optitrip.output.outcome import Outcome
from optitrip.runtime.files import DELIVERY, lock_folder
from optitrip.runtime.interrupts import failure
from optitrip.runtime.ray_job import submission_id
from optitrip.store.state_dir import StateDir
from optitrip.tracking.dead import PROCESS, this_process
from optitrip.tracking.description import Describer, run_name
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.names import VALUE_LENGTH, encodable, keys_of
from optitrip.tracking.observer import PATIENCE_SECONDS, MlflowObserver
from optitrip.tracking.record import children_wanted, ending_of, record_of, run_of
from optitrip.tracking.run import NOTE, Run, TrackingClient
from optitrip.tracking.secrets import redacted, without_password

T = TypeVar("T")


def track(
    sweep: Sweep,
    state: StateDir,
    uri: str,
    client: TrackingClient | None,
    commands: Commands,
    observer: Observer,
    progress: Progress,
    folder: Path,
) -> MlflowObserver | None:
    """Start the MLflow run of this sweep, unless the file turns tracking off or the store is complete already; `folder`
    is the working directory of the command."""
    journal, experiment = state.journal, sweep.tracking.experiment
    if sweep.tracking.use == "none" or (commands.began is None and is_recorded(sweep, journal, uri)):
        return None

    def start() -> MlflowObserver:
        describer, name = Describer(sweep, state, uri, folder), journal.name

        def run() -> Run:
            tags = tags_of(sweep) | describer.tags() | {NOTE: describer.running()}
            return Run(uri, experiment, run_name(sweep), name, commands.started, params_of(sweep), tags)

        with suppress(Stopped):  # if the journal cannot be written
            journal.note(OpenRun(without_password(uri), experiment, ended=False))
        so_far, alone = partial(describer.so_far, progress), partial(delivering, state.path if state.writable else None)
        away = partial(tell_away, uri, observer)
        return MlflowObserver(client or InProcessClient(), run, sweep.spec.curve, so_far, describer.ended, alone, away)

    return guarded(start, uri, state, observer)


@contextmanager
def delivering(folder: Path | None, seconds: float = PATIENCE_SECONDS) -> Generator[None]:
    """Keep other commands from sending the sweep of a state directory, since two at once could make two runs of it.

    Raises StateError if another one does it for so long, OSError if the folder cannot be written."""
    with ExitStack() as lock:
        if folder is not None:
            lock.callback(lock_folder(folder, DELIVERY, seconds).release)
        yield


def is_recorded(sweep: Sweep, journal: Journal, uri: str) -> bool:
    """Return whether a store has everything about the finished sweep."""
    run, record = journal.fact(RecordedRun), journal.fact(Outbox)
    if run is None or record is None or journal.fact(OpenRun) is not None:
        return False
    here = run.tracking_uri == without_password(uri) and run.experiment == sweep.tracking.experiment
    return here and record.state == "finished" and record.items == sweep.items


def params_of(sweep: Sweep) -> dict[str, str]:
    """Return what the identity is made of, by key."""
    params = flat({key: value for key, value in as_written(sweep.identity_fields).items() if key != "space"})
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
    paths = [str(file.absolute()) for file in files]
    refused = tracker.finish(
        run_of(record, run.uri, run.experiment, run.journal),
        ending_of(record, paths, children=children_wanted(sweep) > 0),
    )
    if refused is None or tracker.run_id is None:
        raise tracker.error or RuntimeError("MLflow gave no answer")
    if refused:
        lines = [first_line(redacted(line, run.uri)) for line in refused]
        text = f"MLflow refused {'; '.join(lines[:3])}{' ...' if len(lines) > 3 else ''}; all else is recorded"
        observer.notice(warning("mlflow-incomplete", text))
    recorded = RecordedRun(without_password(run.uri), run.experiment, tracker.run_id)
    with suppress(Stopped):
        journal.note(recorded)
        journal.forget(OpenRun)
    return shown(recorded)


def shown(recorded: RecordedRun) -> dict[str, str]:
    """Return the location of a run; the URI of an older journal may hold a password."""
    return {**recorded.to_json(), "tracking_uri": without_password(recorded.tracking_uri)}


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


def tell_away(uri: str, observer: Observer, error: BaseException | None) -> None:
    """Tell the user that MLflow has failed for a while, or that it is well again."""
    if error is None:
        text = "is there again, and gets what it has missed"
    else:
        text = (
            f"cannot be reached ({first_line(redacted(str(error) or repr(error), uri))}). The sweep goes on, and what "
        )
        text += "MLflow misses is sent once it is there again"
    observer.notice(info("mlflow-away", f"MLflow at {without_password(uri)} {text}"))


def first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")[:200]
