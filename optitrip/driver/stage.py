"""One stage of a sweep: a method, and the journal's rows for its items."""

from collections.abc import Sequence

from optitrip.core.failures import NO_STEP
from optitrip.core.method import Method, merged
from optitrip.core.notice import info
from optitrip.core.observer import Observer, Times
from optitrip.core.part import Part
from optitrip.driver.guards import FailFast
from optitrip.journal.facts import Fact, StageStarted, StoredResult
from optitrip.journal.journal import Journal
from optitrip.journal.rows import RowBatch, missing


class Stage:
    """Gives access to the rows of a stage. Those of a later attempt replace items that failed in the one before."""

    def __init__(self, number: int, method: Method, journal: Journal, observer: Observer) -> None:
        self.number, self.method, self.digest = number, method, method.digest()
        self._journal, self._observer = journal, observer
        self._started: StageStarted | None = None
        """Fact to store with the first parts."""
        self._tiling: tuple[tuple[int, int, int], list[range]] | None = None
        self._fail_fast, self._stop_rule = FailFast(method), method.stop_rule()

    def begin(self) -> None:
        """Report the stored parts to observers; raise NoAnswer if all of the required prefix failed."""
        items = self.method.items
        started = StageStarted(self.number, self.digest, self.method.kind, items, self.method.before)
        if self.method.only_stored:
            pass  # the stage that stored it was started
        elif not self.method.joins:
            self._journal.begin(started)
        elif self.method.main:  # in the transaction of its first parts: a route may have thousands of such stages
            self._started = started
        self._observer.stage(self.method)
        found: list[range] = []
        for batch in self._journal.batches(self.number, self.digest, items, check=False):
            part = self._merged(batch)
            self._observer.parts([(part, batch.times)], new=False)
            self.see(part)
            found.append(part.items)
        self._tiling = (items, 0, 0), found
        stored = 0 if self.method.joins else sum(map(len, found))
        if stored == items and self.method.main:
            finished = self._journal.fact(StoredResult) is not None
            later = f"all {items:,} items of the first stage are stored; going on with what follows it"
            text = "already finished; showing the stored result" if finished else later
            self._observer.notice(info("stored-result", text))
        elif stored and self.method.main:
            self._observer.notice(info("resuming", f"resuming: {stored:,} of {items:,} items are in the journal"))

    def _merged(self, batch: RowBatch) -> Part:
        return batch.parts[0] if len(batch.times.starts) == 1 else self.method.merge(*batch.parts)

    @property
    def needed(self) -> int:
        """Number of items needed as far as is known; never rises while items are evaluated."""
        return self._stop_rule.items

    def see(self, part: Part) -> None:
        """Update the guards with a part of attempt 0; raise NoAnswer if all of the required prefix failed."""
        self._fail_fast.see(part.items, part.failures)
        self._stop_rule.see(part)

    def gaps(self, *ranges: range, attempt: int = 0) -> list[range]:
        """Return the parts of some ranges for which the journal has no rows of an attempt."""
        gaps: list[range] = []
        for items in ranges:
            key = (items.stop, items.start, attempt)
            # The tiling is cached until the next write: the journal reads every row to compute it.
            if self._tiling is None or self._tiling[0] != key:
                self._tiling = key, self._journal.tiling(self.number, self.digest, *key)
            gaps += missing(self._tiling[1], items.stop, items.start)
        return gaps

    def whole(self, items: int) -> Part:
        """Merge the rows of attempt 0 for the first items."""
        batches = self._journal.batches(self.number, self.digest, items)
        return merged([self._merged(batch) for batch in batches], self.method.merge)

    def failed(self, whole: Part) -> list[range]:
        """Return the ranges of failed items for which a retry may help."""
        runs = [run for kind, of_kind in whole.failures.runs.items() if kind != NO_STEP for run in of_kind]
        return [range(lo, hi) for lo, hi in sorted(runs)]

    def replaced(self, whole: Part, failed: Sequence[range], attempt: int) -> Part:
        """Return the whole with the failed items replaced by their results in an attempt, where it has any."""
        tilings = (self._journal.tiling(self.number, self.digest, run.stop, run.start, attempt) for run in failed)
        tiles = [tile for tiling in tilings for tile in tiling]
        retried: list[Part] = []
        for part, written in self._journal.parts(self.number, self.digest, tiles, attempt):
            self._observer.retried(part, Times([part.items.start], [written]))
            retried.append(part)
        return self.method.replaced(whole, retried)

    def ends_with(self, whole: Part) -> bool:
        """Return whether the stage still ends here after retries; if not, update the number of items needed."""
        stop_rule = self.method.stop_rule()
        stop_rule.see(whole)
        if stop_rule.items == whole.items.stop:
            return True
        self._stop_rule = stop_rule
        for batch in self._journal.batches(self.number, self.digest, self.method.items, whole.items.stop):
            stop_rule.see(self._merged(batch))
        return False

    def write(
        self, parts: Sequence[tuple[Part, float]], written: int, attempt: int, facts: Sequence[Fact]
    ) -> list[range]:
        """Write facts, and parts with their seconds; return ranges stored before with a different result."""
        if self._started is not None:
            facts, self._started = [*facts, self._started], None
        self._tiling = None
        return self._journal.write(self.number, self.digest, parts, written, attempt, facts)
