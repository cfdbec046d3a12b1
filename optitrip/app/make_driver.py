"""The driver of a run: where it evaluates, how long it waits and when it stops."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial

from optitrip.app.context import Context
from optitrip.core.notice import warning
from optitrip.core.observer import Observer
from optitrip.driver.run import Driver
from optitrip.driver.settings import Settings
from optitrip.errors import Stopped
from optitrip.journal.facts import Accepted, EvaluatingHere
from optitrip.journal.journal import Journal
from optitrip.store.state_dir import StateDir


@contextmanager
def make_driver(context: Context, state: StateDir, observer: Observer) -> Generator[Driver]:
    """Make the driver, and note in the journal while it evaluates in this process, which a crash would take along."""
    sweep, executors = context.sweep, context.executors
    here = executors.starts_here and state.path is not None and not context.options.has_result(sweep)
    if here and state.journal.fact(EvaluatingHere):
        text = "the last command died, perhaps of a loss in its own process: now Ray workers evaluate all"
        observer.notice(warning("crashed-before", text))
        executors.use_workers_only()
        here = False
    executors.use(context.objective, context.paths, observer.notice)
    block, shard = context.objective.capabilities.block, context.options.shard
    accepted = state.journal.fact(Accepted)
    driver = Driver(
        executors,
        block,
        state.journal,
        observer,
        context.phases,
        cancellation(context),
        settings_of(context),
        retries=sweep.failures.retries,
        retry_failed=context.options.retry_failed,
        share=partial(shard.of, block=block) if shard else None,
        checked_since=(accepted.since if accepted else 0) if sweep.objective.deterministic else None,
    )
    with evaluating_here(state.journal) if here else nullcontext():
        yield driver


def settings_of(context: Context) -> Settings:
    """Return the settings of the driver with the durations of the sweep file."""
    sweep = context.sweep
    return replace(
        context.options.settings,
        drain_seconds=sweep.stop.drain_seconds,
        wait_seconds=sweep.run.wait_seconds,
        item_seconds=sweep.failures.timeout_seconds,
    )


def cancellation(context: Context) -> Callable[[], None]:
    """Return what is called between slices; it raises `Stopped` if someone asked to stop, or the time is over."""

    def raise_if_stopped() -> None:
        context.options.raise_if_stopped()
        limit = context.sweep.stop.max_seconds
        if limit is not None and context.phases.total > limit:
            raise Stopped(f"stopped after {limit:g} s, as [stop] max_seconds says")

    return raise_if_stopped


@contextmanager
def evaluating_here(journal: Journal) -> Generator[None]:
    """Note in the journal that the loss is evaluated in this process, while it is: one that crashes takes the process
    along, and would again."""
    journal.note(EvaluatingHere())
    try:
        yield
    finally:
        with suppress(Stopped):
            journal.forget(EvaluatingHere)
