"""A sweep in parts, each on a machine of its own with nothing shared; and their journals joined into one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences
from optitrip.core.part import Part
from optitrip.errors import InputError, StateError
from optitrip.journal.facts import Provenance
from optitrip.journal.journal import Journal
from optitrip.journal.tiling import missing
from optitrip.store.state_dir import JOURNAL, StateDir
from optitrip.store.stored_sweep import restored

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` shares of the items of a sweep, from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, given: str) -> Shard:
        """Of the form 3/16.

        Raises:
            InputError: for anything else.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", given)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count:
            raise InputError(f"--shard was {given!r}; wanted i/n with i from 1 to n, e.g. 1/16, 2/16 … 16/16")
        return cls(number, count)

    def of(self, items: int, block: int) -> range:
        """Its items: all shares are disjoint, cover everything, and are cut at borders of blocks."""
        return range(self._border(self.number - 1, items, block), self._border(self.number, items, block))

    def _border(self, number: int, items: int, block: int) -> int:
        return items if number == self.count else min(items, number * items // self.count // block * block)

    @property
    def words(self) -> str:
        return f"shard {self.number} of {self.count}"

    def state_root(self, root: Path) -> Path:
        """Where its state directory is: shards on one disk do not meet."""
        return root / f"shard-{self.number}-of-{self.count}"


def check_one_stage(sweep: Sweep) -> None:
    """Go on if a sweep's items can be shared out beforehand.

    Raises:
        InputError: if what is evaluated later depends on what came before.
    """
    if not sweep.spec.sharable(sweep.method):
        raise InputError(
            f"--shard: this {sweep.spec.word} has several stages, and the later ones need all of the first; without "
            "--shard it can run"
        )


def merge(folders: Sequence[Path], root: Path, say: Callable[[str], None], *, accept_changes: bool = False) -> Sweep:
    """Join the journals of shards into that of their sweep.

    Args:
        folders: state directories of shards, or folders with one in them.
        root: the folder of state directories to which the whole belongs.
        say: takes a line for the user.
        accept_changes: join shards although their code, data or libraries differ.

    Returns:
        The sweep, of which all parts are there now.

    Raises:
        InputError: if they are not of one sweep, or some items are in none.
        StateError: if they were not evaluated by the same code.
    """
    sources = [state_directory(folder) for folder in folders]
    sweep = restored(sources[0], root)
    with ExitStack() as stack:
        journals: list[Journal] = []
        for source in sources:
            other = restored(source, root)
            if changed := differences(plain(sweep), plain(other)):
                raise InputError(f"{source} is of another sweep than {sources[0]}: {'; '.join(changed)}")
            journal = Journal(source / JOURNAL, other.identity, reading=True)
            stack.callback(journal.close)
            journals.append(journal)
            changed = differences(provenance(journals[0]), provenance(journal))
            if changed and not accept_changes:
                listed = "\n".join(f"  {line}" for line in changed)
                raise StateError(
                    f"{source} was evaluated by other code, data or libraries than {sources[0]}:\n{listed}\n"
                    "--accept-changes joins them all the same"
                )
        state = StateDir(root, sweep)
        stack.callback(state.close)
        if state.journal.fact(Provenance) is None and (first := journals[0].fact(Provenance)):
            state.journal.note(first)
        state.keep(sweep)
        joined = 0
        for source, journal in zip(sources, journals, strict=True):
            for stage, digest, attempt, parts in batches(journal):
                for items in state.journal.write(stage, digest, parts, time.time_ns() // 1_000_000, attempt):
                    if sweep.objective.deterministic:
                        say(f"{source}: items {items.start} to {items.stop - 1} differ from another shard's")
                joined += len(parts)
        say(f"{len(sources)} shards, {joined:,} parts joined in {state.path}")
        check_complete(journals, state.journal)
    return sweep


def plain(sweep: Sweep) -> dict[str, Any]:
    return {**sweep.identity_fields, "items": sweep.items}


def provenance(journal: Journal) -> dict[str, Any]:
    """Return the provenance in a journal as a table, empty if there is none."""
    found = journal.fact(Provenance)
    return found.to_json() if found else {}


def state_directory(folder: Path) -> Path:
    """A state directory: the folder itself, or the only one in it."""
    if (folder / JOURNAL).exists():
        return folder
    found = sorted(path.parent for path in folder.glob(f"*/{JOURNAL}"))
    if len(found) != 1:
        raise InputError(f"{folder}: {len(found) or 'no'} state directories in it; wanted one with a {JOURNAL}")
    return found[0]


def batches(journal: Journal) -> Iterator[tuple[int, bytes, int, list[tuple[Part, float]]]]:
    """All rows of a journal by stage, digest and attempt, some at a time."""
    rows: dict[tuple[int, bytes, int], list[range]] = {}
    for stage, digest, items, attempt in journal.rows():
        rows.setdefault((stage, digest, attempt), []).append(items)
    for (stage, digest, attempt), ranges in rows.items():
        found = journal.parts(stage, digest, ranges, attempt)
        while parts := [(part, 0.0) for part, _ in islice(found, ROWS_AT_ONCE)]:
            yield stage, digest, attempt, parts


def check_complete(shards: Sequence[Journal], whole: Journal) -> None:
    """Go on if the stages that the shards began have all their items.

    Raises:
        InputError: with the first items that are in no shard.
    """
    for stage in shards[0].stages():
        if gaps := missing(whole.tiling(stage.number, stage.digest, stage.items), stage.items):
            lacking = ", ".join(f"{gap.start:,} to {gap.stop - 1:,}" for gap in gaps[:5])
            lacking += " and others" if len(gaps) > 5 else ""
            raise InputError(
                f"{stage.kind}: items {lacking} are in none of these shards; run the "
                "others and merge all again, or `optitrip sweep` to evaluate the rest here"
            )
