"""Starts and finishes the MLflow run of a sweep."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optitrip
from optitrip.config.sweep import Sweep
from optitrip.core.differences import flat
from optitrip.core.notice import warning
from optitrip.core.observer import Observer
from optitrip.errors import Stopped
from optitrip.journal.facts import Delivered, RecordedRun
from optitrip.output.outcome import Outcome
from optitrip.runtime.stopwatch import Stopwatch
from optitrip.store.state_dir import StateDir
from optitrip.tracking.mlflow_client import InProcessClient, Run, TrackingClient
from optitrip.tracking.observer import MlflowObserver, tracking_uri
from optitrip.tracking.summary import figures

MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def track(sweep: Sweep, state: StateDir, client: TrackingClient | None) -> MlflowObserver | None:
    """Start the MLflow run of this sweep, unless the file wants none or this store has all of it already."""
    uri, experiment = tracking_uri(), sweep.tracking.experiment
    delivered = Delivered(sweep.items, uri, experiment)
    if sweep.tracking.use == "none" or state.journal.fact(Delivered) == delivered:
        return None
    params = flat({key: value for key, value in sweep.identity_fields.items() if key != "space"})
    params |= {f"space.{name}": described for name, described in sweep.space.describe().items()}
    tags = {
        "optitrip.identity": sweep.identity,
        f"optitrip.{sweep.unit}": str(sweep.items),
        "optitrip.version": optitrip.__version__,
        "mlflow.source.name": f"{sweep.name}.toml",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        **{f"mlflow.source.git.{key}": value for key, value in git(sweep.folder).items()},
    }
    run = Run(uri, experiment, sweep.label, state.journal.name, params, tags)
    return MlflowObserver(client or InProcessClient(), run, sweep.spec.curve)


def finish_run(
    tracker: MlflowObserver | None,
    state: StateDir,
    outcome: Outcome,
    files: Sequence[Path],
    text: str,
    phases: Stopwatch,
    observer: Observer,
) -> dict[str, str] | None:
    """Finish the MLflow run and return where it is; a failure costs one notice, no more."""
    if tracker is None:
        recorded = state.journal.fact(RecordedRun)
        return recorded.to_json() if recorded else None

    def final_figures() -> dict[str, float]:
        now = replace(outcome, phases=phases.seconds, seconds=phases.total)
        return figures(now) if outcome.status == "finished" else {}

    with phases.time("mlflow"):
        where = tracker.finish(outcome.status, MLFLOW_STATUS[outcome.status], final_figures, files, text)
    if where is None:
        lines = str(tracker.error).strip().splitlines() or [repr(tracker.error)]
        failed = f"recording in MLflow at {tracker.run.uri} failed ({lines[0][:200]}). "
        stored = f"The answer is stored in {state.path}; the same command records it later."
        lost = "It was not recorded in MLflow; with a state_dir, a later call could record it."
        observer.notice(warning("mlflow-incomplete", failed + (stored if state.path else lost)))
        return None
    with suppress(Stopped):  # delivered again next time, which MLflow does not notice
        if outcome.status == "finished":
            delivered = Delivered(outcome.items, tracker.run.uri, tracker.run.experiment)
            state.journal.note(RecordedRun(**where), delivered)
        else:
            state.journal.forget(Delivered)
            state.journal.note(RecordedRun(**where))
    return where


def user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return "unknown"


def git(folder: Path) -> dict[str, str]:
    """Return commit and branch of the repository around a folder, and whether files differ; empty without one."""

    def ask(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        return {
            "commit": ask("rev-parse", "HEAD"),
            "branch": ask("rev-parse", "--abbrev-ref", "HEAD"),
            "dirty": str(bool(ask("status", "--porcelain", "--untracked-files=no"))).lower(),
        }
    except (OSError, subprocess.SubprocessError):
        return {}
