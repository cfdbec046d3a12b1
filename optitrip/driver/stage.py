"""One stage of a sweep: a method, and what the journal has of its items."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from optitrip.core.failures import NO_STEP, Failures
from optitrip.core.method import Method, merged
from optitrip.core.notice import info
from optitrip.core.observer import Observer, Times
from optitrip.core.part import Part
from optitrip.driver.guards import FailFast
from optitrip.errors import Stopped
from optitrip.journal.facts import Fact, StageStarted
from optitrip.journal.journal import Journal
from optitrip.journal.row_batches import RowBatch
from optitrip.journal.tiling import missing


class Stage:
    """Rows of attempt 0 tile the items; those of later attempts replace items that failed in the attempt before."""

    def __init__(self, number: int, method: Method, journal: Journal, observer: Observer) -> None:
        self.number, self.method, self.digest = number, method, method.digest()
        self._journal, self._observer = journal, observer
        self._known: tuple[tuple[int, int, int], list[range]] | None = None
        self._fail_fast, self.ending = FailFast(method), method.stop_rule()

    def begin(self) -> None:
        """Tell watchers what is there already.

        Raises:
            NoAnswer: if too much of that failed.
        """
        self._journal.begin(StageStarted(self.number, self.digest, self.method.kind, self.method.items))
        self._observer.stage(self.method)
        found: list[range] = []
        for batch in self._journal.batches(self.number, self.digest, self.method.items, check=False):
            part = self._merged(batch)
            self._observer.parts([(part, batch.times)], new=False)
            self.see(part)
            found.append(part.items)
        self._known = (self.method.items, 0, 0), found
        self._say_found(sum(map(len, found)))

    def _say_found(self, found: int) -> None:
        if not found or not self.method.main:
            return
        if found == self.method.items:
            self._observer.notice(info("stored-result", "finished before: this is what the journal holds"))
        else:
            self._observer.notice(
                info("resuming", f"resuming: {found:,} of {self.method.items:,} items are in the journal")
            )

    def _merged(self, batch: RowBatch) -> Part:
        one = len(batch.times.starts) == 1
        return batch.parts[0] if one else self.method.merge(*batch.parts)

    @property
    def needed(self) -> int:
        """Number of items that are needed, as far as is known."""
        return self.ending.items

    def see(self, part: Part) -> None:
        """Take in a part of the first attempt.

        Raises:
            NoAnswer: if too much failed.
        """
        self._fail_fast.see(part.items, part.failures)
        self.ending.see(part)

    def gaps(self, within: range, attempt: int = 0) -> list[range]:
        """What the journal lacks of a range in an attempt."""
        return missing(self._covered(within.stop, within.start, attempt), within.stop, within.start)

    def _covered(self, items: int, start: int = 0, attempt: int = 0) -> list[range]:
        """What the journal's tiling covers; asked for once until something is written, since it looks at every row."""
        key = (items, start, attempt)
        if self._known is None or self._known[0] != key:
            self._known = key, self._journal.tiling(self.number, self.digest, items, start, attempt)
        return self._known[1]

    def whole(self, items: int) -> Part:
        """All of the first items, as far as attempt 0 goes."""
        found = self._journal.batches(self.number, self.digest, items)
        return merged([self._merged(batch) for batch in found], self.method.merge)

    def failed(self, whole: Part) -> list[range]:
        """What another try may change."""
        runs = [run for kind, of_kind in whole.failures.runs.items() if kind != NO_STEP for run in of_kind]
        return [range(lo, hi) for lo, hi in sorted(runs)]

    def replaced(self, whole: Part, failed: Sequence[range], attempt: int) -> Part:
        """The whole with what an attempt has of the items that failed."""
        tiles = [
            tile
            for run in failed
            for tile in self._journal.tiling(self.number, self.digest, run.stop, run.start, attempt)
        ]
        for part, written in self._journal.parts(self.number, self.digest, tiles, attempt):
            whole = self.method.replaced(whole, part)
            self._observer.retried(part, Times([part.items.start], [written]))
        return whole

    def ends_with(self, whole: Part) -> bool:
        """Whether the stage is over with these items, some of which were tried again; if not, its end is known anew."""
        ending = self.method.stop_rule()
        ending.see(whole)
        if ending.items == whole.items.stop:
            return True
        self.ending = ending
        for batch in self._journal.batches(self.number, self.digest, self.method.items, whole.items.stop):
            ending.see(self._merged(batch))
        return False

    def failures(self) -> Failures:
        """What failed of the items that are in the journal, as it was last tried."""
        return self._journal.failures(self.number, self.digest, self.method.items)

    def write(
        self, parts: Sequence[tuple[Part, float]], written: int, attempt: int, facts: Sequence[Fact]
    ) -> list[range]:
        """Write parts to the journal, each with its seconds, and facts beside them; return the ranges of which another
        outcome was there."""
        self._known = None
        return self._journal.write(self.number, self.digest, parts, written, attempt, facts)

    def keep(self, facts: Sequence[Fact]) -> None:
        """Write facts to the journal if it can be written; a sweep does not end because they cannot."""
        with suppress(Stopped):
            self._journal.note(*facts)

    def smallest(self, since: int) -> range | None:
        """Return a row for a spot check, written since a time in milliseconds since 1970; None where there is none
        without failures whose items take less than a second."""
        return self._journal.smallest_row(self.number, self.digest, since)
