"""One stage of a sweep: a method, and what the journal has of its items."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice

from optitrip.driver.ending import Ending
from optitrip.driver.hopeless import Hopeless
from optitrip.driver.journal import Journal, Unwritable, missing
from optitrip.driver.limits import Limits
from optitrip.driver.watch import Watch
from optitrip.executors import Done
from optitrip.methods import AT_ONCE, Method, merged
from optitrip.part import NO_STEP, Part


class Stage:
    """Rows of attempt 0 tile the items; those of later attempts replace items that failed in the attempt before."""

    def __init__(self, number: int, method: Method, journal: Journal, watch: Watch) -> None:
        self.number, self.method, self.digest = number, method, method.digest()
        self._journal, self._watch = journal, watch
        self._hopeless, self.ending = Hopeless(method), Ending(method)

    def begin(self) -> None:
        """Tell watchers what is there already.

        Raises:
            NoAnswer: if that is hopeless.
        """
        self._journal.begun(self.number, self.digest, self.method.kind, self.method.items)
        tiles = self._journal.tiling(self.number, self.digest, self.method.items)
        self._watch.stage(self.method, sum(map(len, tiles)))
        found = self._journal.parts(self.number, self.digest, tiles)
        while some := list(islice(found, AT_ONCE)):
            self._watch.parts(some, new=False)
            for part, _ in some:
                self._see(part)

    def _see(self, part: Part) -> None:
        self._hopeless.see(part.items, part.failures)
        self.ending.see(part)

    def gaps(self, within: range, attempt: int = 0) -> list[range]:
        """What the journal lacks of a range in an attempt."""
        tiles = self._journal.tiling(self.number, self.digest, within.stop, within.start, attempt)
        return missing(tiles, within.stop, within.start)

    def whole(self, items: int) -> Part:
        """All of the first items, as far as attempt 0 goes."""
        tiles = self._journal.tiling(self.number, self.digest, items)
        found = self._journal.parts(self.number, self.digest, tiles)
        groups: list[Part] = []
        while some := [part for part, _ in islice(found, AT_ONCE)]:
            groups.append(self.method.merge(*some) if len(some) > 1 else some[0])
        return merged(groups, self.method.merge)

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
        for part, _ in self._journal.parts(self.number, self.digest, tiles, attempt):
            whole = self.method.replaced(whole, part)
        return whole

    def write(self, done: Sequence[Done], attempt: int, limits: Limits, heed: Callable[[], None]) -> None:
        """Journal parts, then tell watchers.

        Raises:
            NoAnswer: if what is known by now is hopeless.
            Stopped: if they cannot be written, or someone asked to stop while that was waited for.
        """
        now = time.time_ns() // 1_000_000
        for items in self._write([(outcome.part, outcome.seconds) for outcome in done], attempt, now, limits, heed):
            self._watch.say(f"items {items.start} to {items.stop - 1} gave other losses than before: not deterministic")
        if attempt:
            return  # progress and curves tell of first tries
        self._watch.parts([(outcome.part, now) for outcome in done], new=True)
        for outcome in done:
            self._see(outcome.part)

    def _write(
        self, parts: Sequence[tuple[Part, float]], attempt: int, now: int, limits: Limits, heed: Callable[[], None]
    ) -> list[range]:
        """Write parts; where the disk has no room, wait for it: workers go on, and what they return is kept here."""
        until: float | None = None
        while True:
            try:
                return self._journal.write(self.number, self.digest, parts, now, attempt)
            except Unwritable as error:
                if until is None:
                    until = time.monotonic() + limits.pause
                    self._watch.say(f"{error}; trying again for {limits.pause:.0f} s")
                if time.monotonic() > until:
                    raise
                heed()
                time.sleep(min(1.0, limits.pause / 10))
