"""A sweep's MLflow run: what is written at its begin and at its end."""

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
    """The MLflow run of this sweep; none where the file wants none, or all was delivered to that place already."""
    uri, experiment = tracking_uri(), sweep.tracking.experiment
    delivered = Delivered(sweep.items, uri, experiment)
    if sweep.tracking.use == "none" or state.journal.fact(Delivered) == delivered:
        return None
    params = flat({key: value for key, value in sweep.identity_fields.items() if key != "space"})
    params |= {f"space.{name}": described for name, described in sweep.space.describe().items()}
    commit = {f"mlflow.source.git.{key}": value for key, value in git(sweep.folder).items()}
    tags = {
        "optitrip.identity": sweep.identity,
        f"optitrip.{sweep.unit}": str(sweep.items),
        "optitrip.version": optitrip.__version__,
        "mlflow.source.name": f"{sweep.name}.toml",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        **commit,
    }
    return MlflowObserver(
        client or InProcessClient(),
        Run(uri, experiment, sweep.label, state.journal.name, params, tags),
        sweep.spec.curve,
    )


def finish_run(
    tracker: MlflowObserver | None,
    state: StateDir,
    answer: Outcome,
    written: Sequence[Path],
    text: str,
    phases: Stopwatch,
    watch: Observer,
) -> dict[str, str] | None:
    """Tell MLflow how it ended; a failure costs a line, no more."""
    if tracker is None:
        recorded = state.journal.fact(RecordedRun)
        return recorded.to_json() if recorded else None

    def ends() -> dict[str, float]:
        now = replace(answer, phases=phases.seconds, seconds=phases.total)
        return figures(now) if answer.status == "finished" else {}

    with phases.time("mlflow"):
        where = tracker.finish(answer.status, MLFLOW_STATUS[answer.status], ends, written, text)
    if where is None:
        reason = str(tracker.error).strip().splitlines()[0] if str(tracker.error).strip() else repr(tracker.error)
        later = f"The answer is in {state.path}; the same command delivers it later."
        watch.notice(
            warning(
                "mlflow-incomplete",
                f"MLflow at {tracker.run.uri} could not be told everything ({reason[:200]}). "
                + (later if state.path else "It was not recorded in MLflow."),
            )
        )
        return None
    with suppress(Stopped):  # delivered again next time, which MLflow does not notice
        if answer.status == "finished":
            delivered = Delivered(answer.items, tracker.run.uri, tracker.run.experiment)
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
    """Commit and branch of the repository around a folder, and whether files differ from it; empty without one."""

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
