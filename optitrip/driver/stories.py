"""The stories of the stages of a run, as one fact of the journal: why what was evaluated where."""

from __future__ import annotations

from typing import Any

from optitrip.driver.stage import Stage
from optitrip.journal.facts import StoredStory
from optitrip.scheduler.story import Story

ENTRIES, CHAPTERS = 2_000, 50
"""Entries and chapters that are kept of a run with many stages; the oldest chapters are dropped first."""


class Stories:
    """A chapter for each time that items of a stage were evaluated."""

    def __init__(self) -> None:
        self._chapters: list[dict[str, Any]] = []

    def begin(self, stage: Stage, attempt: int) -> int:
        """Begin a chapter, and return its number."""
        self._chapters.append({"stage": stage.number, "kind": stage.method.kind, "attempt": attempt})
        return len(self._chapters) - 1

    def fact(self, chapter: int, story: Story) -> StoredStory:
        """Return the fact with a chapter as it is now."""
        head = {key: self._chapters[chapter][key] for key in ("stage", "kind", "attempt")}
        self._chapters[chapter] = {**head, **story.to_json()}
        latest, entries = list[dict[str, Any]](), 0
        for one in reversed(self._chapters[-CHAPTERS:]):
            entries += len(one.get("entries", ()))
            if latest and entries > ENTRIES:
                break
            latest.append(one)
        return StoredStory(tuple(latest[::-1]))
