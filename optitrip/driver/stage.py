"""One stage of a sweep: a method, and what the journal has of its items."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from optitrip.core.method import Method, merged
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer, Times
from optitrip.driver.hopeless import Hopeless
from optitrip.driver.journal import Journal, Unwritable, missing
from optitrip.driver.limits import Limits
from optitrip.driver.strung import Strung
from optitrip.executors import Done
from optitrip.part import NO_STEP, Part


class Stage:
    """Rows of attempt 0 tile the items; those of later attempts replace items that failed in the attempt before."""

    def __init__(self, number: int, method: Method, journal: Journal, watch: Observer) -> None:
        self.number, self.method, self.digest = number, method, method.digest()
        self._journal, self._watch = journal, watch
        self._known: tuple[tuple[int, int, int], list[range]] | None = None
        self._hopeless, self.ending = Hopeless(method), method.stop_rule()

    def begin(self) -> None:
        """Tell watchers what is there already.

        Raises:
            NoAnswer: if that is hopeless.
        """
        self._journal.begun(self.number, self.digest, self.method.kind, self.method.items)
        self._watch.stage(self.method)
        found: list[range] = []
        for strung in self._journal.strung(self.number, self.digest, self.method.items, again=False):
            part = self._merged(strung)
            self._watch.parts([(part, strung.times)], new=False)
            self._see(part)
            found.append(part.items)
        self._known = (self.method.items, 0, 0), found
        self._say_found(sum(map(len, found)))

    def _say_found(self, found: int) -> None:
        if not found or not self.method.main:
            return
        if found == self.method.items:
            self._watch.notice(info("stored-result", "finished before: this is what the journal holds"))
        else:
            self._watch.notice(
                info("resuming", f"resuming: {found:,} of {self.method.items:,} items are in the journal")
            )

    def _merged(self, strung: Strung) -> Part:
        one = len(strung.times.starts) == 1
        return strung.parts[0] if one else self.method.merge(*strung.parts)

    def _see(self, part: Part) -> None:
        self._hopeless.see(part.items, part.failures)
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
        found = self._journal.strung(self.number, self.digest, items)
        return merged([self._merged(strung) for strung in found], self.method.merge)

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
            self._watch.retried(part, Times([part.items.start], [written]))
        return whole

    def ends_with(self, whole: Part) -> bool:
        """Whether the stage is over with these items, some of which were tried again; if not, its end is known anew."""
        ending = self.method.stop_rule()
        ending.see(whole)
        if ending.items == whole.items.stop:
            return True
        self.ending = ending
        for strung in self._journal.strung(self.number, self.digest, self.method.items, whole.items.stop):
            ending.see(self._merged(strung))
        return False

    def write(self, done: Sequence[Done], attempt: int, limits: Limits, heed: Callable[[], None]) -> int:
        """Journal parts, then tell watchers.

        Returns:
            How many items they are of.

        Raises:
            NoAnswer: if what is known by now is hopeless.
            Stopped: if they cannot be written, or someone asked to stop while that was waited for.
        """
        now = time.time_ns() // 1_000_000
        parts = [(outcome.part, outcome.seconds) for outcome in done]
        for items in self._write(parts, attempt, now, limits, heed):
            self._watch.notice(
                warning(
                    "not-deterministic",
                    f"items {items.start} to {items.stop - 1} gave other losses than before: not deterministic",
                )
            )
        items = sum(len(outcome.part.items) for outcome in done)
        if attempt:
            return items  # watchers are told once it is known what replaces what
        self._watch.parts([(one.part, Times([one.part.items.start], [now])) for one in done], new=True)
        for outcome in done:
            self._see(outcome.part)
        return items

    def _write(
        self, parts: Sequence[tuple[Part, float]], attempt: int, now: int, limits: Limits, heed: Callable[[], None]
    ) -> list[range]:
        """Write parts; where the disk has no room, wait for it: workers go on, and what they return is kept here."""
        until: float | None = None
        self._known = None
        while True:
            try:
                return self._journal.write(self.number, self.digest, parts, now, attempt)
            except Unwritable as error:
                if until is None:
                    until = time.monotonic() + limits.pause
                    self._watch.notice(warning("journal-unwritable", f"{error}; trying again for {limits.pause:.0f} s"))
                if time.monotonic() > until:
                    raise
                heed()
                time.sleep(min(1.0, limits.pause / 10))
