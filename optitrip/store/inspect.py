"""What a journal holds, for people: stages, and what failed by kind and index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from textwrap import fill
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.failures import Failures, Record
from optitrip.core.method import Method
from optitrip.journal.facts import StoredStory
from optitrip.journal.journal import Journal
from optitrip.scheduler.story import lines
from optitrip.store.state_dir import JOURNAL, RESULT

RUNS_SHOWN = 20


def listing(sweep: Sweep, folder: Path) -> Iterator[str]:
    """How far a sweep is, stage by stage, and its result if it has one."""
    yield f"{sweep.label}: {sweep.items:,} {sweep.unit} in {folder}"
    for kind, items, done, failures in stages(sweep, folder):
        failed = ", ".join(f"{count:,} {what}" for what, count in failures.counts().items())
        yield f"  {kind}: {done:,} of {items:,} items are there" + (f", of these failed: {failed}" if failed else "")
    yield "  " + outcome(sweep, folder)


def outcome(sweep: Sweep, folder: Path) -> str:
    """Return the result of a sweep in a line, from its result file."""
    try:
        result: dict[str, Any] = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return "not finished: `optitrip sweep` goes on"
    summary = sweep.spec.summary(result)
    return f"finished with {result['items']:,}" + (f": {summary}" if summary else "")


def failures(sweep: Sweep, folder: Path) -> Iterator[str]:
    """Every failure by kind and index, with the first records of each kind in the objective's own words."""
    nothing = True
    for kind, _, _, found in stages(sweep, folder):
        for what, runs in found.runs.items():
            nothing = False
            count = sum(hi - lo for lo, hi in runs)
            yield f"{kind}, {what}: {count:,}: {indices(runs)}"
            for record in found.records.get(what, ()):
                said = record.message.splitlines()[0] if record.message else ""
                yield f"  {record.index:,}{point_of(sweep, kind, record)}: {record.type}: {said}"
    if nothing:
        yield "nothing failed"
    else:
        yield f"optitrip replay {sweep.label} INDEX evaluates one of them again, in this process"


def story(sweep: Sweep, folder: Path) -> Iterator[str]:
    """What was decided when items were last evaluated, and why, stage by stage."""
    told = chapters(sweep, folder)
    if not told:
        yield "nothing is recorded: no items were evaluated"
    for chapter in told:
        attempt = f", attempt {chapter['attempt']}" if chapter["attempt"] else ""
        counts = ", ".join(f"{count:,} {what}" for what, count in chapter.get("counts", {}).items())
        yield fill(f"{chapter['kind']}{attempt}: {counts}", 80, subsequent_indent="  ")
        if chapter.get("dropped"):
            yield f"  (of these, {chapter['dropped']:,} are not kept)"
        yield from lines(chapter.get("entries", ()))


def chapters(sweep: Sweep, folder: Path) -> list[dict[str, Any]]:
    """Return the stories of the stages that were last evaluated, as they are in the journal."""
    with closing(Journal(folder / JOURNAL, sweep.identity, reading=True)) as journal:
        told = journal.fact(StoredStory)
        return list(told.chapters) if told else []


def point_of(sweep: Sweep, kind: str, record: Record) -> str:
    """Return which of an item's points failed, in words; empty where it has one point, or it is not known."""
    names = sweep.spec.points_of(sweep.method, record.index) if kind == sweep.spec.word else ()
    return f", {names[record.side]}" if names and record.side is not None else ""


def recorded(sweep: Sweep, folder: Path, method: Method, item: int) -> Record | None:
    """Return the record of an item that failed in a stage of this method when it was last tried, if there is one."""
    digest = method.digest()
    with closing(Journal(folder / JOURNAL, sweep.identity, reading=True)) as journal:
        tried = [
            (attempt, stage, items) for stage, of, items, attempt in journal.rows() if of == digest and item in items
        ]
        if not tried:
            return None
        attempt, stage, items = max(tried, key=lambda one: one[0])
        ((part, _),) = journal.parts(stage, digest, [items], attempt)
    records = (record for kept in part.failures.records.values() for record in kept)
    return next((record for record in records if record.index == item), None)


def table(sweep: Sweep, folder: Path) -> dict[str, Any]:
    """The same for programs, with all ranges: [first, one past the last]."""
    return {
        "name": sweep.name,
        "identity": sweep.identity,
        "state_dir": str(folder),
        "stages": [
            {
                "kind": kind,
                "items": items,
                "done": done,
                "failures": {
                    what: {
                        "indices": [list(run) for run in runs],
                        "first": [r.fields() for r in found.records.get(what, ())],
                    }
                    for what, runs in found.runs.items()
                },
            }
            for kind, items, done, found in stages(sweep, folder)
        ],
        "story": chapters(sweep, folder),
    }


def indices(runs: tuple[tuple[int, int], ...]) -> str:
    """Ranges with both ends, the first few of them."""
    shown = ", ".join(f"{lo}" if hi == lo + 1 else f"{lo}-{hi - 1}" for lo, hi in runs[:RUNS_SHOWN])
    return shown + (f" and {len(runs) - RUNS_SHOWN:,} ranges more" if len(runs) > RUNS_SHOWN else "")


def stages(sweep: Sweep, folder: Path) -> Iterator[tuple[str, int, int, Failures]]:
    """Kind, items, how many of them are there, and what failed, of each stage that was begun."""
    with closing(Journal(folder / JOURNAL, sweep.identity, reading=True)) as journal:
        for begun in journal.stages():
            key = begun.number, begun.digest
            tiles = journal.tiling(*key, begun.items)
            found = journal.failures(*key, begun.items)
            yield begun.kind, begun.items, sum(map(len, tiles)), found
