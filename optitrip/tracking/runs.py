"""Starts and finishes the MLflow run of a sweep, with final metrics and a description in Markdown."""

import getpass
import shlex
import subprocess
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
from optitrip.store.state_dir import SWEEP_FILE, StateDir
from optitrip.tracking.mlflow_client import InProcessClient, Run, TrackingClient
from optitrip.tracking.observer import MlflowObserver


def track(sweep: Sweep, state: StateDir, uri: str, client: TrackingClient | None) -> MlflowObserver | None:
    """Start the MLflow run of this sweep, unless the file turns tracking off or the store is complete already."""
    experiment = sweep.tracking.experiment
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
        "mlflow.user": "unknown",
        **{f"mlflow.source.git.{key}": value for key, value in git(sweep.folder).items()},
    }
    with suppress(OSError, KeyError):  # a container without an entry for its user
        tags["mlflow.user"] = getpass.getuser()
    run = Run(uri, experiment, sweep.label, state.journal.name, params, tags)
    return MlflowObserver(client or InProcessClient(), run, sweep.spec.curve)


def finish_run(
    tracker: MlflowObserver | None,
    state: StateDir,
    outcome: Outcome,
    sweep: Sweep,
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
        recorded = tracker.finish(outcome.status, final_metrics, files, note(outcome, sweep))
    if recorded is None:
        lines = str(tracker.error).strip().splitlines() or [repr(tracker.error)]
        failed = f"recording in MLflow at {tracker.run.uri} failed ({lines[0][:200]}). "
        stored = f"The answer is stored in {state.path}; the same command records it later."
        lost = "It was not recorded in MLflow; with a state_dir, a later call could record it."
        observer.notice(warning("mlflow-incomplete", failed + (stored if state.path else lost)))
        return None
    with suppress(Stopped):  # if the journal cannot be written: sending everything again is harmless
        if outcome.status == "finished":
            state.journal.note(recorded, Delivered(outcome.items, tracker.run.uri, tracker.run.experiment))
        else:
            state.journal.forget(Delivered)
            state.journal.note(recorded)
    return recorded.to_json()


def git(folder: Path) -> dict[str, str]:
    """Return commit, branch and dirtiness of the repository that contains a folder; empty if there is none."""

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


def note(outcome: Outcome, sweep: Sweep) -> str:
    warnings = [f"- {notice.text}" for notice in outcome.notices if notice.level == "warning"]
    end = ["", "**Warnings**", "", *warnings] if warnings else []
    if outcome.status != "finished" or outcome.answer is None:
        return "\n".join([outcome.message or outcome.status, *end])
    lines = [f"**{outcome.name}**: {outcome.items:,} {outcome.unit}, {outcome.failed:,} failed", ""]
    # As code, so that Markdown does not interpret special characters.
    rows = [[name, f"`{value}`" if set(value) & set("[]*_<>|") else value] for name, value in outcome.answer.rows()]
    lines += markdown(["", ""], rows)
    if table := outcome.answer.table():
        lines += ["", *markdown(*table)]
    if sweep.lines.path is not None:  # otherwise the sweep was made from Python values
        overrides = [f"--set {shlex.quote(override)}" for override in sweep.overrides]
        command = " ".join(["optitrip sweep", SWEEP_FILE, *overrides])
        end += ["", f"To get the same answer again, run `{command}` with the file from the artifacts."]
    return "\n".join([*lines, *end])


def markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(entry.strip().replace('|', '&#124;') for entry in line)} |" for line in lines]
