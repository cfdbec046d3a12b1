"""Splits a sweep into shards that run on separate machines, and joins their journals into one."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences
from optitrip.core.part import Part
from optitrip.errors import InputError, StateError
from optitrip.journal.facts import Provenance
from optitrip.journal.journal import Journal
from optitrip.journal.rows import missing
from optitrip.store.lookup import restore_sweep
from optitrip.store.state_dir import JOURNAL, StateDir, check_trusted, exists, matching, open_journal

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Shard:
    """Share `number` of `count` of the items of a sweep, numbered from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, given: str) -> "Shard":
        """Parse a shard of the form 3/16; raise InputError for anything else."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", given)
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count:
            raise InputError(f"--shard was {given!r:.60}; wanted i/n with i from 1 to n, e.g. 1/16, 2/16, ..., 16/16")
        return cls(number, count)

    def of(self, items: int, block: int) -> range:
        """Return the items of this shard; shards are disjoint, cover all items, and begin at block boundaries."""
        first, last = (number * items // self.count // block * block for number in (self.number - 1, self.number))
        return range(first, items if self.number == self.count else last)

    def state_root(self, root: Path) -> Path:
        """Return the folder of the shard's state directory, so that shards on one disk are kept apart."""
        return root / f"shard-{self.number}-of-{self.count}"


def merge(
    folders: Sequence[Path],
    root: Path,
    say: Callable[[str], None],
    *,
    accept_changes: bool = False,
    trust: bool = False,
) -> Sweep:
    """Join the journals of shards into the journal of their sweep, below `root`, and return the sweep.

    Each folder is or contains a shard's state directory; `say` receives lines for the user. With `accept_changes`,
    shards are joined even if they were evaluated with different code, data or libraries; with `trust`, even if others
    could have planted them.
    """
    sources = [find_state_directory(folder) for folder in folders]
    for source in sources if not trust else ():
        check_trusted(source)
    sweeps = [restore_sweep(source, root) for source in sources]
    sweep = sweeps[0]
    tables = [{**other.identity_fields, "items": other.items} for other in sweeps]
    for source, table in zip(sources, tables, strict=True):
        if changed := differences(tables[0], table):
            raise InputError(f"{source} and {sources[0]} are shards of different sweeps: {'; '.join(changed)}")
    with ExitStack() as stack:
        journals = [stack.enter_context(open_journal(source)) for source in sources]
        provenances = [journal.fact(Provenance) for journal in journals]
        tables = [provenance.to_json() if provenance else {} for provenance in provenances]
        for source, table in zip(sources, tables, strict=True):
            changed = differences(tables[0], table)
            if changed and not accept_changes:
                listed = "\n".join(f"  {line}" for line in changed)
                raise StateError(
                    f"{source} and {sources[0]} were evaluated with different code, data or libraries:\n{listed}\n"
                    "nothing was joined; --accept-changes joins these shards regardless"
                )
        state = stack.enter_context(closing(StateDir(root, sweep, trust=trust)))
        if state.journal.fact(Provenance) is None and provenances[0]:
            state.journal.note(provenances[0])
        state.store_sweep(sweep)
        joined = 0
        for source, journal in zip(sources, journals, strict=True):
            for stage, digest, attempt, parts in batches(journal):
                for items in state.journal.write(stage, digest, parts, time.time_ns() // 1_000_000, attempt):
                    if sweep.objective.deterministic is True:
                        say(f"{source}: items {items.start} to {items.stop - 1} differ between shards")
                joined += len(parts)
        say(f"{len(sources)} shards, {joined:,} parts joined in {state.path}")
        check_complete(journals, state.journal)
    return sweep


def find_state_directory(folder: Path) -> Path:
    """Return the folder itself if it is a state directory, else the only state directory in it."""
    if exists(folder / JOURNAL):
        return folder
    found = [path.parent for path in matching(folder, f"*/{JOURNAL}")]
    if len(found) != 1:
        raise InputError(f"{folder!s:.200}: {len(found) or 'no'} state directories in it; wanted one with a {JOURNAL}")
    return found[0]


def batches(journal: Journal) -> Iterator[tuple[int, bytes, int, list[tuple[Part, float]]]]:
    """Yield all parts of a journal in batches, each from one stage, digest and attempt."""
    for (stage, digest, attempt), rows in groupby(journal.rows(), lambda row: (row[0], row[1], row[3])):
        found = journal.parts(stage, digest, [items for _, _, items, _ in rows], attempt)
        while parts := [(part, 0.0) for part, _ in islice(found, ROWS_AT_ONCE)]:
            yield stage, digest, attempt, parts


def check_complete(shards: Sequence[Journal], joined: Journal) -> None:
    """Raise InputError, naming the first missing items, unless every stage of the shards has all its items."""
    for stage in shards[0].stages():
        if gaps := missing(joined.tiling(stage.number, stage.digest, stage.items), stage.items):
            words = ", ".join(f"{gap.start:,} to {gap.stop - 1:,}" for gap in gaps[:5])
            words += " and others" if len(gaps) > 5 else ""
            raise InputError(
                f"{stage.kind}: joined these shards, but items {words} are missing; run the other shards and merge all "
                "again, or run `optitrip sweep` to evaluate the rest here"
            )
