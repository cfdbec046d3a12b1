"""One sweep from end to end, in seven steps: load, open, track, evaluate, answer, write, conclude."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from optitrip.app import results
from optitrip.app.context import Context, NoticeLog
from optitrip.app.load_objective import load
from optitrip.app.make_driver import make_driver
from optitrip.app.options import Options
from optitrip.config.sweep import Sweep
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer, Observers
from optitrip.executors.manager import executors_of
from optitrip.journal.facts import Origin
from optitrip.output.outcome import Outcome
from optitrip.runtime.imports import import_paths
from optitrip.runtime.stopwatch import Stopwatch
from optitrip.store.provenance import check_provenance, provenance
from optitrip.store.shards import check_one_stage
from optitrip.store.state_dir import StateDir
from optitrip.tracking.runs import track
from optitrip.tracking.subprocess_client import SubprocessClient


def run_sweep(sweep: Sweep, options: Options, observer: Observer, phases: Stopwatch | None = None) -> Outcome:
    """Run a sweep, resume it, or return its stored result, as `run_loaded`.

    Ray and MLflow, which take long to start, start before the objective is loaded, unless a result is stored.

    Raises:
        InputError: before anything is evaluated, if the objective cannot be loaded.
    """
    if options.shard is not None:
        check_one_stage(sweep)
    phases, log = phases or Stopwatch(), NoticeLog()
    with ExitStack() as stack:
        executors = stack.enter_context(executors_of(sweep.run, sweep.failures, options.address))
        with phases.time("load"):
            paths, client = import_paths(sweep.folder), None
            if not options.has_result(sweep):
                if options.mlflow_process and sweep.tracking.use != "none" and options.shard is None:
                    with suppress(OSError):  # no process can be started: MLflow is used in this one
                        client = stack.enter_context(SubprocessClient())
                executors.start_early(paths, Observers(log, observer).notice)
            objective = load(sweep)
        return run_loaded(Context(sweep, objective, paths, executors, options, observer, True, phases, client, log))


def run_loaded(context: Context) -> Outcome:
    """Run a sweep whose objective is loaded; return the outcome if it has an answer or was a shard.

    Raises:
        NoAnswer: if the sweep cannot have an answer.
        Stopped: if it was stopped, or nothing more can be written.
        Interrupted: if it was stopped by Ctrl-C.
        InputError: if the objective cannot be sent to workers.
        StateError: if the stored state is locked, damaged or changed.
    """
    sweep, phases = context.sweep, context.phases
    with ExitStack() as stack:
        with phases.time("load"):
            state = open_state(context)
        stack.callback(state.close)
        tracker = None if context.options.shard else track(sweep, state, context.client)
        observers = Observers(context.observers, *([tracker] if tracker else []))
        driver = stack.enter_context(make_driver(context, state, observers))
        written: Sequence[Path] = ()
        error: BaseException | None = None
        try:
            try:
                result = driver.run(sweep.spec.route(sweep, context.objective.capabilities))
            finally:
                if context.release:
                    context.executors.start_closing()
            with phases.time("files"):
                answer = results.with_images(context, result)
                folder = stack.enter_context(results.result_folder(context, state.path, tracked=tracker is not None))
                if folder is not None:
                    written = results.write_files(folder, sweep.name, answer, observers, unchanged=not driver.evaluated)
            outcome = results.finished(context, state, driver, answer)
        except BaseException as raised:
            error, outcome = raised, results.unfinished(context, state, driver, raised)
        outcome = results.conclude(context, state, tracker, observers, outcome, written)
    return results.return_or_raise(outcome, error)


def open_state(context: Context) -> StateDir:
    """Open the state directory of a sweep, and store there where the sweep comes from.

    Raises:
        StateError: if it is locked or damaged, or if code, data or libraries have changed.
    """
    sweep, options = context.sweep, context.options
    state = StateDir(options.state_dir, sweep, fresh=options.fresh)
    try:
        if state.path is not None:
            now = provenance(sweep, context.objective, context.paths)
            check_provenance(state, now, accept_changes=options.accept_changes)
            state.store_sweep_file(sweep)
            state.journal.note(Origin(sweep.name, sweep.folder, sweep.overrides))
    except BaseException:
        state.close()
        raise
    for damage in state.journal.damage:
        context.observers.notice(warning("journal-damaged", f"the journal was damaged: {damage}"))
    if state.difference:
        context.observers.notice(info("new-sweep", state.difference))
    return state
