"""One sweep from end to end, in seven steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from optitrip.app.conclude import conclude
from optitrip.app.context import Context
from optitrip.app.endings import ended, finished, result
from optitrip.app.load_objective import load
from optitrip.app.make_driver import make_driver
from optitrip.app.notice_log import NoticeLog
from optitrip.app.open_state import open_state
from optitrip.app.options import Options
from optitrip.app.result_files import folder_of_files, make_answer, write_files
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observer, Observers
from optitrip.executors.manager import executors_of
from optitrip.output.outcome import Outcome
from optitrip.runtime.imports import import_paths
from optitrip.runtime.stopwatch import Stopwatch
from optitrip.store.shards import check_one_stage
from optitrip.tracking.runs import track
from optitrip.tracking.subprocess_client import SubprocessClient


def run_sweep(sweep: Sweep, options: Options, observer: Observer, phases: Stopwatch | None = None) -> Outcome:
    """Run a sweep, or resume it, or show its result.

    What takes long to start, Ray and MLflow, starts before the objective is loaded, unless the sweep has its result.

    Args:
        sweep: the sweep.
        options: how it is run.
        observer: told of all that the journal holds, and of notices.
        phases: the seconds of the command so far.

    Returns:
        The outcome of a sweep that has an answer, or one share of it.

    Raises:
        OptitripError: as `run_loaded`; InputError before anything is evaluated if the objective cannot be loaded.
    """
    if options.shard is not None:
        check_one_stage(sweep)
    phases, log = phases or Stopwatch(), NoticeLog()
    with ExitStack() as stack:
        executors = stack.enter_context(executors_of(sweep.run, sweep.failures, options.address))
        with phases.time("load"):
            paths, client = import_paths(sweep.folder), None
            if not options.has_result(sweep):
                if options.apart and sweep.tracking.use != "none" and options.shard is None:
                    with suppress(OSError):  # no more processes: it will have to be here
                        client = stack.enter_context(SubprocessClient())
                executors.start_early(paths, Observers(log, observer).notice)
            objective = load(sweep)
        return run_loaded(Context(sweep, objective, paths, executors, options, observer, True, phases, client, log))


def run_loaded(context: Context) -> Outcome:
    """Run a sweep whose objective is loaded.

    Returns:
        The outcome of a sweep that has an answer, or one share of it.

    Raises:
        NoAnswer: if the sweep cannot have an answer.
        Stopped: if it was stopped, or nothing more can be written.
        Interrupted: the same by Ctrl-C.
        InputError: if the objective cannot go where it is to be evaluated.
        StateError: if what is stored is locked, damaged or changed.
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
                found = driver.run(sweep.spec.route(sweep, context.objective.capabilities))
            finally:
                if context.release:
                    context.executors.start_closing()
            with phases.time("files"):
                answer = make_answer(context, found)
                folder = stack.enter_context(folder_of_files(context, state.path, tracked=tracker is not None))
                if folder is not None:
                    unchanged = not driver.evaluated
                    written = write_files(folder, sweep.name, answer, observers, unchanged=unchanged)
            outcome = finished(context, state, driver, answer)
        except BaseException as raised:
            error, outcome = raised, ended(context, state, driver, raised)
        outcome = conclude(context, state, tracker, observers, outcome, written)
    return result(outcome, error)
