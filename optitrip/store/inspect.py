"""Describes a sweep: its plan, and the stages, failures and scheduling decisions in its journal."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.failures import Failures, Record
from optitrip.core.method import Method, merged, number_after
from optitrip.errors import NoAnswer, StateError
from optitrip.journal.facts import RecordedRun, StageStarted, StoredResult, StoredStory
from optitrip.journal.rows import missing
from optitrip.loss.objective import Capabilities
from optitrip.output.text import first_and_last, one_line, short_name
from optitrip.runtime.imports import import_paths
from optitrip.runtime.shadowing import is_library
from optitrip.scheduler.story import lines
from optitrip.store import STATE_ROOT
from optitrip.store.runs import state_of, stored_leaders
from optitrip.store.state_dir import SWEEP_FILE, changed_files, open_journal

RUNS_SHOWN = 20
LEADERS_SHOWN = 5
ENDINGS = {
    "running": "running now",
    "stopped": "stopped; the command below resumes it",
    "failed": "ended without an answer; the command below tries again",
    "dead": "its command was killed; the command below resumes it",
}
"""Words for the states in which the last command may have left a sweep, except finished."""
Hide = Callable[[str], str]
"""A function that hides the password of a URI."""


def description(sweep: Sweep) -> str:
    """Return the plan of a sweep as lines of text, without importing what it names."""
    table = sweep.objective
    module, _, attribute = table.reference.partition(":")
    drawn = sum(sweep.space.sizes.values()) if sweep.spec.drawn(sweep.method) else 0
    variables = len(sweep.space.variables)
    lines = [
        f"{sweep.label}: a valid sweep",
        f"  {sweep.spec.describe(sweep)}",
        f"  imports {module} for {attribute}, {place_of(module, sweep.folder)}",
        *(f"    {one_line(name)} = {value!r}" for name, value in table.arguments.items()),
        f"  {variables} variables, {drawn:,} random numbers per candidate ({8 * drawn:,} bytes):",
    ]
    for variable in sweep.space.variables:
        fields = variable.describe()
        distribution = f" {variable.word} {fields[variable.word]}" if variable.word else ""
        shape = f" of shape {list(variable.shape)}" if variable.shape else ""
        dtype = f", {variable.dtype}" if variable.shape or variable.dtype != "float64" else ""
        levels = f" at {fields['levels']:,} levels" if "levels" in fields else ""
        when = f", when {one_line(variable.when.text)}" if variable.when else ""
        lines.append(f"    {one_line(variable.name)}:{distribution}{levels}{shape}{dtype}{when}")
    workers = sweep.run.workers or "one per CPU"
    lines += [
        f"  executor {sweep.run.executor}, workers: {workers}; tracking: {sweep.tracking.use}",
        "  not checked yet: whether the objective can be imported and takes these arguments and parameters,",
        "    whether it is batched, its block, its data, and how long a candidate takes",
    ]
    return "\n".join(lines)


def place_of(module: str, folder: Path) -> str:
    """Say where the top-level package of a module is found, without importing it."""
    top = module.partition(".")[0]
    for path in import_paths(folder):
        if PathFinder.find_spec(top, [path]) is not None:
            return f"found in {path}" + (", but named like a library's: rename it" if is_library(top) else "")
    return "from the installed packages" if find_spec(top) is not None else "which is NOT FOUND"


def overview(sweep: Sweep, folder: Path, hide: Hide) -> Iterator[str]:
    """Yield lines on the progress of each stage of a sweep, on its result or its best items so far, and on where to go
    on: its MLflow run and the command."""
    yield f"{sweep.label}: {sweep.items:,} {sweep.unit} in {folder}"
    for stage, done, failures in stages(folder):
        failed = ", ".join(f"{count:,} {failure}" for failure, count in failures.counts().items())
        after = f"after {stage.before:,} {sweep.unit}, " if stage.before else ""
        stored = f"{after}{done:,} of {stage.items:,} items are stored"
        yield f"  {stage.kind}: {stored}" + (f"; failed: {failed}" if failed else "")
    with open_journal(folder) as journal:
        stored, recorded = journal.fact(StoredResult), journal.fact(RecordedRun)
        state, leaders = state_of(folder, journal), stored_leaders(sweep, journal)
    if stored is not None:
        yield from result_lines(sweep, folder, stored)
    elif state == "finished":
        yield "  finished, but its files are not complete; the command below writes them"
    if ending := ENDINGS.get(state):
        yield f"  {ending}"
    for number, leader in enumerate(leaders[:LEADERS_SHOWN], 1):
        (_, first), *rows = leader.rows()
        words = ", ".join([first, *(f"{short_name(label.strip())} {text}" for label, text in rows)])
        begin: dict[str, Any] = {"initial_indent": f"  {number}. ", "subsequent_indent": "     "}
        yield fill(one_line(words), 80, **begin, break_long_words=False, break_on_hyphens=False)
    if recorded is not None:
        yield f"  MLflow: experiment {recorded.experiment}, run {recorded.run_id},"
        yield f"    in {hide(recorded.tracking_uri)}"
    yield f"  command: {command(folder)}"


def result_lines(sweep: Sweep, folder: Path, stored: StoredResult) -> Iterator[str]:
    try:
        items, summary = f"{stored.outcome['items']:,}", sweep.spec.summary(stored.outcome)
    except (LookupError, TypeError, ValueError):
        raise StateError(f"{folder}: the record of the result is damaged; `optitrip sweep` makes it again") from None
    yield f"  finished with {items} {sweep.unit}" + (f": {summary}" if summary else "")
    if changed := changed_files(folder, stored):
        yield f"  missing, or not as the journal says: {', '.join(changed)}; `optitrip sweep` makes them again"


def command(folder: Path) -> str:
    """Return the command that resumes a sweep, or shows its stored result."""
    root = ["--state-dir", str(folder.parent)] if folder.parent != STATE_ROOT else []
    return shlex.join(["optitrip", "sweep", str(folder / SWEEP_FILE), *root])


def failure_lines(sweep: Sweep, folder: Path) -> Iterator[str]:
    """Yield every failure by kind and index, and the exceptions in the first records of each kind."""
    failed = [(stage.kind, failures) for stage, _, failures in stages(folder) if failures.runs]
    if not failed:
        yield "nothing failed"
        return
    for kind, failures in failed:
        for failure, runs in failures.runs.items():
            yield f"{kind}, {failure}: {failures.counts()[failure]:,}: {indices(runs)}"
            for record in failures.records.get(failure, ()):
                first, *rest = first_and_last(record.message)
                yield f"  {record.index:,}{point_of(sweep, kind, record)}: {record.type}: {first}"
                yield from (f"    {line}" for line in rest)
    yield f"to evaluate one of these items again in this process: optitrip replay {sweep.label} INDEX"


def story_lines(folder: Path) -> Iterator[str]:
    """Yield the decisions of the scheduler, and their reasons, when each stage was last evaluated."""
    chapters = stored_chapters(folder)
    if not chapters:
        yield "nothing is recorded: no items were evaluated"
    for chapter in chapters:
        attempt = f", attempt {chapter['attempt']}" if chapter["attempt"] else ""
        counts = ", ".join(f"{count:,} {event}" for event, count in chapter.get("counts", {}).items())
        yield fill(f"{chapter['kind']}{attempt}: {counts}", 80, subsequent_indent="  ")
        if chapter.get("dropped"):
            yield f"  ({chapter['dropped']:,} of these are no longer stored)"
        yield from lines(chapter.get("entries", ()))


def stored_chapters(folder: Path) -> list[dict[str, Any]]:
    """Return the stored scheduling story of each stage that was last evaluated."""
    with open_journal(folder) as journal:
        story = journal.fact(StoredStory)
        return list(story.chapters) if story else []


def point_of(sweep: Sweep, kind: str, record: Record) -> str:
    """Name the one of an item's points that failed; empty if it has one point, or if this is unknown."""
    names = sweep.spec.points_of(sweep.method, record.index) if kind == sweep.spec.word else ()
    return f", {names[record.side]}" if names and record.side is not None else ""


def main_method(sweep: Sweep, capabilities: Capabilities, folder: Path | None, item: int = 0) -> Method:
    """Return the main stage that has an item of the sweep, or the last before it, as it follows from the stored results
    of the stages before; the first one if these are not stored."""
    found: Method | None = None
    if folder is not None:
        route, result, number = sweep.spec.route(sweep, capabilities), None, -1
        with open_journal(folder) as journal, suppress(StopIteration, NoAnswer):
            while True:
                method: Method = route.send(result)
                if method.main:
                    if found is not None and method.before != found.before + found.items:
                        break  # its items are not numbered on, as those of the steps of a descent
                    found = method
                    if item < method.before + method.items:
                        break
                number, result = number_after(number, method), None
                if method.only_stored:
                    continue  # from the first stage on: what a snapshot leaves out may have the item
                tiles = journal.tiling(number, method.digest(), method.items)
                if missing(tiles, method.items):
                    break
                parts = [part for part, _ in journal.parts(number, method.digest(), tiles)]
                result = method.result(merged(parts, method.merge))
    return sweep.spec.method(sweep, capabilities) if found is None else found


def latest_record(folder: Path, method: Method, item: int) -> Record | None:
    """Return the record of an item's failure in its latest attempt in a stage of this method, if any."""
    digest = method.digest()
    with open_journal(folder) as journal:
        rows = [row for row in journal.rows() if row[1] == digest and item in row[2]]
        if not rows:
            return None
        stage, _, items, attempt = max(rows, key=lambda row: row[3])
        ((part, _),) = journal.parts(stage, digest, [items], attempt)
    all_records = (record for records in part.failures.records.values() for record in records)
    return next((record for record in all_records if record.index == item), None)


def table(sweep: Sweep, folder: Path, hide: Hide) -> dict[str, Any]:
    """Return state, best items, stages, failures and story as one JSON table, with ranges as [first, one past the
    last]."""
    tables: list[dict[str, Any]] = []
    for stage, done, failures in stages(folder):
        failed: dict[str, Any] = {}
        for failure, runs in failures.runs.items():
            records = failures.records.get(failure, ())
            failed[failure] = {"indices": runs, "first": [record.fields() for record in records]}
        tables.append({"kind": stage.kind, "items": stage.items, "done": done, "failures": failed})
    with open_journal(folder) as journal:
        state, recorded = state_of(folder, journal), journal.fact(RecordedRun)
        best = [
            {**leader.fields(None), **leader.metrics(), **leader.labels()} for leader in stored_leaders(sweep, journal)
        ]
    where = {**recorded.to_json(), "tracking_uri": hide(recorded.tracking_uri)} if recorded else None
    head = {"name": sweep.name, "identity": sweep.identity, "state_dir": str(folder), "state": state}
    head |= {"best": best, "mlflow": where, "command": command(folder)}
    return {**head, "stages": tables, "story": stored_chapters(folder)}


def indices(runs: tuple[tuple[int, int], ...]) -> str:
    """Format the first few ranges as text, both ends included."""
    words = ", ".join(f"{lo}" if hi == lo + 1 else f"{lo}-{hi - 1}" for lo, hi in runs[:RUNS_SHOWN])
    return words + (f" and {len(runs) - RUNS_SHOWN:,} more ranges" if len(runs) > RUNS_SHOWN else "")


def stages(folder: Path) -> Iterator[tuple[StageStarted, int, Failures]]:
    """Yield each started stage, with its number of stored items and its failures."""
    with open_journal(folder) as journal:
        for stage in journal.stages():
            tiles = journal.tiling(stage.number, stage.digest, stage.items)
            failures = journal.failures(stage.number, stage.digest, stage.items)
            yield stage, sum(map(len, tiles)), failures
