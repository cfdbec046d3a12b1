"""Starts and finishes the MLflow run of a sweep, with its params, tags and final metrics."""

import getpass
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

import optitrip
from optitrip.config.sweep import Sweep
from optitrip.core.differences import flat
from optitrip.core.notice import warning
from optitrip.core.observer import Observer
from optitrip.errors import Stopped
from optitrip.journal.facts import Delivered, RecordedRun
from optitrip.output.outcome import Outcome
from optitrip.runtime.clock import Stopwatch
from optitrip.store.state_dir import StateDir
from optitrip.tracking.description import Describer, run_name
from optitrip.tracking.location import without_password
from optitrip.tracking.mlflow_client import InProcessClient, Run, TrackingClient
from optitrip.tracking.names import VALUE_LENGTH, encodable, keys_of
from optitrip.tracking.observer import MlflowObserver


def track(
    sweep: Sweep, state: StateDir, uri: str, client: TrackingClient | None, folder: Path
) -> MlflowObserver | None:
    """Start the MLflow run of this sweep, unless the file turns tracking off or the store is complete already; `folder`
    is the working directory of the command."""
    experiment, journal = sweep.tracking.experiment, state.journal.name
    if sweep.tracking.use == "none" or state.journal.fact(Delivered) == Delivered(sweep.items, uri, experiment):
        return None
    describer = Describer(sweep, state, uri, folder)

    def run() -> Run:
        tags = tags_of(sweep) | describer.tags() | {"mlflow.note.content": describer.running()}
        return Run(uri, experiment, run_name(sweep), journal, params_of(sweep), tags)

    return MlflowObserver(client or InProcessClient(), uri, experiment, run, sweep.spec.curve, describer)


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
    }
    with suppress(Exception):  # a container without an entry for its user
        tags["mlflow.user"] = getpass.getuser()
    return tags


def finish_run(
    tracker: MlflowObserver | None,
    state: StateDir,
    outcome: Outcome,
    files: Sequence[Path],
    phases: Stopwatch,
    observer: Observer,
) -> dict[str, str] | None:
    """Finish the MLflow run and return its location; a failure only causes a notice."""
    if tracker is None:
        recorded = state.journal.fact(RecordedRun)
        return recorded.to_json() if recorded else None

    def final_metrics() -> dict[str, float]:
        return metrics(replace(outcome, phases=phases.seconds)) if outcome.status == "finished" else {}

    with phases.time("mlflow"):
        recorded = tracker.finish(outcome.status, final_metrics, files, tracker.describer.ended(outcome))
    if recorded is None:
        lines = str(tracker.error).strip().splitlines() or [repr(tracker.error)]
        failed = f"recording in MLflow at {without_password(tracker.uri)} failed ({lines[0][:200]}). "
        stored = f"The answer is stored in {state.path}; the same command records it later."
        lost = "It was not recorded in MLflow; with a state_dir, a later call could record it."
        observer.notice(warning("mlflow-incomplete", failed + (stored if state.path else lost)))
        return None
    with suppress(Stopped):  # if the journal cannot be written: sending everything again is harmless
        if outcome.status == "finished":
            state.journal.note(recorded, Delivered(outcome.items, tracker.uri, tracker.experiment))
        else:
            state.journal.forget(Delivered)
            state.journal.note(recorded)
    return recorded.to_json()


def metrics(outcome: Outcome) -> dict[str, float]:
    """Return the finite final metrics by MLflow key."""
    table: dict[str, float] = {}
    if outcome.answer:
        report = {f"report/{name}": value for name, value in outcome.answer.report.items()}
        table = {**outcome.answer.metrics(), **report}
    table |= {f"phase/{name}": seconds for name, seconds in outcome.phases.items()}
    table |= {f"memory/{name}": float(peak) for name, peak in outcome.memory.items() if peak is not None}
    table |= {"failed": float(outcome.failed), "seconds": outcome.seconds}
    if outcome.items_per_second is not None:
        table["items_per_second"] = outcome.items_per_second
    return {name: value for name, value in table.items() if np.isfinite(value)}
