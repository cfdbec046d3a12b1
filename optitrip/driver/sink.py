"""Sinks receive the parts of a stage: one writes them to the journal, another compares them with it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from optitrip.core.executor import Done
from optitrip.core.failures import DIED, TIMEOUT
from optitrip.core.notice import warning
from optitrip.core.observer import Times
from optitrip.core.part import Part
from optitrip.driver.settings import Services
from optitrip.driver.stage import Stage
from optitrip.errors import StateError, Stopped
from optitrip.journal.facts import Fact, StoredStory
from optitrip.journal.journal import Journal, Unwritable
from optitrip.scheduler.story import Story

ENTRIES_STORED, CHAPTERS_STORED = 2_000, 50
"""Limits on the stored entries and chapters of a run with many stages; the oldest chapters are dropped first."""
Sink = Callable[[Sequence[Done], Story, bool], None]
"""Receives parts of a stage, many at a time, and the story so far; the flag marks the last call."""


class JournalSink:
    """Writes parts to the journal, many per transaction, then reports them; adds a chapter to the story."""

    def __init__(self, stage: Stage, attempt: int, chapters: list[dict[str, Any]], services: Services) -> None:
        self._stage, self._attempt, self._services, self._clock = stage, attempt, services, services.clock
        self._chapter, self._chapters = {"stage": stage.number, "kind": stage.method.kind, "attempt": attempt}, chapters
        chapters.append(self._chapter)
        self._story: Story | None = None
        self._story_due = self._clock.monotonic() + services.settings.story_seconds
        self.items = 0
        """Number of items written."""
        self.evaluations = 0
        """Number of evaluations of the loss for them."""

    def __call__(self, done: Sequence[Done], story: Story, last: bool) -> None:
        """Write parts, then report them; raise Stopped if they cannot be written."""
        facts: list[Fact] = []
        # The story is stored at the end, and from time to time before, in case the process is killed.
        if (last or self._clock.monotonic() >= self._story_due) and story is not self._story:
            self._chapter |= story.to_json()
            facts, self._story = [latest(self._chapters)], story
            self._story_due = self._clock.monotonic() + self._services.settings.story_seconds
        if not done:
            if facts:
                with suppress(Stopped):  # a sweep does not end because its story cannot be stored
                    self._services.journal.note(*facts)
            return
        now = self._clock.wall_ms()
        different = self._write([(outcome.part, outcome.seconds) for outcome in done], now, facts)
        for items in different if self._services.settings.compared else ():
            text = f"items {items.start} to {items.stop - 1} gave different losses when evaluated again; the first ones"
            text += " are used. The loss is not deterministic: make it depend on its arguments only"
            self._services.observer.notice(warning("not-deterministic", text))
        self.items += sum(len(outcome.part.items) for outcome in done)
        self.evaluations += sum(self._stage.method.evaluations(outcome.part.items) for outcome in done)
        if not self._attempt:  # retried items are reported later, by `Stage.replaced`
            written = [(outcome.part, Times([outcome.part.items.start], [now])) for outcome in done]
            self._services.observer.parts(written, new=True)
            for part, _ in written:
                self._stage.see(part)

    def _write(self, parts: Sequence[tuple[Part, float]], now: int, facts: Sequence[Fact]) -> list[range]:
        """Write parts. If the disk is full, wait for space; workers meanwhile continue with the slices they have."""
        until: float | None = None
        pause = self._services.settings.disk_wait_seconds
        while True:
            try:
                return self._stage.write(parts, now, self._attempt, facts)
            except Unwritable as error:
                if until is None:
                    until = self._clock.monotonic() + pause
                    text = f"{error}; retrying for {pause:.0f} s (if the disk is full, free some space)"
                    self._services.observer.notice(warning("journal-unwritable", text))
                if self._clock.monotonic() > until:
                    raise
                self._services.raise_if_stopped()
                self._clock.sleep(min(1.0, pause / 10))


def latest(chapters: Sequence[dict[str, Any]]) -> StoredStory:
    """Return a fact with the latest chapters."""
    stored, entries = list[dict[str, Any]](), 0
    for chapter in reversed(chapters[-CHAPTERS_STORED:]):
        entries += len(chapter.get("entries", ()))
        if stored and entries > ENTRIES_STORED:
            break
        stored.append(chapter)
    return StoredStory(tuple(stored[::-1]))


def spot_check(stage: Stage, journal: Journal, noise: float, done: Sequence[Done], story: Story, last: bool) -> None:
    """Compare parts with those in the journal; raise StateError if they differ by more than the relative noise.

    Before a sweep is resumed, a row of an earlier run is evaluated again and must give the same result. Provenance
    detects a changed module or library; only this check detects a change in a file or server that the loss reads.
    """
    del story, last
    for part in (outcome.part for outcome in done):
        if not part.failures.runs.keys().isdisjoint((DIED, TIMEOUT)):
            continue  # this is a failure of the workers, not of the loss
        for before, _ in journal.parts(stage.number, stage.digest, [part.items]):
            if not before.agrees(part, noise):
                raise StateError(
                    f"{journal.path}: {difference(before, part)}: the loss or the data it reads has changed, or it "
                    "is not deterministic. The sweep is not resumed: --fresh starts over; --accept-changes resumes "
                    "with the stored results; a loss that is noisy says by how much, [objective] deterministic = 1e-9, "
                    "or that it is random, deterministic = false"
                )


def difference(before: Part, now: Part) -> str:
    """Describe the first number that differs."""
    items = f"items {before.items.start} to {before.items.stop - 1} gave"
    for name, column in before.columns.items():
        other = now.columns.get(name)
        if other is None or other.shape != column.shape:
            continue
        for old, new in zip(column.ravel(), other.ravel(), strict=True):
            if old.tobytes() != new.tobytes():
                return f"{items} a {name} of {old.item()!r} before and give {new.item()!r} now"
    return f"{items} different results before"
