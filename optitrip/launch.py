"""One command from end to end: loads the objective, opens the journal, chooses the executor, runs, keeps the files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optitrip.driver import files
from optitrip.driver.outcome import Best, Outcome, Status
from optitrip.driver.phases import Phases
from optitrip.driver.provenance import provenance
from optitrip.driver.run import Crew, Driver
from optitrip.driver.state_dir import StateDir
from optitrip.driver.watch import Progress, Watch, Watchers
from optitrip.errors import InputError, NoAnswer, Stopped
from optitrip.executors import Executor
from optitrip.executors.ray_environment import joins_cluster, prepare, ray_installed
from optitrip.executors.serial import Serial
from optitrip.loading import import_paths, load
from optitrip.methods.draws import Draws
from optitrip.objective import Objective
from optitrip.part import Failures
from optitrip.routes.single import Found, single
from optitrip.spec import Sweep, differences
from optitrip.telling import note, told
from optitrip.tracking.figures import losses_png
from optitrip.tracking.remember import remember, track

WORTH_RAY_SECONDS = 10.0
"""Below this the rest of a sweep is evaluated here: Ray takes five to ten seconds to start and one to stop."""


@dataclass(frozen=True)
class Options:
    """What a command says beside the sweep file; no part of the answer."""

    state_dir: Path = Path(".optitrip")
    address: str | None = None
    fresh: bool = False
    accept_changes: bool = False
    heed: Callable[[], None] = lambda: None
    """Called between slices; raises `Stopped` if someone asked to stop."""


def launch(sweep: Sweep, options: Options, watch: Watch) -> Outcome:
    """Run a sweep, or go on with it, or show its result.

    Returns:
        The outcome, also of a sweep that was stopped or has no answer.

    Raises:
        InputError: before anything is evaluated, or because the objective cannot go where it should be evaluated.
    """
    begun, phases = time.perf_counter(), Phases()
    with phases.time("load"):
        objective = load(sweep)
        paths = import_paths(sweep.folder)
        state = StateDir(options.state_dir, sweep, fresh=options.fresh)
        compare(state, provenance(sweep, objective, paths), options)
        state.keep(sweep)
    if state.differs:
        watch.say(state.differs)
    draws = Draws(sweep.space, sweep.seed, sweep.method.sampler)
    progress, tracker = Progress(), track(sweep, state)
    crew = muster(sweep, options, objective, paths, watch, phases)
    watchers = Watchers(progress, watch, *([tracker] if tracker else []))
    driver = Driver(crew, objective.offers.block, state.journal, watchers, phases, options.heed)

    def outcome(status: Status, items: int, **more: Any) -> Outcome:
        evaluated, seconds = driver.evaluated.get("search", 0), phases.seconds.get("search", 0.0)
        return Outcome(
            name=sweep.name,
            identity=sweep.identity,
            status=status,
            items=items,
            evaluated=evaluated,
            seconds=time.perf_counter() - begun,
            phases=dict(phases.seconds),
            items_per_second=evaluated / seconds if evaluated else None,
            state_dir=str(state.path),
            **more,
        )

    written: list[Path] = []
    try:
        try:
            found: Found = driver.run(single(sweep, objective.offers))
        finally:
            with phases.time("shutdown"):
                crew.close()
        with phases.time("files"):
            best, written = keep(state.path, sweep, found, watch, again=not driver.evaluated)
        answer = outcome("finished", found.search.items, best=best, **judged(found))
    except NoAnswer as error:
        message = f"no answer: {error}{told(error.failures, draws)}"
        answer = outcome("failed", progress.done, message=message, exit_status=1)
    except (Stopped, KeyboardInterrupt, OSError) as error:
        best = None
        if progress.index >= 0:
            best = Best(progress.loss, progress.index, draws.point(progress.index), None)
        message = (
            f"{error or 'interrupted'}: {progress.done:,} of {sweep.method.candidates:,} candidates are kept. "
            "The same command goes on from here."
        )
        status = error.status if isinstance(error, Stopped) else 130 if isinstance(error, KeyboardInterrupt) else 75
        answer = outcome("stopped", progress.done, best=best, message=message, exit_status=status)
    except BaseException as error:
        ended = outcome("failed", progress.done, message=f"{type(error).__name__}: {error}")
        remember(tracker, state, ended, [], note(ended), phases, watch)
        raise
    where = remember(tracker, state, answer, written, note(answer, sweep.overrides), phases, watch)
    state.journal.close()
    answer = replace(answer, mlflow=where, seconds=time.perf_counter() - begun, phases=dict(phases.seconds))
    if answer.status == "finished":
        with suppress(OSError):  # the outcome is told either way, and the same command writes it again
            files.replace(state.path / files.RESULT, files.json_bytes(answer.to_json()))
    return answer


def judged(found: Found) -> dict[str, Any]:
    """What an outcome says of the report and the failures."""
    failures = found.search.failures
    reported = found.report.failures if found.report else Failures()
    winner = int(found.search.best_index[0])
    return {
        "report": found.report.figures if found.report else {},
        "failed": failures.count + reported.count,
        "failures": failures.counts() | ({"report": reported.count} if reported.count else {}),
        "message": told(failures, found.draws) or told(reported, found.draws, winner, "its report") or None,
        "exit_status": 3 if failures.count or reported.count else 0,
    }


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
            where = "Ray workers of the cluster" if joins_cluster(options.address) else "local Ray workers"
            watch.say(f"evaluating on {executor.wanted} {where}")
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


def keep(folder: Path, sweep: Sweep, found: Found, watch: Watch, *, again: bool) -> tuple[Best, list[Path]]:
    """Write the winner, the losses and their picture; `again` says that nothing is new since files were written.

    Raises:
        OSError: if they cannot be written.
    """
    result = found.search
    index, loss = int(result.best_index[0]), float(result.best_loss[0])
    values = found.draws.point(index)
    best = Best(loss, index, values, str(folder / files.BEST))
    names = (files.SWEEP_FILE, files.BEST, files.LOSSES, files.PICTURE)
    if again and files.items_told(folder) == result.items:
        return best, [folder / name for name in names if (folder / name).exists()]
    # The result file says that those beside it are of its sweep, so it goes first and comes back last.
    (folder / files.RESULT).unlink(missing_ok=True)
    files.replace(folder / files.BEST, files.best_bytes(values))
    files.replace(folder / files.LOSSES, files.losses_bytes(result))
    try:
        picture = losses_png(result, f"{sweep.name}: {result.items:,} candidates")
    except Exception as error:  # e.g. losses of 1e308; a picture is not what the sweep is for
        watch.say(f"no picture could be drawn: {error}")
        (folder / files.PICTURE).unlink(missing_ok=True)
    else:
        files.replace(folder / files.PICTURE, picture)
    return best, [folder / name for name in names if (folder / name).exists()]
