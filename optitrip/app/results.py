"""Turns the result of a route into the answer, its files and the outcome, and concludes the run."""

import os
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from optitrip.app.context import Context
from optitrip.config.sweep import Sweep
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer
from optitrip.driver.run import Driver
from optitrip.errors import Interrupted, NoAnswer, OptitripError, ShardDone, StateError, Stopped
from optitrip.journal.facts import StoredResult
from optitrip.output.outcome import Answer, Outcome, Status
from optitrip.output.text import first_failure
from optitrip.runtime import files
from optitrip.runtime.files import move_aside
from optitrip.runtime.interrupts import failure
from optitrip.runtime.posix import peak_bytes
from optitrip.runtime.tracebacks import record_of
from optitrip.store.state_dir import RESULT, SWEEP_FILE, StateDir, changed_files
from optitrip.tracking.observer import MlflowObserver
from optitrip.tracking.runs import finish_run
from optitrip.tracking.settle import settle


def with_images(context: Context, answer: Answer) -> Answer:
    """Add pictures of the parameters or gradient to an answer, if the objective can draw them."""
    try:
        return answer.with_images(context.objective.images)
    except BaseException as error:  # the user's code may raise anything, and a missing picture must not fail the sweep
        record = record_of(0, failure(error))
        text = f"the objective could not draw its parameters: {record.type}: {record.message}"
        context.observers.notice(warning("no-picture", text))
        return answer


SHOWN = ShardDone, NoAnswer, Stopped, OSError, KeyboardInterrupt
"""Exceptions after which the outcome is shown; others are shown themselves."""
Digests = dict[str, str | None]
"""Digests of result files by name; None for a picture or a report that could not be drawn."""


class Written(NamedTuple):
    """The result files of a command."""

    folder: Path | None
    digests: Digests = {}  # noqa: RUF012 - nobody writes to it

    @property
    def names(self) -> list[str]:
        return [file for file, digest in self.digests.items() if digest is not None]


def left(state: StateDir, driver: Driver, outcome: Outcome, *, tracked: bool, mirror: str | None) -> str:
    """Say what is left to do once the answer is known; empty if it takes no time. `mirror` is where a copy is made."""
    figures = outcome.answer is not None and (driver.evaluated.total() or state.journal.fact(StoredResult) is None)
    steps = [*(["writing figures"] if figures else []), *(["updating MLflow"] if tracked else [])]
    steps += [f"copying to {mirror}"] if mirror is not None else []
    return f"{', '.join(steps)} ..." if steps else ""


def is_of(stored: StoredResult, sweep: Sweep, answer: Answer) -> bool:
    """Return whether a stored result is that of an answer: a key such as `recheck` changes it, though no item."""
    try:
        same = sweep.spec.headline(stored.outcome) == sweep.spec.headline(answer.fields(None))
    except (LookupError, TypeError):
        return False
    return same and stored.outcome.get("items") == answer.items


def current_files(
    state: StateDir, sweep: Sweep, answer: Answer, evaluated: Counter[str], observer: Observer
) -> Digests:
    """Return the stored files of this answer that are as the journal says; set aside and report those that are not."""
    stored = state.journal.fact(StoredResult)
    if stored is None or state.path is None:
        return {}
    if not evaluated.total() and is_of(stored, sweep, answer):
        changed = changed_files(state.path, stored)
        if not changed:
            return dict(stored.files)
        aside = [file for file in changed if state.writable and os.path.lexists(state.path / file)]
        for file in aside:
            move_aside(state.path / file)
        text = f"{', '.join(changed)} in {state.path}: missing, or not as the journal says; "
        text += "made again from the journal" if state.writable else "not made again, since nothing can be written"
        text += f" (files set aside as .old-N: {', '.join(aside)})" if aside else ""
        observer.notice(warning("result-files", text))
    else:
        changed = list(stored.files)
    if state.writable:  # the record means that the files are complete, so it is removed first and written last
        state.journal.forget(StoredResult)
    return {file: digest for file, digest in stored.files.items() if file not in changed}


def write_files(folder: Path, sweep: Sweep, answer: Answer, observer: Observer, current: Digests) -> Digests:
    """Write the files of an answer, except current ones; return the digests of all."""
    digests: Digests = {}
    for file, make in answer.files(sweep.name):
        if file in current:
            digests[file] = current[file]
            continue
        try:
            data = make()
        except Exception as error:  # e.g. losses of 1e308; a missing picture must not fail the sweep
            if not file.endswith((".png", ".html")):
                raise
            observer.notice(warning("no-picture", f"{file} could not be drawn: {error}"))
            (folder / file).unlink(missing_ok=True)
            digests[file] = None
        else:
            files.write_atomically(folder / file, data)
            digests[file] = files.digest(data)
    return digests


def finished(context: Context, driver: Driver, answer: Answer) -> Outcome:
    for notice in answer.notices():
        context.observers.notice(notice)
    allowed = context.sweep.failures.allows(sum(answer.failures.values()), answer.items)
    found = {"answer": answer, "failures": answer.failures, "failures_allowed": allowed}
    return outcome_of(context, driver, "finished", answer.items, **found, message=answer.message() or None)


def unfinished(context: Context, state: StateDir, driver: Driver, error: BaseException) -> Outcome:
    """Return the outcome of a sweep without an answer, with the best so far and the failures."""
    progress, shard = context.progress, context.options.shard
    status, message = "failed", f"{type(error).__name__}: {error}"
    if isinstance(error, ShardDone) and shard is not None:
        items = f"items {error.items.start:,} to {error.items.stop - 1:,}" if error.items else "no items"
        done = f"shard {shard.number} of {shard.count}: {items} are done"
        message = f"{done}. Join all shards with `optitrip merge`; this one is in {shown_path(context)}"
        return outcome_of(context, driver, "shard", len(error.items), message=message)
    if isinstance(error, NoAnswer):
        error.args = (f"{error}{first_failure(error.failures, error.points)}",)
        message = f"no answer: {error}"
    if isinstance(error, Stopped | OSError) or not isinstance(error, Exception):
        done = f"{str(error) or 'interrupted'}: {progress.done:,} of {context.sweep.items:,} {context.sweep.unit}"
        status = "stopped"
        message = f"{done} are stored. The same command resumes." if state.path else f"{done} were evaluated"
    failures: dict[str, int] = {}
    with suppress(StateError):  # a journal that cannot be read may be why the sweep ended
        failures = driver.failures()
    best = None if isinstance(error, NoAnswer) else progress.best()
    return outcome_of(context, driver, status, progress.done, best=best, failures=failures, message=message)


def outcome_of(context: Context, driver: Driver, status: Status, items: int, **fields: Any) -> Outcome:
    """Return an outcome with these fields and those common to all outcomes."""
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
        phases=phases.seconds,
        items_per_second=evaluated / seconds if evaluated else None,
        state_dir=shown_path(context),
        memory={"driver_bytes": peak_bytes(), "worker_bytes": context.executors.memory},
        **fields,
    )


def shown_path(context: Context) -> str | None:
    """Return the state directory's path, relative to where the command began if it was given so."""
    root = context.options.state_dir
    return None if root is None else str(root / context.sweep.label)


def conclude(
    context: Context,
    state: StateDir,
    tracker: MlflowObserver | None,
    outcome: Outcome,
    written: Written,
) -> Outcome:
    """Release the workers, finish the MLflow run, write the result file; return the completed outcome."""
    phases = context.phases
    if context.release:
        with phases.time("shutdown"):
            context.executors.close()
    outcome, folder = replace(outcome, notices=context.log.notices), written.folder
    paths = [folder / file for file in (SWEEP_FILE, *written.names)] if folder else []
    with phases.time("mlflow") if tracker is not None else nullcontext():
        where = finish_run(tracker, state, outcome, context.sweep, paths, context.observers)
    outcome = replace(outcome, mlflow=where, phases=phases.seconds, notices=context.log.notices)
    if outcome.status == "finished" and state.path is not None and state.writable:
        table = outcome.to_json()
        with suppress(OSError, Stopped):  # the outcome is reported anyway, and the same command writes it again
            state.journal.forget(StoredResult)  # a kill before the new record must not make the file look edited
            files.write_atomically(state.path / RESULT, files.json_bytes(table))
            state.journal.note(StoredResult(table, written.digests))
    if tracker is not None and where is not None and context.options.root is not None:
        with phases.time("mlflow"):
            for line in settle(context.options.root, context.options.tracking_uri, tracker.client):
                context.observers.notice(info("mlflow-settled", line))
    return outcome


def cut_short(context: Context, state: StateDir, outcome: Outcome, error: BaseException) -> Outcome:
    """Return the outcome of a command that was stopped, or could not write, after its answer was shown."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or "interrupted"
    rest = f"the answer is stored in {shown_path(context)}; the same command writes what is left" if state.path else ""
    message = f"{reason}{': ' if rest else ''}{rest}" if outcome.answer else outcome.message
    return replace(outcome, status="stopped", message=message, notices=context.log.notices)


def return_or_raise(outcome: Outcome, error: BaseException | None) -> Outcome:
    """Return the outcome, or raise the error that ended the sweep, with the outcome attached if it can carry one."""
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
