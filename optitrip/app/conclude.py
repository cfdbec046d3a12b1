"""The last step of a run: workers go, MLflow is told, the result file is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from optitrip.app.context import Context
from optitrip.core.observer import Observer
from optitrip.output.outcome import Outcome
from optitrip.runtime import files
from optitrip.store.state_dir import RESULT, StateDir
from optitrip.tracking.observer import MlflowObserver
from optitrip.tracking.runs import finish_run
from optitrip.tracking.summary import note


def conclude(
    context: Context,
    state: StateDir,
    tracker: MlflowObserver | None,
    observer: Observer,
    outcome: Outcome,
    written: Sequence[Path],
) -> Outcome:
    """Let the workers go, deliver the rest to MLflow, write the result file; return the whole outcome."""
    phases = context.phases
    if context.release:
        with phases.time("shutdown"):
            context.executors.close()
    outcome = replace(outcome, notices=context.log.notices)
    where = finish_run(tracker, state, outcome, written, note(outcome, context.sweep), phases, observer)
    outcome = replace(outcome, mlflow=where, seconds=phases.total, phases=phases.seconds, notices=context.log.notices)
    if outcome.status == "finished" and state.path is not None:
        with suppress(OSError):  # the outcome is told either way, and the same command writes it again
            files.write_atomically(state.path / RESULT, files.json_bytes(outcome.to_json()))
    return outcome
