"""Runs a sweep from end to end in seven steps: load, open, track, evaluate, answer, write, conclude.

The answer is shown before figures are drawn and MLflow is told.
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from warnings import catch_warnings

from optitrip.app import mirrored, results
from optitrip.app.best_run import keep_best_run
from optitrip.app.commands import begun, ended
from optitrip.app.context import Context, NoticeLog, Options
from optitrip.app.load_objective import errors_located, load
from optitrip.app.resources import with_folders
from optitrip.config.sweep import Sweep
from optitrip.core.arrays import ours
from optitrip.core.notice import warning
from optitrip.core.observer import Observer, Observers
from optitrip.driver.run import Driver
from optitrip.driver.settings import Services
from optitrip.errors import InputError, Stopped
from optitrip.executors.manager import executors_of
from optitrip.journal.facts import Accepted, EvaluatingHere
from optitrip.journal.mirror import Mirror
from optitrip.loss.objective import Objective
from optitrip.output.outcome import Answer, Outcome
from optitrip.runtime import files
from optitrip.runtime.clock import Stopwatch
from optitrip.runtime.imports import import_paths
from optitrip.runtime.interrupts import signals_interrupt
from optitrip.runtime.ray_job import vanishes
from optitrip.space.rounding import underflow
from optitrip.store.bundle import collect
from optitrip.store.provenance import check_provenance, digested, provenance
from optitrip.store.running import RunningNotes
from optitrip.store.state_dir import SWEEP_FILE, StateDir
from optitrip.tracking.location import store_file
from optitrip.tracking.runs import track
from optitrip.tracking.subprocess_client import SubprocessClient

AFTER_CRASH_SECONDS = 0.05
"""Duration of a slice after a crash: long beside the driver's work for it, and one item where items are slow."""
DEATHS_HERE = 2
"""Number of times that an item may end its process on this machine, where neither nodes nor memory of others fail."""


def run_sweep(sweep: Sweep, options: Options, observer: Observer, phases: Stopwatch | None = None) -> Outcome:
    """Load a sweep's objective, then run it as `run_loaded` does.

    MLflow is slow to import, so its process starts before the objective is loaded, unless a result is stored. Ray
    starts after it, since the objective's module may change the environment, which Ray reads again and again.
    """
    if options.shard is not None and not sweep.spec.shardable(sweep.method):
        reason = f"this {sweep.spec.word} has several stages, and the later ones need all of the first"
        raise InputError(f"--shard: {reason}; run it without --shard")
    phases, log = phases or Stopwatch(), NoticeLog(logging=False)
    notify = Observers(log, observer).notice
    with ExitStack() as stack:
        with errors_located(sweep):
            executors = stack.enter_context(executors_of(sweep, options.address))
        executors.folder = options.folder
        with phases.time("load"):
            paths, client = import_paths(sweep.folder), None
            tracked = sweep.tracking.use != "none" and options.shard is None and not options.has_result(sweep)
            if options.mlflow_process and tracked:
                with suppress(OSError):  # no subprocess can be started, so MLflow runs in this process
                    client = stack.enter_context(SubprocessClient())
            objective = load(sweep, notify)
            if options.checks:
                check_gradient_exists(sweep, objective)
        return run_loaded(Context(sweep, objective, paths, executors, options, observer, True, phases, client, log))


def check_gradient_exists(sweep: Sweep, objective: Objective) -> None:
    """Raise InputError if there is no gradient that the sweep's answer would compare with the numeric one."""
    if not sweep.spec.compares:
        raise InputError(
            f"there is nothing to check: a {sweep.spec.word} sweep compares no gradient; name a sweep file with "
            'use = "gradient"'
        )
    if not objective.capabilities.gradient:
        raise InputError(
            "there is nothing to check: the objective has no gradient; name one with --gradient MODULE:NAME, or give "
            "the objective a method `gradient` with the parameters of the loss"
        )


@signals_interrupt()
def run_loaded(context: Context) -> Outcome:
    """Run a sweep, resume it, or return its stored result; the outcome of a shard has no answer.

    Raises NoAnswer, Stopped or Interrupted with the outcome; InputError if the objective cannot be sent to workers.
    """
    sweep, options, phases = context.sweep, context.options, context.phases
    with ours(), ExitStack() as stack:
        context, states = with_folders(context, stack)
        state, mirror = opened(context, stack)
        commands = begun(context, state)
        tracker = None
        if not options.shard:
            uri, folder = options.tracking_uri, options.folder
            tracker = track(sweep, state, uri, context.client, commands, context.observers, context.progress, folder)
        observers = Observers(context.observers, *([tracker] if tracker else []), *([states] if states else []))
        driver = stack.enter_context(make_driver(context, state, observers, mirror))
        written = results.Written(state.path)
        error: BaseException | None = None
        try:
            try:
                with errors_located(sweep):
                    result = driver.run(sweep.spec.route(sweep, context.objective.capabilities))
            finally:
                if context.release:
                    context.executors.start_closing()
            answer = replace(result, evaluations=driver.evaluations * sweep.objective.repeats)
            outcome = results.finished(context, driver, answer)
        except BaseException as raised:
            error, outcome = raised, results.unfinished(context, state, driver, raised)
        context.put_back()
        outcome = ended(context, state, commands, outcome)
        if mirror is not None:
            mirror.tick(now=True)  # while figures are drawn and MLflow is told; whoever stops a command may not wait
        if error is None or isinstance(error, results.SHOWN):
            with options.own_state.restored():
                place = mirror.place if mirror is not None else None
                left = results.left(state, driver, outcome, tracked=tracker is not None, mirror=place)
                options.answered(outcome, left)
        try:
            if outcome.answer is not None:
                with phases.time("files"):
                    answer = results.with_images(context, outcome.answer)
                outcome = replace(outcome, answer=answer)
                written = write(context, state, driver, answer, stack, for_mlflow=tracker is not None)
                if states is not None:
                    states.conclude(answer, state.path)
        except BaseException as raised:
            error, outcome = raised, results.cut_short(context, state, outcome, raised)
        context.put_back()
        try:
            with options.own_state.restored(), catch_warnings(action="ignore"):
                outcome = results.conclude(context, state, tracker, outcome, written)
                outcome = mirrored.finished(context, mirror, outcome, written.names)
        except KeyboardInterrupt as raised:
            error, outcome = error or raised, results.cut_short(context, state, outcome, raised)
    return results.return_or_raise(outcome, error)


def opened(context: Context, stack: ExitStack) -> tuple[StateDir, Mirror | None]:
    """Restore the journal if asked to, open the state directory and check it; return it with the mirror, if any."""
    options = context.options
    context.put_back()
    report_vanishing(context)  # also if the state directory is then refused
    with context.phases.time("load"):
        with options.own_state.restored():
            replaces = mirrored.restored(context)
            state = StateDir(options.root, context.sweep, fresh=options.fresh, trust=options.trust)
        stack.enter_context(closing(state))
        check_state(context, state)
        report_oddities(context)
        return state, mirrored.mirror_of(context, state, replaces)


def write(
    context: Context, state: StateDir, driver: Driver, answer: Answer, stack: ExitStack, *, for_mlflow: bool
) -> results.Written:
    """Write the files of an answer into the state directory, or into a temporary one that only MLflow gets."""
    options, sweep, folder = context.options, context.sweep, state.path
    context.put_back()
    with context.phases.time("files"), options.own_state.restored(), catch_warnings(action="ignore"):
        current = results.current_files(state, sweep, answer, driver.evaluated, context.observers)
        if folder is None and for_mlflow:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="optitrip-"))).absolute()
            files.write_atomically(folder / SWEEP_FILE, sweep.resolved.encode())
        if folder is not None and state.writable:
            current = results.write_files(folder, sweep, answer, context.observers, current)
            keep_best_run(context, answer, folder)
    return results.Written(folder, current)


def check_state(context: Context, state: StateDir) -> None:
    """Compare code, data and libraries with those of the stored parts, and store the sweep's file and origin."""
    sweep = context.sweep
    for damage in state.journal.damage:
        context.observers.notice(warning("journal-damaged", f"the journal was damaged: {damage}"))
    state.report(context.observers)
    if state.path is not None:
        with errors_located(sweep, sweep.objective.key):
            now = provenance(sweep, context.objective)
        check_provenance(state, now, accept_changes=context.options.accept_changes, data=digested(sweep))
        state.store_sweep(sweep)
        state.report(context.observers)


def report_oddities(context: Context) -> None:
    """Warn of what is likely to be a mistake in the space, or in what the objective offers."""
    for variable in context.sweep.space.variables:
        if text := underflow(variable.distribution, variable.dtype):
            context.observers.notice(warning("rounded-to-zero", f"space.{variable.name}: {text}"))
    if ignored := context.objective.offers.ignored:
        text = f"{context.objective.name} has attributes called like what optitrip looks for, which it leaves "
        text += f"alone: {'; '.join(ignored)}. Rename or correct what was meant for it"
        context.observers.notice(warning("attribute-ignored", text))


def report_vanishing(context: Context) -> None:
    """Warn of results that Ray deletes with its cluster."""
    tracked = context.sweep.tracking.use != "none"
    stores = [context.options.root, store_file(context.options.tracking_uri) if tracked else None]
    if lost := [str(path) for path in stores if path is not None and vanishes(path)]:
        text = f"{' and '.join(lost)} would vanish with this Ray cluster, in whose folder it is; name places that "
        context.observers.notice(warning("vanishing", f"{text}outlive it with --state-dir and MLFLOW_TRACKING_URI"))


def beside(sweep: Sweep) -> Mapping[str, bytes]:
    """Return what workers on other hosts need from the sweep file's folder: modules, and the files that it names."""
    with errors_located(sweep, ("objective", "files")):
        return collect(sweep.folder, sorted(sweep.modules), sweep.objective.files).files


@contextmanager
def make_driver(context: Context, state: StateDir, observer: Observer, mirror: Mirror | None) -> Generator[Driver]:
    """Make the driver of a run.

    While items may be evaluated in this process, the journal holds the fact `EvaluatingHere`. A loss that crashes this
    process would crash it again on resume, so the next run that finds the fact evaluates on workers only.
    """
    sweep, options, executors, journal = context.sweep, context.options, context.executors, state.journal
    deaths = DEATHS_HERE
    here = executors.evaluates_here and state.path is not None and not options.has_result(sweep)
    if here and journal.fact(EvaluatingHere):
        text = "the last command crashed, perhaps because of the loss; all items are now evaluated"
        observer.notice(warning("crashed-before", f"{text} {executors.leave_process()}"))
        here, deaths = False, 1
    if executors.joins_cluster:
        executors.files = beside(sweep)
    executors.use(context.objective, context.paths, observer.notice)
    block, shard = context.objective.capabilities.block, options.shard
    accepted = journal.fact(Accepted)
    settings = replace(
        options.settings,
        drain_seconds=sweep.stop.drain_seconds,
        wait_seconds=sweep.run.wait_seconds,
        item_seconds=sweep.failures.timeout_seconds,
        backups=sweep.run.backups,
        deaths=deaths if executors.has_processes else options.settings.deaths,
        compared=sweep.objective.deterministic is True,
        one_block=sweep.program is not None,  # what a stop ends takes along nothing else
    )
    if deaths == 1:  # an item that ends its process again takes along as little as can be
        settings = replace(settings, target_seconds=AFTER_CRASH_SECONDS)
    if sweep.program is not None:  # a copy of a late run would take the place of the next
        settings = replace(settings, backups=bool(sweep.run.backups))

    def between_slices() -> None:
        if mirror is not None:
            mirror.tick()
        context.raise_if_stopped()

    if state.path is not None:
        observer = Observers(observer, RunningNotes(journal))
    services = Services(executors, journal, observer, context.phases, between_slices, settings, context.overrun)
    driver = Driver(
        services,
        block,
        retries=sweep.failures.retries,
        retry_failed=options.retry_failed,
        share=partial(shard.of, block=block) if shard else None,
        checked_since=(accepted.since if accepted else 0) if sweep.objective.compared else None,
        noise=sweep.objective.noise,
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
