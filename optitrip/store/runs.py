"""Lists the sweeps of a folder of state directories, from their journals alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.observer import Printable
from optitrip.errors import OptitripError, StateError
from optitrip.journal.facts import Commands, StageStarted, StoredResult
from optitrip.journal.journal import Journal
from optitrip.methods.registry import METHODS, find
from optitrip.output.text import columns, compact, one_line, padded
from optitrip.runtime.files import is_locked
from optitrip.store.lookup import restore_sweep
from optitrip.store.state_dir import JOURNAL, exists, open_journal, time_of

NO_SWEEP, UNREADABLE = "no sweep", "damaged"
HEADS = ("sweep", "state", "best", "items", "rate", "age")
SIDES = "<<>>>>"
"""Sides of the columns on which their texts stand."""


@dataclass(frozen=True)
class StoredSweep:
    """A sweep as its state directory describes it."""

    folder: Path
    state: str
    """State: running, finished, stopped, failed, shard, dead (its command was killed), damaged or "no sweep"."""
    items: int = 0
    """Number of items that are stored, with those that failed."""
    wanted: int = 0
    """Number of items that the sweep asks for."""
    best: float | None = None
    rate: float | None = None
    """Items per second."""
    written: float = 0.0
    """Time when the journal was last written, in seconds since 1970."""
    reason: str = ""
    """Reason why there is nothing more; empty if there is."""

    def to_json(self) -> dict[str, Any]:
        name, _, identity = self.folder.name.rpartition("-")
        rest = {key: value for key, value in vars(self).items() if key != "folder"}
        return {"name": name or self.folder.name, "identity": identity, **rest, "state_dir": str(self.folder)}


def stored_sweeps(root: Path) -> list[StoredSweep]:
    """Return what is known about every folder in a folder of state directories, the latest written first."""
    try:
        folders = [folder for folder in root.iterdir() if folder.is_dir()]
    except OSError:
        return []
    return sorted(map(stored_sweep, sorted(folders)), key=lambda sweep: sweep.written, reverse=True)


def stored_sweep(folder: Path) -> StoredSweep:
    """Return what a state directory says; whatever is wrong with it is told, and not raised."""
    if not exists(folder / JOURNAL):
        return StoredSweep(folder, NO_SWEEP, reason=f"it has no {JOURNAL}")
    try:
        with open_journal(folder, check=False) as journal:
            return replace(read(folder, journal), written=time_of(folder))
    except OptitripError as error:
        return StoredSweep(folder, UNREADABLE, written=time_of(folder), reason=str(error))
    except Exception as error:  # rows and facts are not checked: they may hold anything
        return StoredSweep(folder, UNREADABLE, written=time_of(folder), reason=f"{type(error).__name__}: {error}")


def read(folder: Path, journal: Journal) -> StoredSweep:
    state, result, stage = state_of(folder, journal), journal.fact(StoredResult), main_stage(journal)
    if state == "finished" and result and stage:
        outcome = result.outcome
        items, best = outcome["items"], find(stage.kind).headline(outcome)
        return StoredSweep(folder, state, items, items, best, outcome["items_per_second"])
    if stage is None:
        return StoredSweep(folder, state)
    sweep = restore_sweep(folder, folder.parent)
    leaders = stored_leaders(sweep, journal)
    best = sweep.spec.headline(leaders[0].fields(None)) if leaders else None
    counted = sweep.spec.progress(sweep).count
    done = stage.before + sum(map(counted, journal.tiling(stage.number, stage.digest, stage.items)))
    return StoredSweep(folder, state, done, sweep.items, best, journal.recent_rate())


def state_of(folder: Path, journal: Journal) -> str:
    """Return the state of a sweep: that of its last command, which was killed if it runs but has let go of the lock."""
    if is_locked(folder):
        return "running"
    last, result = journal.fact(Commands), journal.fact(StoredResult)
    state = last.state if last else "finished" if result else "running"
    return "dead" if state == "running" else state


def main_stage(journal: Journal) -> StageStarted | None:
    """Return the last started stage that evaluates the sweep's items."""
    return next((stage for stage in reversed(journal.stages()) if stage.kind in METHODS), None)


def stored_leaders(sweep: Sweep, journal: Journal) -> Sequence[Printable]:
    """Return the best items in the journal, best first."""
    result, stage = journal.fact(StoredResult), main_stage(journal)
    if stage is None:
        return []
    try:
        items = min(stage.items, result.outcome["items"]) if result else stage.items
    except (LookupError, TypeError):
        damaged = f"{journal.path.parent}: the record of the result is damaged"
        raise StateError(f"{damaged}; `optitrip sweep` makes it again") from None
    return sweep.spec.leaders(sweep, journal.every_part(stage.number, stage.digest, items))


def lines(sweeps: Sequence[StoredSweep], now: float, width: int | None) -> Iterator[str]:
    """Yield the lines of a table; names that do not fit in the width are cut before their identity."""
    rows = [HEADS, *(cells(sweep, now) for sweep in sweeps)]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        widths[0] = max(12, min(widths[0], width - sum(widths[1:]) - 2 * len(widths[1:])))
    for name, *rest in rows:
        if columns(name) > widths[0]:
            begin = name[: widths[0] - 11]
            while columns(begin) > widths[0] - 11:
                begin = begin[:-1]
            name = f"{begin}..{name[-9:]}"
        yield "  ".join(map(padded, [name, *rest], widths, SIDES)).rstrip()


def cells(sweep: StoredSweep, now: float) -> tuple[str, ...]:
    items = (
        compact(sweep.items) if sweep.items == sweep.wanted else f"{compact(sweep.items)} of {compact(sweep.wanted)}"
    )
    best = "" if sweep.best is None else f"{sweep.best:.6g}"
    rate = "" if sweep.rate is None else f"{compact(sweep.rate)}/s"
    known = sweep.state not in (NO_SWEEP, UNREADABLE)
    return (
        one_line(sweep.folder.name),
        sweep.state,
        best,
        items if known else "",
        rate,
        age(now - sweep.written) if sweep.written else "",
    )


def age(seconds: float) -> str:
    """Return a duration in the largest unit of which it has two, e.g. "3 min"."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
