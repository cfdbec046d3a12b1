"""The driver of a run: where it evaluates, how long it waits and when it stops."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from optitrip.app.context import Context
from optitrip.core.notice import warning
from optitrip.core.observer import Observer
from optitrip.driver.run import Driver
from optitrip.driver.settings import Services
from optitrip.errors import Stopped
from optitrip.journal.facts import Accepted, EvaluatingHere
from optitrip.store.state_dir import StateDir


@contextmanager
def make_driver(context: Context, state: StateDir, observer: Observer) -> Generator[Driver]:
    """Make the driver of a run.

    While items may be evaluated in this process, a fact in the journal says so: a loss that crashes would end this
    process, now and at the next attempt, so the next run that finds the fact evaluates on workers only.
    """
    sweep, options, executors, journal = context.sweep, context.options, context.executors, state.journal
    here = executors.starts_here and state.path is not None and not options.has_result(sweep)
    if here and journal.fact(EvaluatingHere):
        text = "the last command crashed, perhaps because of the loss; all items are now evaluated on Ray workers"
        observer.notice(warning("crashed-before", text))
        executors.use_workers_only()
        here = False
    executors.use(context.objective, context.paths, observer.notice)
    block, shard = context.objective.capabilities.block, options.shard
    accepted = journal.fact(Accepted)
    settings = replace(
        options.settings,
        drain_seconds=sweep.stop.drain_seconds,
        wait_seconds=sweep.run.wait_seconds,
        item_seconds=sweep.failures.timeout_seconds,
    )
    services = Services(executors, journal, observer, context.phases, cancellation(context), settings)
    driver = Driver(
        services,
        block,
        retries=sweep.failures.retries,
        retry_failed=options.retry_failed,
        share=partial(shard.of, block=block) if shard else None,
        checked_since=(accepted.since if accepted else 0) if sweep.objective.deterministic else None,
    )
    if not here:
        yield driver
        return
    journal.note(EvaluatingHere())
    try:
        yield driver
    finally:
        with suppress(Stopped):
            journal.forget(EvaluatingHere)


def cancellation(context: Context) -> Callable[[], None]:
    """Return a function that raises `Stopped` if a stop was requested or the time is up."""

    def raise_if_stopped() -> None:
        context.options.raise_if_stopped()
        limit = context.sweep.stop.max_seconds
        if limit is not None and context.phases.total > limit:
            raise Stopped(f"stopped after {limit:g} s, as [stop] max_seconds says")

    return raise_if_stopped
