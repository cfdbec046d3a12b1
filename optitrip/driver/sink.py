"""Sinks: where the parts of a stage go. The one here writes them to the journal, then reports them to observers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from optitrip.core.executor import Done
from optitrip.core.notice import warning
from optitrip.core.observer import Times
from optitrip.core.part import Part
from optitrip.driver.settings import Services
from optitrip.driver.stage import Stage
from optitrip.errors import Stopped
from optitrip.journal.facts import Fact, StoredStory
from optitrip.journal.journal import Unwritable
from optitrip.scheduler.story import Story

MAX_ENTRIES, MAX_CHAPTERS = 2_000, 50
"""Entries and chapters stored of a run with many stages; the oldest chapters are dropped first."""


class Sink(ABC):
    """A destination for the parts of a stage, which it holds until they are flushed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._held: list[Done] = []
        self._not_before = 0.0

    @property
    def needed(self) -> int:
        """Number of items that are needed, as far as is known; it only ever falls."""
        return self._stage.needed

    @property
    def due(self) -> float:
        """Time by the monotonic clock from which `flush` should be called; infinite if nothing is held."""
        return self._not_before if self._held else math.inf

    def take(self, done: Sequence[Done]) -> None:
        self._held += done

    @abstractmethod
    def flush(self, story: Story, *, last: bool = False) -> None:
        """Process all parts that are held, and the last time the whole story of the stage."""


class Stories:
    """The stories of a run, with a chapter for each time that items of a stage were evaluated."""

    def __init__(self) -> None:
        self._chapters: list[dict[str, Any]] = []

    def begin(self, stage: Stage, attempt: int) -> dict[str, Any]:
        """Add a chapter, and return it."""
        self._chapters.append({"stage": stage.number, "kind": stage.method.kind, "attempt": attempt})
        return self._chapters[-1]

    def updated(self, chapter: dict[str, Any], story: Story) -> StoredStory:
        """Update a chapter, and return the fact that holds the latest chapters."""
        chapter.update(story.to_json())
        latest, entries = list[dict[str, Any]](), 0
        for previous in reversed(self._chapters[-MAX_CHAPTERS:]):
            entries += len(previous.get("entries", ()))
            if latest and entries > MAX_ENTRIES:
                break
            latest.append(previous)
        return StoredStory(tuple(latest[::-1]))


class JournalSink(Sink):
    """Writes parts to the journal, many in one transaction, then reports them to observers: durable first.

    Slots have their next slices before the driver waits for the disk, and one wait serves many parts.
    """

    def __init__(self, stage: Stage, attempt: int, stories: Stories, services: Services) -> None:
        super().__init__(stage)
        self._attempt, self._services, self._clock = attempt, services, services.clock
        self._stories, self._chapter = stories, stories.begin(stage, attempt)
        self._story: Story | None = None
        self._story_due = self._clock.monotonic() + services.settings.story_seconds
        self.items = 0
        """Number of items written."""

    def flush(self, story: Story, *, last: bool = False) -> None:
        """Write the parts that are held, then report them; raise Stopped if they cannot be written.

        The story is stored the last time, and now and then before in case the process is killed.
        """
        facts: list[Fact] = []
        settings = self._services.settings
        if (last or self._clock.monotonic() >= self._story_due) and story is not self._story:
            facts, self._story = [self._stories.updated(self._chapter, story)], story
            self._story_due = self._clock.monotonic() + settings.story_seconds
        if not self._held:
            if facts:
                with suppress(Stopped):  # a sweep does not end because its story cannot be stored
                    self._services.journal.note(*facts)
            return
        done, self._held = self._held, []
        now = self._clock.wall_ms()
        for items in self._write([(outcome.part, outcome.seconds) for outcome in done], now, facts):
            text = f"items {items.start} to {items.stop - 1} gave other losses when evaluated again; the first count. "
            text += "The loss is not deterministic: make it depend on its arguments alone"
            self._services.observer.notice(warning("not-deterministic", text))
        self.items += sum(len(outcome.part.items) for outcome in done)
        if not self._attempt:  # later attempts are reported once it is known what replaces what
            written = [(outcome.part, Times([outcome.part.items.start], [now])) for outcome in done]
            self._services.observer.parts(written, new=True)
            for part, _ in written:
                self._stage.see(part)
        self._not_before = self._clock.monotonic() + settings.write_seconds

    def _write(self, parts: Sequence[tuple[Part, float]], now: int, facts: Sequence[Fact]) -> list[range]:
        """Write parts. If the disk has no room, wait for it: workers continue with the slices that they have."""
        until: float | None = None
        pause = self._services.settings.pause_seconds
        while True:
            try:
                return self._stage.write(parts, now, self._attempt, facts)
            except Unwritable as error:
                if until is None:
                    until = self._clock.monotonic() + pause
                    text = f"{error}; retrying for {pause:.0f} s (if the disk is full, make room on it)"
                    self._services.observer.notice(warning("journal-unwritable", text))
                if self._clock.monotonic() > until:
                    raise
                self._services.raise_if_stopped()
                self._clock.sleep(min(1.0, pause / 10))
