"""One sweep from end to end: opens the journal, runs, keeps the files, tells MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from optitrip.base_point import located
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer, Observers
from optitrip.driver import files
from optitrip.driver.phases import Phases
from optitrip.driver.provenance import provenance
from optitrip.driver.run import Driver
from optitrip.driver.settings import DEFAULT, Settings
from optitrip.driver.state_dir import StateDir
from optitrip.driver.watch import Progress
from optitrip.endings import ended_early, stopped
from optitrip.errors import NoAnswer, ShardDone, Stopped
from optitrip.executors.manager import ExecutorManager, executors
from optitrip.executors.memory import peak_bytes
from optitrip.executors.ray_environment import ray_installed
from optitrip.loading import import_paths, load
from optitrip.methods.routes import single
from optitrip.objective import Objective
from optitrip.output.answer import Answer
from optitrip.output.outcome import Outcome, Status
from optitrip.output.text import told
from optitrip.resuming import compare, evaluating_here
from optitrip.shards import Shard, check_one_stage
from optitrip.spec import Sweep
from optitrip.telling import note
from optitrip.tracking.apart import Apart
from optitrip.tracking.recorder import Here, Recorder
from optitrip.tracking.remember import remember, track


@dataclass(frozen=True)
class Options:
    """What is said beside the sweep; no part of the answer."""

    state_dir: Path | None = Path(".optitrip")
    """None: nothing is written."""
    address: str | None = None
    fresh: bool = False
    accept_changes: bool = False
    retry_failed: bool = False
    """What failed is tried once more."""
    shard: Shard | None = None
    """One share of the items alone, to be merged with the others; MLflow is told of the whole only."""
    apart: bool = False
    """MLflow in a process of its own: a single sweep need not wait for its import, many in one process share one."""
    settings: Settings = DEFAULT
    """Those of the driver; the sweep's own durations replace some of them."""
    heed: Callable[[], None] = lambda: None
    """Called between slices; raises `Stopped` if someone asked to stop."""


def launch(sweep: Sweep, options: Options, watch: Observer, phases: Phases | None = None) -> Outcome:
    """Run the sweep of a file, or go on with it, or show its result.

    What takes long to start, Ray and MLflow, starts before the objective is loaded, unless the sweep has its result.

    Returns:
        The outcome, also of a sweep that was stopped or has no answer.

    Raises:
        InputError: before anything is evaluated, or because the objective cannot go where it should be evaluated.
    """
    phases = phases or Phases()
    run = sweep.run
    if options.shard is not None:
        check_one_stage(sweep)
    # A hanging loss can be ended in another process only.
    executor = "ray" if run.executor == "auto" and sweep.failures.timeout_seconds and ray_installed() else run.executor
    with executors(executor, run.workers, options.address, run.resources) as workers, ExitStack() as stack:
        recorder: Recorder | None = None
        with phases.time("load"):
            sweep = located(sweep, options.state_dir or Path(".optitrip"))
            paths = import_paths(sweep.folder)
            if not has_result(sweep, options):
                if options.apart and sweep.tracking.use != "none" and options.shard is None:
                    with suppress(OSError):  # no more processes: it will have to be here
                        recorder = stack.enter_context(Apart())
                workers.begin(paths, watch.notice)
            objective = load(sweep)
        return conduct(
            sweep, objective, paths, workers, options, watch, phases, closing=True, recorder=recorder
        )  # fmt: skip


def has_result(sweep: Sweep, options: Options) -> bool:
    """Whether a result file covers all that is asked for, so that most likely nothing is to be evaluated."""
    if options.fresh or options.retry_failed or options.state_dir is None:
        return False
    return files.items_told(options.state_dir / sweep.label) == sweep.items


def conduct(
    sweep: Sweep,
    objective: Objective,
    paths: tuple[str, ...],
    workers: ExecutorManager,
    options: Options,
    watch: Observer,
    phases: Phases,
    *,
    closing: bool,
    recorder: Recorder | None = None,
) -> Outcome:
    """The same of a sweep whose objective and point are there.

    Args:
        closing: let the workers go while files are made.
        recorder: of MLflow's run; by default one in this process.
    """
    with phases.time("load"):
        state = StateDir(options.state_dir, sweep, fresh=options.fresh)
        try:
            if state.path is not None:
                compare(state, provenance(sweep, objective, paths), accept_changes=options.accept_changes)
                state.keep(sweep)
                origin = {"name": sweep.name, "folder": str(sweep.folder), "overrides": list(sweep.overrides)}
                state.journal.set(origin=origin)
        except BaseException:
            state.close()
            raise
    for lost in state.journal.lost:
        watch.notice(warning("journal-damaged", f"the journal was damaged: {lost}"))
    if state.differs:
        watch.notice(info("new-sweep", state.differs))
    here = workers.begins_here and state.path is not None and not has_result(sweep, options)
    if here and state.journal.get("here"):
        watch.notice(
            warning(
                "crashed-before",
                "the last command died, perhaps of a loss in its own process: now Ray workers evaluate all",
            )
        )
        workers.avoid_this_process()
        here = False
    workers.use(objective, paths, watch.notice)
    progress, shard = Progress(), options.shard
    tracker = None if shard else track(sweep, state, recorder or Here())
    watchers = Observers(progress, watch, *([tracker] if tracker else []))

    def heed() -> None:
        options.heed()
        if (limit := sweep.stop.max_seconds) is not None and phases.total > limit:
            raise Stopped(f"stopped after {limit:g} s, as [stop] max_seconds says")

    driver = Driver(
        workers,
        objective.offers.block,
        state.journal,
        watchers,
        phases,
        heed,
        replace(
            options.settings,
            drain_seconds=sweep.stop.drain_seconds,
            wait_seconds=sweep.run.wait_seconds,
            item_seconds=sweep.failures.timeout_seconds,
        ),
        retries=sweep.failures.retries,
        retry_failed=options.retry_failed,
        share=partial(shard.of, block=objective.offers.block) if shard else None,
        checked_since=state.journal.get("accepted") or 0 if sweep.objective.deterministic else None,
    )

    def outcome(status: Status, items: int, **more: Any) -> Outcome:
        evaluated, seconds = progress.new + driver.again, phases.seconds.get(sweep.method.use, 0.0)
        return Outcome(
            name=sweep.name,
            identity=sweep.identity,
            status=status,
            unit=sweep.unit,
            items=items,
            evaluated=evaluated,
            seconds=phases.total,
            phases=phases.seconds,
            items_per_second=evaluated / seconds if evaluated else None,
            state_dir=str(state.path) if state.path else None,
            memory={"driver_bytes": peak_bytes(), "worker_bytes": workers.memory},
            **more,
        )

    with ExitStack() as stack:
        stack.callback(state.close)
        if here:
            stack.enter_context(evaluating_here(state.journal))
        written: list[Path] = []
        try:
            try:
                answer: Answer = driver.run(single(sweep, objective.offers))
            finally:
                if closing:
                    workers.leave()
            with phases.time("files"):
                answer = pictured(answer, objective, watch)
                folder = state.path
                if folder is None and tracker:
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="optitrip-")))
                    files.replace(folder / files.SWEEP_FILE, sweep.text.encode())
                if folder is not None:
                    written = keep(folder, sweep, answer, watch, again=not driver.evaluated)
            ended = outcome(
                "finished",
                answer.items,
                answer=answer,
                failures=answer.failures,
                report=answer.report,
                message="\n".join(filter(None, [ended_early(sweep, answer), answer.message()])) or None,
                exit_status=0 if sweep.failures.allows(sum(answer.failures.values()), answer.items) else 3,
            )
        except NoAnswer as error:
            message = f"no answer: {error}{told(error.failures, error.points)}"
            ended = outcome("failed", progress.done, message=message, exit_status=1)
        except ShardDone as done:
            assert shard is not None
            items = f"items {done.items.start:,} to {done.items.stop - 1:,}" if done.items else "no items"
            message = f"{shard.words}: {items} are done. `optitrip merge` joins it with the others: {state.path}"
            ended = outcome("shard", len(done.items), message=message)
        except (Stopped, KeyboardInterrupt, OSError) as error:
            ended = stopped(error, sweep, progress, outcome, kept=state.path is not None)
        except BaseException as error:
            failed = outcome("failed", progress.done, message=f"{type(error).__name__}: {error}")
            remember(tracker, state, failed, [], note(failed, sweep), phases, watch)
            raise
        if closing:
            with phases.time("shutdown"):
                workers.close()
        where = remember(tracker, state, ended, written, note(ended, sweep), phases, watch)
        ended = replace(ended, mlflow=where, seconds=phases.total, phases=phases.seconds)
        if ended.status == "finished" and state.path is not None:
            with suppress(OSError):  # the outcome is told either way, and the same command writes it again
                files.replace(state.path / files.RESULT, files.json_bytes(ended.to_json()))
        return ended


def pictured(answer: Answer, objective: Objective, watch: Observer) -> Answer:
    """The answer with pictures of its parameters, or of its gradient, if the objective can show them."""
    try:
        return answer.with_images(objective.images(answer.shown))
    except Exception as error:  # the user's own, and a picture is not what the sweep is for
        watch.notice(
            warning("no-picture", f"the objective could not picture its parameters: {type(error).__name__}: {error}")
        )
        return answer


def keep(folder: Path, sweep: Sweep, answer: Answer, watch: Observer, *, again: bool) -> list[Path]:
    """Write the answer's files; `again` says that nothing is new since files were written.

    Raises:
        OSError: if they cannot be written.
    """
    contents = dict(answer.files(sweep.name))
    places = [folder / files.SWEEP_FILE, *(folder / name for name in contents)]
    if again and files.items_told(folder) == answer.items:
        return [path for path in places if path.exists()]
    # The result file says that those beside it are of its sweep, so it goes first and comes back last.
    (folder / files.RESULT).unlink(missing_ok=True)
    for name, make in contents.items():
        try:
            data = make()
        except Exception as error:  # e.g. losses of 1e308; a picture is not what the sweep is for
            if not name.endswith(".png"):
                raise
            watch.notice(warning("no-picture", f"no picture {name} could be drawn: {error}"))
            (folder / name).unlink(missing_ok=True)
        else:
            files.replace(folder / name, data)
    return [path for path in places if path.exists()]
