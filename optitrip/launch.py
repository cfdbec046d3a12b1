"""One command from end to end: loads the objective, opens the journal, chooses the executor, runs, keeps the files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optitrip.driver import files
from optitrip.driver.outcome import Best, Outcome, Status
from optitrip.driver.phases import Phases
from optitrip.driver.provenance import provenance
from optitrip.driver.run import Crew, Driver
from optitrip.driver.state_dir import StateDir
from optitrip.driver.watch import Watch, Watchers, Written
from optitrip.errors import InputError, NoAnswer, Stopped
from optitrip.executors import Executor
from optitrip.executors.ray_environment import joins_cluster, prepare, ray_installed
from optitrip.executors.serial import Serial
from optitrip.loading import import_paths, load
from optitrip.methods import Method
from optitrip.methods.draws import Draws
from optitrip.objective import Objective
from optitrip.part import Failures
from optitrip.routes.single import Found, single
from optitrip.spec import Sweep, differences
from optitrip.telling import figures, note, told
from optitrip.tracking.figures import losses_png
from optitrip.tracking.remember import remember, track

WORTH_RAY_SECONDS = 10.0
"""Below this the rest of a sweep is evaluated here: Ray takes about five seconds to start and one to stop."""


@dataclass(frozen=True)
class Options:
    """What a command says beside the sweep file; no part of the answer."""

    state_dir: Path = Path(".optitrip")
    address: str | None = None
    fresh: bool = False
    accept_changes: bool = False
    heed: Callable[[], None] = lambda: None
    """Called between slices; raises `Stopped` if someone asked to stop."""


class Progress:
    """Counts what the journal holds of the search."""

    def __init__(self) -> None:
        self.done, self.loss, self.index = 0, float("inf"), -1

    def stage(self, method: Method, found: int) -> None: ...

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        for part, _ in written:
            if "best_loss" in part.columns:
                self.done += len(part.items)
                for loss, index in zip(part.columns["best_loss"][:1], part.columns["best_index"][:1], strict=True):
                    if (loss, index) < (self.loss, self.index):
                        self.loss, self.index = float(loss), int(index)

    def say(self, message: str) -> None: ...


def launch(sweep: Sweep, options: Options, watch: Watch) -> Outcome:
    """Run a sweep, or go on with it, or show its result.

    Raises:
        InputError: before anything is evaluated.
        NoAnswer: if there is none; the message tells of the first failure.
        Stopped: by a signal or because workers kept dying; what is journaled stays.
    """
    begun, phases = time.perf_counter(), Phases()
    with phases.time("load"):
        objective = load(sweep)
        paths = import_paths(sweep.folder)
        state = StateDir(options.state_dir, sweep, fresh=options.fresh)
        compare(state, provenance(sweep, objective, paths), options)
    if state.differs:
        watch.say(state.differs)
    draws = Draws(sweep.space, sweep.seed, sweep.method.sampler)
    progress = Progress()
    tracker = track(sweep, state)
    watchers = Watchers(progress, watch, *([tracker] if tracker else []))
    crew = muster(sweep, options, objective, paths, watch, phases)
    driver = Driver(crew, objective.offers.block, state.journal, watchers, phases, options.heed)

    def outcome(status: Status, **more: Any) -> Outcome:
        evaluated = driver.evaluated.get("search", 0)
        searched = phases.seconds.get("search", 0.0)
        return Outcome(
            name=sweep.name,
            identity=sweep.identity,
            status=status,
            evaluated=evaluated,
            seconds=time.perf_counter() - begun,
            phases=phases.seconds,
            items_per_second=evaluated / searched if evaluated else None,
            state_dir=str(state.path),
            **more,
        )

    try:
        found: Found = driver.run(single(sweep, objective.offers))
    except NoAnswer as error:
        reason = f"{error}{told(error.failures, draws)}"
        remember(tracker, state, "failed", "FAILED", {}, 0, [], reason, phases, watch)
        raise NoAnswer(reason) from None
    except (Stopped, KeyboardInterrupt) as error:
        reason = str(error) or "interrupted"
        best = f"; smallest loss so far {progress.loss:.6g} at {progress.index:,}" if progress.index >= 0 else ""
        remember(tracker, state, "stopped", "KILLED", {}, 0, [], reason, phases, watch)
        status = error.status if isinstance(error, Stopped) else 130
        raise Stopped(
            f"{reason}: {progress.done:,} of {sweep.method.candidates:,} candidates are kept{best}. "
            "The same command goes on from here.",
            status,
        ) from None
    finally:
        with phases.time("shutdown"):
            crew.close()
    if driver.evaluated and crew.may_grow:
        watch.say("evaluated in this process: it took less time than Ray takes to start")
    with phases.time("files"):
        best, written = keep(state.path, sweep, found, again=not driver.evaluated)
    reported = found.report.failures if found.report else Failures()
    failures = found.search.failures
    answer = outcome(
        "finished",
        items=found.search.items,
        failed=failures.count + reported.count,
        failures=failures.counts() | ({"report": reported.count} if reported.count else {}),
        first_failure=told(failures, draws) or told(reported, draws, best.index, "its report") or None,
        best=best,
        report=found.report.figures if found.report else {},
        mlflow=None,
        exit_status=3 if failures.count or reported.count else 0,
    )
    where = remember(
        tracker,
        state,
        "finished",
        "FINISHED",
        figures(answer),
        answer.items,
        written,
        note(answer, sweep.overrides),
        phases,
        watch,
    )
    state.journal.close()
    answer = replace(answer, mlflow=where, seconds=time.perf_counter() - begun, phases=dict(phases.seconds))
    files.replace(state.path / files.RESULT, files.json_bytes(answer.to_json()))
    return answer


def compare(state: StateDir, now: Mapping[str, Any], options: Options) -> None:
    """Record the provenance of a new sweep; hold that of an old one against it.

    Raises:
        InputError: if it changed and the command does not accept that.
    """
    before = state.journal.get("provenance")
    if before is not None and not state.journal.empty():
        changed = differences(before, now)
        if changed and not options.accept_changes:
            listed = "\n".join(f"  {line}" for line in changed)
            raise InputError(
                f"{state.path}: what the answer depends on has changed since its first part:\n{listed}\n"
                "--fresh starts over; --accept-changes goes on with the parts that are there."
            )
    state.journal.set(provenance=now)


def muster(
    sweep: Sweep, options: Options, objective: Objective, paths: tuple[str, ...], watch: Watch, phases: Phases
) -> Crew:
    """The executor that the file and the command ask for; it starts when the first slice is to be evaluated.

    Raises:
        InputError: if Ray is asked for and not installed.
    """
    wanted, workers, resources = sweep.run.executor, sweep.run.workers, sweep.run.resources
    if wanted == "ray" and not ray_installed():
        raise InputError("--executor ray: Ray is not installed (it has no wheels for this platform?); use serial")

    def ray() -> Executor:
        with phases.time("ray"):
            watch.say("joining a Ray cluster" if joins_cluster(options.address) else "starting Ray")
            prepare(options.address)
            from optitrip.executors.ray_workers import RayWorkers

            executor = RayWorkers(workers, options.address, paths, resources)
            kind = "a cluster's" if joins_cluster(options.address) else "local"
            watch.say(f"evaluating on {executor.wanted} {kind} Ray workers")
            return executor

    def grow(seconds_left: float) -> Executor | None:
        if seconds_left < WORTH_RAY_SECONDS:
            watch.say(f"evaluating in this process: about {seconds_left:.0f} s are left, less than Ray is worth")
            return None
        return ray()

    joins = joins_cluster(options.address)
    if wanted == "ray" or (wanted == "auto" and joins and ray_installed()):
        return Crew(ray, objective)
    if wanted == "auto" and ray_installed():
        return Crew(Serial, objective, grow)
    return Crew(Serial, objective)


def keep(folder: Path, sweep: Sweep, found: Found, *, again: bool) -> tuple[Best, list[Path]]:
    """Write the winner, the losses and their picture; `again` says that nothing is new since the files were written."""
    result = found.search
    index, loss = int(result.best_index[0]), float(result.best_loss[0])
    values = found.draws.point(index)
    best = Best(loss, index, values, str(folder / files.BEST))
    written = [folder / name for name in (files.SWEEP_FILE, files.BEST, files.LOSSES, files.PICTURE)]
    if again and all(file.exists() for file in written) and files.items_told(folder) == result.items:
        return best, written
    files.replace(folder / files.BEST, files.best_bytes(values))
    files.replace(folder / files.LOSSES, files.losses_bytes(result))
    title = f"{sweep.name}: {result.items:,} candidates"
    files.replace(folder / files.PICTURE, losses_png(result, title))
    return best, written
