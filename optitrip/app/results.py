"""From the result of a route to the answer, its files and the outcome of the run."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from optitrip.app.context import Context
from optitrip.core.notice import warning
from optitrip.core.observer import Observer
from optitrip.driver.run import Driver
from optitrip.errors import Interrupted, NoAnswer, OptitripError, ShardDone, StateError, Stopped
from optitrip.output.answer import Answer
from optitrip.output.outcome import Outcome, Status
from optitrip.output.text import first_failure
from optitrip.runtime import files
from optitrip.runtime.process import peak_bytes
from optitrip.store.state_dir import RESULT, SWEEP_FILE, StateDir, stored_items
from optitrip.tracking.observer import MlflowObserver
from optitrip.tracking.runs import finish_run
from optitrip.tracking.summary import note


def with_images(context: Context, answer: Answer) -> Answer:
    """Return the answer, with pictures of its parameters or gradient if the objective can draw them."""
    try:
        return answer.with_images(context.objective.images(answer.image_source))
    except Exception as error:  # raised by the user's code; a sweep does not fail for want of a picture
        text = f"the objective could not draw its parameters: {type(error).__name__}: {error}"
        context.observers.notice(warning("no-picture", text))
        return answer


@contextmanager
def result_folder(context: Context, state_dir: Path | None, *, tracked: bool) -> Generator[Path | None]:
    """Return the folder for files: the state directory, or a temporary one if only MLflow needs files."""
    if state_dir is not None or not tracked:
        yield state_dir
        return
    with tempfile.TemporaryDirectory(prefix="optitrip-") as folder:
        files.write_atomically(Path(folder) / SWEEP_FILE, context.sweep.text.encode())
        yield Path(folder)


def write_files(folder: Path, name: str, answer: Answer, observer: Observer, *, unchanged: bool) -> Sequence[Path]:
    """Write the files of an answer of the sweep `name` beside the sweep file; return the paths of all that exist.

    Existing files may be valid if `unchanged`: nothing was evaluated since they were written.
    """
    contents = dict(answer.files(name))
    paths = [folder / SWEEP_FILE, *(folder / file for file in contents)]
    if unchanged and stored_items(folder) == answer.items:
        return [path for path in paths if path.exists()]
    # The result file vouches for the files beside it, so it is removed first and written last.
    (folder / RESULT).unlink(missing_ok=True)
    for file, make in contents.items():
        try:
            data = make()
        except Exception as error:  # e.g. losses of 1e308; a sweep does not fail for want of a picture
            if not file.endswith(".png"):
                raise
            observer.notice(warning("no-picture", f"the picture {file} could not be drawn: {error}"))
            (folder / file).unlink(missing_ok=True)
        else:
            files.write_atomically(folder / file, data)
    return [path for path in paths if path.exists()]


def finished(context: Context, state: StateDir, driver: Driver, answer: Answer) -> Outcome:
    """Return the outcome of a sweep that has an answer."""
    return outcome_of(
        context,
        state,
        driver,
        "finished",
        answer.items,
        answer=answer,
        failures=answer.failures,
        failures_allowed=context.sweep.failures.allows(sum(answer.failures.values()), answer.items),
        report=answer.report,
        message=answer.message() or None,
    )


def unfinished(context: Context, state: StateDir, driver: Driver, error: BaseException) -> Outcome:
    """Return the outcome of a sweep without an answer: the best so far and the failures."""
    progress, shard = context.progress, context.options.shard
    status, message = "failed", f"{type(error).__name__}: {error}"
    if isinstance(error, ShardDone) and shard is not None:
        items = f"items {error.items.start:,} to {error.items.stop - 1:,}" if error.items else "no items"
        message = f"{shard.words}: {items} are done. Join all shards with `optitrip merge`; this one is in {state.path}"
        return outcome_of(context, state, driver, "shard", len(error.items), message=message)
    if isinstance(error, NoAnswer):
        error.args = (f"{error}{first_failure(error.failures, error.points)}",)
        message = f"no answer: {error}"
    if isinstance(error, Stopped | KeyboardInterrupt | OSError):
        done = f"{str(error) or 'interrupted'}: {progress.done:,} of {context.sweep.items:,} {context.sweep.unit}"
        status = "stopped"
        message = f"{done} are stored. The same command resumes." if state.path else f"{done} were evaluated"
    failures: dict[str, int] = {}
    with suppress(StateError):  # the journal may be what ended the sweep
        failures = driver.failures()
    best = None if isinstance(error, NoAnswer) else progress.best()
    return outcome_of(context, state, driver, status, progress.done, best=best, failures=failures, message=message)


def outcome_of(context: Context, state: StateDir, driver: Driver, status: Status, items: int, **fields: Any) -> Outcome:
    """Return an outcome with these fields, and those that all outcomes have."""
    sweep, phases = context.sweep, context.phases
    evaluated = context.progress.new + driver.retried
    seconds = phases.seconds.get(sweep.spec.word, 0.0)
    return Outcome(
        name=sweep.name,
        identity=sweep.identity,
        status=status,
        unit=sweep.unit,
        no_answer=sweep.spec.no_answer,
        items=items,
        evaluated=evaluated,
        seconds=phases.total,
        phases=phases.seconds,
        items_per_second=evaluated / seconds if evaluated else None,
        state_dir=str(state.path) if state.path else None,
        memory={"driver_bytes": peak_bytes(), "worker_bytes": context.executors.memory},
        **fields,
    )


def conclude(
    context: Context,
    state: StateDir,
    tracker: MlflowObserver | None,
    observer: Observer,
    outcome: Outcome,
    written: Sequence[Path],
) -> Outcome:
    """Release the workers, finish the MLflow run, write the result file; return the completed outcome."""
    phases = context.phases
    if context.release:
        with phases.time("shutdown"):
            context.executors.close()
    outcome = replace(outcome, notices=context.log.notices)
    where = finish_run(tracker, state, outcome, written, note(outcome, context.sweep), phases, observer)
    outcome = replace(outcome, mlflow=where, seconds=phases.total, phases=phases.seconds, notices=context.log.notices)
    if outcome.status == "finished" and state.path is not None:
        with suppress(OSError):  # the outcome is reported either way, and the same command writes the file again
            files.write_atomically(state.path / RESULT, files.json_bytes(outcome.to_json()))
    return outcome


def return_or_raise(outcome: Outcome, error: BaseException | None) -> Outcome:
    """Return the outcome, or raise what ended the sweep, with the outcome attached."""
    if error is None or isinstance(error, ShardDone):
        return outcome
    if isinstance(error, KeyboardInterrupt):
        raise Interrupted(outcome.message or "interrupted", outcome) from None
    if isinstance(error, OSError):
        error = Stopped(str(error))
    if isinstance(error, Stopped):
        error.args = (outcome.message,)
    if isinstance(error, OptitripError):
        error.outcome = outcome
    raise error
