"""Sinks: where the parts of a stage go. This one writes them to the journal and then tells observers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from optitrip.core.executor import Done
from optitrip.core.notice import warning
from optitrip.core.observer import Observer, Times
from optitrip.core.part import Part
from optitrip.driver.settings import Settings
from optitrip.driver.stage import Stage
from optitrip.driver.stories import Stories
from optitrip.journal.facts import Fact
from optitrip.journal.journal import Unwritable
from optitrip.runtime.clock import Clock
from optitrip.scheduler.story import Story


class Sink(Protocol):
    """Takes the parts of a stage."""

    @property
    def needed(self) -> int:
        """The number of items that are needed, as far as is known; it only ever falls."""
        ...

    @property
    def due(self) -> float:
        """The time by the monotonic clock from which `flush` should be called; infinite if nothing is held."""
        ...

    def take(self, done: Sequence[Done]) -> None:
        """Hold parts until the next flush."""
        ...

    def flush(self, story: Story, *, last: bool = False) -> None:
        """Deal with all parts that are held, and at the last with the story of all that happened."""
        ...


class JournalSink:
    """Writes parts to the journal, many in one transaction, then tells observers: durable first.

    Slots have their next slices before the disk is waited for, and one wait serves many parts.

    Args:
        stage: whose parts these are.
        attempt: number of the attempt, 0 for the first.
        stories: those of the run, kept in the journal too.
        observer: told of what is in the journal.
        raise_if_stopped: called while a full disk is waited for; raises `Stopped` if someone asked to stop.
        settings: how long is waited, for what.
        clock: to wait by, and to date rows with.
    """

    def __init__(
        self,
        stage: Stage,
        attempt: int,
        stories: Stories,
        observer: Observer,
        raise_if_stopped: Callable[[], None],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._stage, self._attempt, self._observer, self._raise_if_stopped = stage, attempt, observer, raise_if_stopped
        self._settings, self._clock = settings, clock
        self._held: list[Done] = []
        self._not_before = 0.0
        self._stories, self._chapter = stories, stories.begin(stage, attempt)
        self._story: Story | None = None
        self._story_due = clock.monotonic() + settings.story_seconds
        self.items = 0
        """Number of items written."""

    @property
    def needed(self) -> int:
        return self._stage.needed

    @property
    def due(self) -> float:
        return self._not_before if self._held else math.inf

    def take(self, done: Sequence[Done]) -> None:
        self._held += done

    def flush(self, story: Story, *, last: bool = False) -> None:
        """Write what is held, then tell observers.

        The story goes into the journal at the last, and now and then before, in case the process is killed.

        Raises:
            Stopped: if it cannot be written, or someone asked to stop while that was waited for.
            NoAnswer: if too much failed.
        """
        facts: list[Fact] = []
        if (last or self._clock.monotonic() >= self._story_due) and story is not self._story:
            facts, self._story = [self._stories.fact(self._chapter, story)], story
            self._story_due = self._clock.monotonic() + self._settings.story_seconds
        if not self._held:
            if facts:
                self._stage.keep(facts)
            return
        done, self._held = self._held, []
        now = self._clock.wall_ms()
        for items in self._write([(one.part, one.seconds) for one in done], now, facts):
            text = f"items {items.start} to {items.stop - 1} gave other losses than before: not deterministic"
            self._observer.notice(warning("not-deterministic", text))
        self.items += sum(len(one.part.items) for one in done)
        if not self._attempt:  # of later attempts observers are told once it is known what replaces what
            self._observer.parts([(one.part, Times([one.part.items.start], [now])) for one in done], new=True)
            for one in done:
                self._stage.see(one.part)
        self._not_before = self._clock.monotonic() + self._settings.write_seconds

    def _write(self, parts: Sequence[tuple[Part, float]], now: int, facts: Sequence[Fact]) -> list[range]:
        """Write parts; where the disk has no room, wait for it: workers go on, and what they return is kept here."""
        until: float | None = None
        pause = self._settings.pause_seconds
        while True:
            try:
                return self._stage.write(parts, now, self._attempt, facts)
            except Unwritable as error:
                if until is None:
                    until = self._clock.monotonic() + pause
                    self._observer.notice(warning("journal-unwritable", f"{error}; trying again for {pause:.0f} s"))
                if self._clock.monotonic() > until:
                    raise
                self._raise_if_stopped()
                self._clock.sleep(min(1.0, pause / 10))
