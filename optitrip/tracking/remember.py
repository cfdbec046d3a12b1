"""A sweep's MLflow run: what is written at its begin and at its end."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

import optitrip
from optitrip.driver.phases import Phases
from optitrip.driver.provenance import git
from optitrip.driver.state_dir import StateDir
from optitrip.driver.watch import Watch
from optitrip.spec import Sweep, flat
from optitrip.tracking.mlflow_runs import MlflowRun, tracking_uri


def track(sweep: Sweep, state: StateDir) -> MlflowRun | None:
    """The MLflow run of this sweep; none where the file wants none, or all was delivered already."""
    if sweep.tracking.use == "none" or state.journal.get("delivered") == sweep.method.candidates:
        return None
    params = flat({key: value for key, value in sweep.essence.items() if key != "space"})
    params |= {f"space.{name}": described for name, described in sweep.space.describe().items()}
    commit = {f"mlflow.source.git.{key}": value for key, value in git(sweep.folder).items()}
    tags = {
        "optitrip.identity": sweep.identity,
        "optitrip.candidates": str(sweep.method.candidates),
        "optitrip.version": optitrip.__version__,
        "mlflow.source.name": f"{sweep.name}.toml",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        **commit,
    }
    journal: str = state.journal.get("journal")
    return MlflowRun(tracking_uri(), sweep.tracking.experiment, sweep.label, journal, params, tags)


def remember(
    tracker: MlflowRun | None,
    state: StateDir,
    word: str,
    status: str,
    ends: Mapping[str, float],
    items: int,
    written: list[Path],
    text: str,
    phases: Phases,
    watch: Watch,
) -> dict[str, str] | None:
    """Tell MLflow how it ended; a failure costs a line, no more."""
    if tracker is None:
        return state.journal.get("mlflow")
    with phases.time("mlflow"):
        where = tracker.finish(word, status, ends, written, text)
    if where is None:
        reason = str(tracker.error).strip().splitlines()[0] if str(tracker.error).strip() else repr(tracker.error)
        watch.say(
            f"MLflow at {tracker.uri} could not be told everything ({reason[:200]}). The answer is in {state.path}; "
            "the same command delivers it later."
        )
    else:
        state.journal.set(mlflow=where, delivered=items if word == "finished" else None)
    return where


def user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return "unknown"
