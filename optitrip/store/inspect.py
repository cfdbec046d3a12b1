"""Shows what a journal holds: its stages, what failed by kind and index, and what the scheduler decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.failures import Failures, Record
from optitrip.core.method import Method
from optitrip.journal.facts import StoredStory
from optitrip.scheduler.story import lines
from optitrip.store.state_dir import open_journal, read_result

RUNS_SHOWN = 20


def overview(sweep: Sweep, folder: Path) -> Iterator[str]:
    """Yield lines on the progress of a sweep, stage by stage, and on its result if it has one."""
    yield f"{sweep.label}: {sweep.items:,} {sweep.unit} in {folder}"
    for kind, items, done, failures in stages(folder):
        failed = ", ".join(f"{count:,} {failure}" for failure, count in failures.counts().items())
        yield f"  {kind}: {done:,} of {items:,} items are stored" + (f"; failed: {failed}" if failed else "")
    result = read_result(folder)
    if not result:
        yield "  not finished; `optitrip sweep` resumes it"
        return
    summary = sweep.spec.summary(result)
    yield f"  finished with {result['items']:,} {sweep.unit}" + (f": {summary}" if summary else "")


def failure_lines(sweep: Sweep, folder: Path) -> Iterator[str]:
    """Yield every failure by kind and index, with the first records of each kind in the objective's own words."""
    failed = [(kind, failures) for kind, _, _, failures in stages(folder) if failures.runs]
    if not failed:
        yield "nothing failed"
        return
    for kind, failures in failed:
        for failure, runs in failures.runs.items():
            yield f"{kind}, {failure}: {failures.counts()[failure]:,}: {indices(runs)}"
            for record in failures.records.get(failure, ()):
                message = next(iter(record.message.splitlines()), "")
                yield f"  {record.index:,}{point_of(sweep, kind, record)}: {record.type}: {message}"
    yield f"to evaluate one of these items again, in this process: optitrip replay {sweep.label} INDEX"


def story_lines(folder: Path) -> Iterator[str]:
    """Yield what the scheduler decided when items were last evaluated, and why, stage by stage."""
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
    """Return the stories of the stages that were last evaluated, as the journal has them."""
    with open_journal(folder) as journal:
        story = journal.fact(StoredStory)
        return list(story.chapters) if story else []


def point_of(sweep: Sweep, kind: str, record: Record) -> str:
    """Return which of an item's points failed, in words; empty if it has one point, or that is not known."""
    names = sweep.spec.points_of(sweep.method, record.index) if kind == sweep.spec.word else ()
    return f", {names[record.side]}" if names and record.side is not None else ""


def latest_record(folder: Path, method: Method, item: int) -> Record | None:
    """Return the record of an item's failure in a stage of this method, if it failed in its latest attempt."""
    digest = method.digest()
    with open_journal(folder) as journal:
        rows = [row for row in journal.rows() if row[1] == digest and item in row[2]]
        if not rows:
            return None
        stage, _, items, attempt = max(rows, key=lambda row: row[3])
        ((part, _),) = journal.parts(stage, digest, [items], attempt)
    all_records = (record for records in part.failures.records.values() for record in records)
    return next((record for record in all_records if record.index == item), None)


def table(sweep: Sweep, folder: Path) -> dict[str, Any]:
    """Return all of it as a table for programs, with ranges as [first, one past the last]."""
    tables: list[dict[str, Any]] = []
    for kind, items, done, failures in stages(folder):
        failed: dict[str, Any] = {}
        for failure, runs in failures.runs.items():
            records = failures.records.get(failure, ())
            failed[failure] = {"indices": runs, "first": [record.fields() for record in records]}
        tables.append({"kind": kind, "items": items, "done": done, "failures": failed})
    head = {"name": sweep.name, "identity": sweep.identity, "state_dir": str(folder)}
    return {**head, "stages": tables, "story": stored_chapters(folder)}


def indices(runs: tuple[tuple[int, int], ...]) -> str:
    """Return ranges in words, with both ends; the first few of them."""
    words = ", ".join(f"{lo}" if hi == lo + 1 else f"{lo}-{hi - 1}" for lo, hi in runs[:RUNS_SHOWN])
    return words + (f" and {len(runs) - RUNS_SHOWN:,} more ranges" if len(runs) > RUNS_SHOWN else "")


def stages(folder: Path) -> Iterator[tuple[str, int, int, Failures]]:
    """Yield kind, number of items, number of stored items, and failures of each stage that was started."""
    with open_journal(folder) as journal:
        for stage in journal.stages():
            tiles = journal.tiling(stage.number, stage.digest, stage.items)
            failures = journal.failures(stage.number, stage.digest, stage.items)
            yield stage.kind, stage.items, sum(map(len, tiles)), failures
