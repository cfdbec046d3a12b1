"""The outcome of a run, with an answer or without."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from optitrip.app.context import Context
from optitrip.driver.run import Driver
from optitrip.errors import Interrupted, NoAnswer, OptitripError, ShardDone, StateError, Stopped
from optitrip.output.answer import Answer
from optitrip.output.outcome import Outcome, Status
from optitrip.output.text import first_failure
from optitrip.runtime.process import peak_bytes
from optitrip.store.state_dir import StateDir


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


def ended(context: Context, state: StateDir, driver: Driver, error: BaseException) -> Outcome:
    """Return the outcome of a sweep that has no answer, with the best so far and what failed."""
    progress, shard = context.progress, context.options.shard
    status, message = "failed", f"{type(error).__name__}: {error}"
    if isinstance(error, ShardDone) and shard is not None:
        items = f"items {error.items.start:,} to {error.items.stop - 1:,}" if error.items else "no items"
        message = f"{shard.words}: {items} are done. `optitrip merge` joins it with the others: {state.path}"
        return outcome_of(context, state, driver, "shard", len(error.items), message=message)
    if isinstance(error, NoAnswer):
        error.args = (f"{error}{first_failure(error.failures, error.points)}",)
        message = f"no answer: {error}"
    if isinstance(error, Stopped | KeyboardInterrupt | OSError):
        done = f"{str(error) or 'interrupted'}: {progress.done:,} of {context.sweep.items:,} {context.sweep.unit}"
        status = "stopped"
        message = f"{done} are stored. The same command resumes." if state.path else f"{done} were evaluated"
    return outcome_of(
        context,
        state,
        driver,
        status,
        progress.done,
        best=None if isinstance(error, NoAnswer) else progress.best(),
        failures=failures_in(driver),
        message=message,
    )


def failures_in(driver: Driver) -> dict[str, int]:
    """Count what failed; empty where the journal, which may be what ended the sweep, cannot be read."""
    with suppress(StateError):
        return driver.failures()
    return {}


def outcome_of(context: Context, state: StateDir, driver: Driver, status: Status, items: int, **more: Any) -> Outcome:
    """Return an outcome with all that every one of them has."""
    sweep, phases = context.sweep, context.phases
    evaluated = context.progress.new + driver.again
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
        **more,
    )


def result(outcome: Outcome, error: BaseException | None) -> Outcome:
    """Return the outcome, or raise what ended the sweep, with the outcome in it."""
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
