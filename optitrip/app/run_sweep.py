"""One sweep from end to end."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from optitrip.app import messages
from optitrip.app.notice_log import NoticeLog
from optitrip.app.options import Options
from optitrip.app.result_files import with_pictures, write_files
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer, Observers
from optitrip.driver import files
from optitrip.driver.phases import Phases
from optitrip.driver.provenance import provenance
from optitrip.driver.run import Driver
from optitrip.driver.settings import Settings
from optitrip.driver.state_dir import StateDir
from optitrip.errors import Interrupted, NoAnswer, OptitripError, ShardDone, Stopped
from optitrip.executors.manager import ExecutorManager, executors
from optitrip.executors.memory import peak_bytes
from optitrip.executors.ray_environment import ray_installed
from optitrip.journal.facts import Accepted, EvaluatingHere, Origin
from optitrip.loading import import_paths, load
from optitrip.objective import Objective
from optitrip.output.answer import Answer
from optitrip.output.outcome import Outcome, Status
from optitrip.output.text import told
from optitrip.resuming import compare, evaluating_here
from optitrip.shards import check_one_stage
from optitrip.spec import Sweep
from optitrip.telling import note
from optitrip.tracking.apart import Apart
from optitrip.tracking.mlflow_runs import MlflowRun
from optitrip.tracking.recorder import Here, Recorder
from optitrip.tracking.remember import remember, track


def run_sweep(sweep: Sweep, options: Options, observer: Observer, phases: Phases | None = None) -> Outcome:
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
        OptitripError: as `SweepRun.run`; InputError before anything is evaluated if the objective cannot be loaded.
    """
    phases = phases or Phases()
    if options.shard is not None:
        check_one_stage(sweep)
    log = NoticeLog()
    with ExitStack() as stack:
        manager = stack.enter_context(executors_of(sweep, options))
        with phases.time("load"):
            paths, recorder = import_paths(sweep.folder), None
            if not options.has_result(sweep):
                if options.apart and sweep.tracking.use != "none" and options.shard is None:
                    with suppress(OSError):  # no more processes: it will have to be here
                        recorder = stack.enter_context(Apart())
                manager.begin(paths, Observers(log, observer).notice)
            objective = load(sweep)
        run = SweepRun(sweep, objective, paths, manager, options, observer, phases, recorder, log)
        return run.run(release=True)


def executors_of(sweep: Sweep, options: Options) -> ExecutorManager:
    """Return where the sweep of a file is evaluated."""
    run = sweep.run
    # A hanging loss can be ended in another process only.
    executor = "ray" if run.executor == "auto" and sweep.failures.timeout_seconds and ray_installed() else run.executor
    return executors(executor, run.workers, options.address, run.resources)


class SweepRun:
    """One run of a sweep whose objective is loaded, in seven steps.

    Args:
        sweep: the sweep.
        objective: its objective.
        paths: where workers look for modules first.
        executors: where it is evaluated.
        options: how it is run.
        observer: told of all that the journal holds, and of notices.
        phases: the seconds of the command so far.
        recorder: writes the MLflow run; by default one in this process.
        log: takes in the notices.
    """

    def __init__(
        self,
        sweep: Sweep,
        objective: Objective,
        paths: tuple[str, ...],
        executors: ExecutorManager,
        options: Options,
        observer: Observer,
        phases: Phases | None = None,
        recorder: Recorder | None = None,
        log: NoticeLog | None = None,
    ) -> None:
        self._sweep, self._objective, self._paths = sweep, objective, paths
        self._executors, self._options = executors, options
        self._phases, self._recorder = phases or Phases(), recorder
        self._log, self._progress = log or NoticeLog(), sweep.spec.progress(sweep)
        self._observers = Observers(self._log, self._progress, observer)
        self._written: Sequence[Path] = ()

    def run(self, *, release: bool) -> Outcome:
        """Run the sweep.

        Args:
            release: whether to let the workers go while files are written.

        Returns:
            The outcome of a sweep that has an answer, or one share of it.

        Raises:
            NoAnswer: if the sweep cannot have an answer.
            Stopped: if it was stopped, or nothing more can be written.
            Interrupted: the same by Ctrl-C.
            InputError: if the objective cannot go where it is to be evaluated.
            StateError: if what is stored is locked, damaged or changed.
        """
        with ExitStack() as stack:
            state = self._open_state(stack)
            tracker = self._start_tracking(state)
            driver = self._make_driver(state, stack)
            error: BaseException | None = None
            try:
                found = self._evaluate(driver, release=release)
                answer = self._write_answer(found, state, tracker, driver, stack)
                outcome = self._finished(answer, driver, state)
            except BaseException as raised:
                error = raised
                outcome = self._ended(raised, driver, state)
            outcome = self._conclude(outcome, state, tracker, release=release)
        return self._result(outcome, error)

    def _open_state(self, stack: ExitStack) -> StateDir:
        """Step 1: open the state directory, and compare what the answer depends on with what it was."""
        sweep, options = self._sweep, self._options
        with self._phases.time("load"):
            state = StateDir(options.state_dir, sweep, fresh=options.fresh)
            stack.callback(state.close)
            if state.path is not None:
                now = provenance(sweep, self._objective, self._paths)
                compare(state, now, accept_changes=options.accept_changes)
                state.keep(sweep)
                state.journal.note(Origin(sweep.name, sweep.folder, sweep.overrides))
        for lost in state.journal.lost:
            self._observers.notice(warning("journal-damaged", f"the journal was damaged: {lost}"))
        if state.differs:
            self._observers.notice(info("new-sweep", state.differs))
        return state

    def _start_tracking(self, state: StateDir) -> MlflowRun | None:
        """Step 2: begin the MLflow run, or find it again."""
        tracker = None if self._options.shard else track(self._sweep, state, self._recorder or Here())
        if tracker is not None:
            self._observers = Observers(self._observers, tracker)
        return tracker

    def _make_driver(self, state: StateDir, stack: ExitStack) -> Driver:
        """Step 3: choose where to evaluate, and make the driver."""
        sweep, options, executors = self._sweep, self._options, self._executors
        here = executors.begins_here and state.path is not None and not options.has_result(sweep)
        if here and state.journal.fact(EvaluatingHere):
            text = "the last command died, perhaps of a loss in its own process: now Ray workers evaluate all"
            self._observers.notice(warning("crashed-before", text))
            executors.avoid_this_process()
            here = False
        if here:
            stack.enter_context(evaluating_here(state.journal))
        executors.use(self._objective, self._paths, self._observers.notice)
        block, shard = self._objective.offers.block, options.shard
        accepted = state.journal.fact(Accepted)
        return Driver(
            executors,
            block,
            state.journal,
            self._observers,
            self._phases,
            self._heed,
            self._settings(),
            retries=sweep.failures.retries,
            retry_failed=options.retry_failed,
            share=partial(shard.of, block=block) if shard else None,
            checked_since=(accepted.since if accepted else 0) if sweep.objective.deterministic else None,
        )

    def _settings(self) -> Settings:
        sweep = self._sweep
        return replace(
            self._options.settings,
            drain_seconds=sweep.stop.drain_seconds,
            wait_seconds=sweep.run.wait_seconds,
            item_seconds=sweep.failures.timeout_seconds,
        )

    def _heed(self) -> None:
        self._options.heed()
        limit = self._sweep.stop.max_seconds
        if limit is not None and self._phases.total > limit:
            raise Stopped(f"stopped after {limit:g} s, as [stop] max_seconds says")

    def _evaluate(self, driver: Driver, *, release: bool) -> Any:
        """Step 4: run the stages of the route."""
        try:
            return driver.run(self._sweep.spec.route(self._sweep, self._objective.offers))
        finally:
            if release:
                self._executors.leave()

    def _write_answer(
        self, found: Any, state: StateDir, tracker: MlflowRun | None, driver: Driver, stack: ExitStack
    ) -> Answer:
        """Step 5: make the answer and write its files; without a state directory only for MLflow, for a moment."""
        sweep = self._sweep
        with self._phases.time("files"):
            answer = with_pictures(sweep.spec.answer(sweep, found), self._objective, self._observers)
            folder = state.path
            if folder is None and tracker:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="optitrip-")))
                files.replace(folder / files.SWEEP_FILE, sweep.text.encode())
            if folder is not None:
                unchanged = not driver.evaluated
                self._written = write_files(folder, sweep.name, answer, self._observers, unchanged=unchanged)
        return answer

    def _outcome(self, status: Status, items: int, driver: Driver, state: StateDir, **more: Any) -> Outcome:
        evaluated = self._progress.new + driver.again
        seconds = self._phases.seconds.get(self._sweep.spec.word, 0.0)
        return Outcome(
            name=self._sweep.name,
            identity=self._sweep.identity,
            status=status,
            unit=self._sweep.unit,
            no_answer=self._sweep.spec.no_answer,
            items=items,
            evaluated=evaluated,
            seconds=self._phases.total,
            phases=self._phases.seconds,
            items_per_second=evaluated / seconds if evaluated else None,
            state_dir=str(state.path) if state.path else None,
            memory={"driver_bytes": peak_bytes(), "worker_bytes": self._executors.memory},
            **more,
        )

    def _finished(self, answer: Answer, driver: Driver, state: StateDir) -> Outcome:
        allowed = self._sweep.failures.allows(sum(answer.failures.values()), answer.items)
        return self._outcome(
            "finished",
            answer.items,
            driver,
            state,
            answer=answer,
            failures=answer.failures,
            failures_allowed=allowed,
            report=answer.report,
            message=answer.message() or None,
        )

    def _ended(self, error: BaseException, driver: Driver, state: StateDir) -> Outcome:
        """Step 6: say how a sweep stands that has no answer, with the best so far and what failed."""
        progress, shard = self._progress, self._options.shard
        status, message = "failed", f"{type(error).__name__}: {error}"
        if isinstance(error, ShardDone) and shard is not None:
            message = messages.shard_done(error, shard, state.path)
            return self._outcome("shard", len(error.items), driver, state, message=message)
        if isinstance(error, NoAnswer):
            error.args = (f"{error}{told(error.failures, error.points)}",)
            message = f"no answer: {error}"
        if isinstance(error, Stopped | KeyboardInterrupt | OSError):
            status = "stopped"
            message = messages.stopped(error, progress, self._sweep, stored=state.path is not None)
        return self._outcome(
            status,
            progress.done,
            driver,
            state,
            best=None if isinstance(error, NoAnswer) else progress.best(),
            failures=progress.failures.counts(),
            message=message,
        )

    def _conclude(self, outcome: Outcome, state: StateDir, tracker: MlflowRun | None, *, release: bool) -> Outcome:
        """Step 7: let the workers go, deliver the rest to MLflow, write the result file."""
        if release:
            with self._phases.time("shutdown"):
                self._executors.close()
        outcome = replace(outcome, notices=self._log.notices)
        text = note(outcome, self._sweep)
        where = remember(tracker, state, outcome, self._written, text, self._phases, self._observers)
        outcome = replace(
            outcome,
            mlflow=where,
            seconds=self._phases.total,
            phases=self._phases.seconds,
            notices=self._log.notices,
        )
        if outcome.status == "finished" and state.path is not None:
            with suppress(OSError):  # the outcome is told either way, and the same command writes it again
                files.replace(state.path / files.RESULT, files.json_bytes(outcome.to_json()))
        return outcome

    @staticmethod
    def _result(outcome: Outcome, error: BaseException | None) -> Outcome:
        """Return the outcome, or raise what ended the sweep, with the outcome in it."""
        if error is None or isinstance(error, ShardDone):
            return outcome
        if isinstance(error, OSError):
            error = Stopped(str(error))
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(outcome.message or "interrupted", outcome) from None
        if isinstance(error, Stopped):
            error.args = (outcome.message,)
        if isinstance(error, OptitripError):
            error.outcome = outcome
        raise error
