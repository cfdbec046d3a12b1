"""Stores what is evaluated now, where it takes more than a moment, so that `optitrip show --follow` can tell."""

from collections.abc import Sequence
from contextlib import suppress

from optitrip.core.observer import Observer, Running
from optitrip.errors import Stopped
from optitrip.journal.facts import RunningNow
from optitrip.journal.journal import Journal
from optitrip.runtime.clock import SYSTEM, Clock

SLOW_SECONDS, PAUSE_SECONDS = 2.0, 2.0
"""Seconds that a slice has taken before it is stored, and least pause between two writes."""


class RunningNotes(Observer):
    """Writes what has been evaluated for a while to the journal, now and then."""

    def __init__(self, journal: Journal, clock: Clock = SYSTEM) -> None:
        self._journal, self._clock = journal, clock
        self._stored: list[list[int]] = []
        self._due = 0.0
        with suppress(Stopped):
            if journal.fact(RunningNow):  # what a command before has left
                journal.forget(RunningNow)

    def running(self, slices: Sequence[Running]) -> None:
        now = self._clock.monotonic()
        if now < self._due:
            return
        old = [one for one in slices if now - one.since >= SLOW_SECONDS]
        wall = self._clock.wall_ms()
        found = [[one.items.start, one.items.stop, round(wall - 1000 * (now - one.since), -3)] for one in old]
        found = sorted([int(entry) for entry in one] for one in found)
        self._due = now + PAUSE_SECONDS
        if [one[:2] for one in found] != [one[:2] for one in self._stored]:
            self._stored = found
            with suppress(Stopped):  # a sweep does not end because this cannot be stored
                self._journal.note(RunningNow(found))
