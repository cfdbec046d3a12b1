"""Failures of items: the indices by kind, and full records of the first few of each kind."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
Runs = defaultdict[str, list[tuple[int, int]]]
RECORDS_KEPT = 10
"""Number of full records per kind of failure; of later failures only the index is stored."""
RAISED, NAN, INFINITE, INVALID = "raised", "nan", "infinite", "invalid"
NO_STEP, DIED, TIMEOUT = "no step", "died", "timeout"
"""Kinds of failure: an exception; a loss of NaN, or a delta that is not finite; an infinite loss; not a number; a step
to x itself, NaN or infinity; the death of every worker that tried; more time than an item may take."""


@dataclass(frozen=True)
class Record:
    """One failure in full, with the message and traceback that the objective raised."""

    index: int
    type: str
    message: str
    traceback: str
    side: int | None = 0
    """Number of the item's point that failed; None where it is unknown, e.g. because the worker died."""

    def fields(self) -> dict[str, Any]:
        """Return the record as a table; the usual side, 0, is omitted."""
        return {name: value for name, value in vars(self).items() if name != "side" or value != 0}


Problems = list[tuple[str, Record]]
"""Failures during an evaluation, each with its kind."""


@dataclass(frozen=True)
class Failures:
    """The items that failed: by kind the disjoint, ascending runs [lo, hi) of indices, and the first records."""

    runs: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict[str, tuple[tuple[int, int], ...]])
    records: Mapping[str, tuple[Record, ...]] = field(default_factory=dict[str, tuple[Record, ...]])

    @classmethod
    def of(cls, kinds: Mapping[int, str], records: Iterable[tuple[str, Record]] = ()) -> "Failures":
        """Make failures from single items: `kinds` maps each index to its kind, `records` may be in any order."""
        runs = Runs(list)
        for index in sorted(kinds):
            append_run(runs[kinds[index]], index, index + 1)
        return cls(sorted_tuples(runs), first_records(records))

    @property
    def count(self) -> int:
        return sum(hi - lo for runs in self.runs.values() for lo, hi in runs)

    def counts(self) -> dict[str, int]:
        return {kind: sum(hi - lo for lo, hi in runs) for kind, runs in sorted(self.runs.items())}

    def first(self) -> tuple[str, Record] | None:
        """Return the kind and record of the lowest index that has a record."""
        pairs = [(kind, records[0]) for kind, records in self.records.items() if records]
        return min(pairs, key=lambda pair: pair[1].index, default=None)

    def cover(self, items: range) -> bool:
        """Return whether every index of `items` failed."""
        overlaps = (min(hi, items.stop) - max(lo, items.start) for runs in self.runs.values() for lo, hi in runs)
        return sum(max(0, overlap) for overlap in overlaps) == len(items)

    def then(self, *later: "Failures") -> "Failures":
        """Join these failures with later ones, given in ascending order of indices."""
        runs, records = Runs(list), defaultdict[str, list[Record]](list)
        for failures in (self, *later):
            for kind, (first, *rest) in failures.runs.items():
                append_run(runs[kind], *first)
                runs[kind] += rest
            for kind, found in failures.records.items():
                records[kind] += found[: RECORDS_KEPT - len(records[kind])]
        return Failures(sorted_tuples(runs), sorted_tuples(records))

    def replaced(self, ranges: Sequence[range], later: "Failures") -> "Failures":
        """Return these failures with those inside `ranges`, disjoint and ascending, replaced by a later attempt's.

        All ranges are passed in one call, since each call scans every run. Records dropped beyond the first ten are not
        recovered.
        """
        runs = Runs(list)
        for kind in {*self.runs, *later.runs}:
            for lo, hi in sorted([*outside(self.runs.get(kind, ()), ranges), *later.runs.get(kind, ())]):
                append_run(runs[kind], lo, hi)
        old, new = ([(kind, one) for kind in by for one in by[kind]] for by in (self.records, later.records))
        old = [(kind, record) for kind, record in old if not any(record.index in items for items in ranges)]
        return Failures(sorted_tuples(runs), first_records(old + new))

    def to_bytes(self) -> bytes:
        """Return canonical JSON."""
        if self == NONE:
            return NO_FAILURES
        records = {kind: [record.fields() for record in records] for kind, records in self.records.items()}
        table = {"runs": dict(self.runs), "records": records}
        return json.dumps(table, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Failures":
        if data == NO_FAILURES:
            return NONE
        table = json.loads(data)
        return cls(
            {kind: tuple((lo, hi) for lo, hi in runs) for kind, runs in table["runs"].items()},
            {kind: tuple(Record(**record) for record in records) for kind, records in table["records"].items()},
        )


NONE = Failures()
NO_FAILURES = b'{"records":{},"runs":{}}'
"""NONE as JSON. Most parts have no failures; parsing their JSON would be half the time of reading a long journal."""


def outside(runs: Iterable[tuple[int, int]], ranges: Sequence[range]) -> Iterator[tuple[int, int]]:
    """Yield the pieces of the runs that lie outside the ranges; runs and ranges are disjoint and ascending."""
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


def append_run(runs: list[tuple[int, int]], lo: int, hi: int) -> None:
    """Append a run to ascending runs; extend the last one if it is adjacent."""
    if runs and runs[-1][1] == lo:
        runs[-1] = (runs[-1][0], hi)
    else:
        runs.append((lo, hi))


def first_records(records: Iterable[tuple[str, Record]]) -> dict[str, tuple[Record, ...]]:
    by_kind = defaultdict[str, list[Record]](list)
    for kind, record in sorted(records, key=lambda pair: pair[1].index):
        by_kind[kind].append(record)
    return sorted_tuples({kind: found[:RECORDS_KEPT] for kind, found in by_kind.items()})


def sorted_tuples(by_kind: Mapping[str, Iterable[T]]) -> dict[str, tuple[T, ...]]:
    """Return the entries sorted by kind, whatever the order of arrival."""
    return {kind: tuple(by_kind[kind]) for kind in sorted(by_kind)}
