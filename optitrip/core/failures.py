"""Failures of items: by kind, the indices and the first full records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
RECORDS_KEPT = 10
"""Full records kept of each kind of failure; beyond them only the index is."""
RAISED, NAN, INFINITE, INVALID, NO_STEP = "raised", "nan", "infinite", "invalid", "no step"
DIED, TIMEOUT = "died", "timeout"
"""Kinds of failure: an exception; a loss of NaN; a loss of plus or minus infinity; something that is no number; a step
so small that x + h is x; the death of every worker that tried; more time than an item may take."""


@dataclass(frozen=True)
class Record:
    """One failure in full, in the objective's own words."""

    index: int
    type: str
    message: str
    traceback: str
    side: int | None = 0
    """Which of the item's points failed; None where that is not known, e.g. because the worker died."""

    def fields(self) -> dict[str, Any]:
        """Return it as a table; the side of most, 0, is left out."""
        return {name: value for name, value in vars(self).items() if name != "side" or value != 0}


@dataclass(frozen=True)
class Failures:
    """Which items failed: by kind the disjoint, ascending runs [lo, hi) of indices, and the first records."""

    runs: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict[str, tuple[tuple[int, int], ...]])
    records: Mapping[str, tuple[Record, ...]] = field(default_factory=dict[str, tuple[Record, ...]])

    @classmethod
    def of(cls, kinds: Mapping[int, str], records: Iterable[tuple[str, Record]] = ()) -> Failures:
        """Failures of single items; `kinds` maps index to kind. Records beyond the first ten of a kind are dropped."""
        runs: dict[str, list[tuple[int, int]]] = {}
        for index in sorted(kinds):
            mine = runs.setdefault(kinds[index], [])
            if mine and mine[-1][1] == index:
                mine[-1] = (mine[-1][0], index + 1)
            else:
                mine.append((index, index + 1))
        kept: dict[str, list[Record]] = {}
        for kind, record in sorted(records, key=lambda pair: pair[1].index):
            mine_kept = kept.setdefault(kind, [])
            if len(mine_kept) < RECORDS_KEPT:
                mine_kept.append(record)
        return cls(sorted_tuples(runs), sorted_tuples(kept))

    @property
    def count(self) -> int:
        return sum(hi - lo for runs in self.runs.values() for lo, hi in runs)

    def counts(self) -> dict[str, int]:
        return {kind: sum(hi - lo for lo, hi in runs) for kind, runs in sorted(self.runs.items())}

    def first(self) -> tuple[str, Record] | None:
        """The kind and record of the lowest index that has a record."""
        pairs = [(kind, records[0]) for kind, records in self.records.items() if records]
        return min(pairs, key=lambda pair: pair[1].index, default=None)

    def cover(self, items: range) -> bool:
        """Whether every index of `items` failed."""
        within = sum(
            max(0, min(hi, items.stop) - max(lo, items.start)) for runs in self.runs.values() for lo, hi in runs
        )
        return within == len(items)

    def then(self, *later: Failures) -> Failures:
        """These failures, followed by those of higher indices, in order."""
        some = [one for one in (self, *later) if one.runs]
        if len(some) < 2:
            return some[0] if some else self
        runs: dict[str, list[tuple[int, int]]] = {}
        records: dict[str, list[Record]] = {}
        for one in some:
            for kind, more in one.runs.items():
                mine = runs.setdefault(kind, [])
                if mine and mine[-1][1] == more[0][0]:
                    mine[-1] = (mine[-1][0], more[0][1])
                    mine.extend(more[1:])
                else:
                    mine.extend(more)
            for kind, extra in one.records.items():
                kept = records.setdefault(kind, [])
                kept.extend(extra[: RECORDS_KEPT - len(kept)])
        return Failures(sorted_tuples(runs), sorted_tuples(records))

    def replaced(self, items: range, other: Failures) -> Failures:
        """These failures, with those of a range as another try left them.

        Of the records that were not kept, none comes back.
        """
        return self.all_replaced([items], other)

    def all_replaced(self, ranges: Sequence[range], other: Failures) -> Failures:
        """`replaced` for many ranges at once, disjoint and ascending: one by one would look at every run each time."""
        kept = self._outside(ranges)
        runs: dict[str, list[tuple[int, int]]] = {}
        for kind, mine in [*kept.runs.items(), *other.runs.items()]:
            runs.setdefault(kind, []).extend(mine)
        joined_runs: dict[str, list[tuple[int, int]]] = {}
        for kind, unsorted in runs.items():
            for lo, hi in sorted(unsorted):
                so_far = joined_runs.setdefault(kind, [])
                if so_far and so_far[-1][1] == lo:
                    so_far[-1] = (so_far[-1][0], hi)
                else:
                    so_far.append((lo, hi))
        records: dict[str, list[Record]] = {}
        for kind, mine in [*kept.records.items(), *other.records.items()]:
            records.setdefault(kind, []).extend(mine)
        first = {kind: sorted(mine, key=lambda one: one.index)[:RECORDS_KEPT] for kind, mine in records.items()}
        return Failures(sorted_tuples(joined_runs), sorted_tuples(first))

    def _outside(self, ranges: Sequence[range]) -> Failures:
        runs = {kind: tuple(outside(mine, ranges)) for kind, mine in self.runs.items()}
        records = {
            kind: tuple(one for one in mine if not any(one.index in items for items in ranges))
            for kind, mine in self.records.items()
        }
        return Failures(
            {kind: mine for kind, mine in runs.items() if mine},
            {kind: mine for kind, mine in records.items() if mine},
        )

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        if self == NONE:
            return NO_FAILURES
        table = {
            "runs": dict(self.runs),
            "records": {kind: [record.fields() for record in records] for kind, records in self.records.items()},
        }
        return json.dumps(table, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Failures:
        if data == NO_FAILURES:
            return NONE
        table = json.loads(data)
        return cls(
            {kind: tuple((lo, hi) for lo, hi in runs) for kind, runs in table["runs"].items()},
            {kind: tuple(Record(**record) for record in records) for kind, records in table["records"].items()},
        )


NONE = Failures()
NO_FAILURES = b'{"records":{},"runs":{}}'
"""NONE as bytes: of most parts; to parse it would be half of the time to read a long journal."""


def outside(runs: Iterable[tuple[int, int]], ranges: Sequence[range]) -> Iterator[tuple[int, int]]:
    """Yield what is left of runs without some ranges; both are disjoint and ascending."""
    first = 0
    for lo, hi in runs:
        while first < len(ranges) and ranges[first].stop <= lo:
            first += 1
        at, number = lo, first
        while number < len(ranges) and ranges[number].start < hi:
            if at < ranges[number].start:
                yield at, ranges[number].start
            at = max(at, ranges[number].stop)
            number += 1
        if at < hi:
            yield at, hi


def sorted_tuples(by_kind: Mapping[str, Iterable[T]]) -> dict[str, tuple[T, ...]]:
    """In the order of kinds, so that no one can see in which order they were met."""
    return {kind: tuple(by_kind[kind]) for kind in sorted(by_kind)}


Problems = list[tuple[str, Record]]
"""Failures met on the way, each with its kind."""
