"""A spot check: before a sweep is resumed, a row of an earlier run is evaluated again and must give the same result.

Provenance detects a changed module or library; only this detects a change in a file or a server that the loss reads.
"""

from __future__ import annotations

from optitrip.core.failures import DIED, TIMEOUT
from optitrip.core.part import Part
from optitrip.driver.sink import Sink
from optitrip.driver.stage import Stage
from optitrip.errors import StateError
from optitrip.journal.journal import Journal
from optitrip.scheduler.story import Story


class SpotCheck(Sink):
    """A sink that compares parts with those in the journal; it writes and reports nothing."""

    def __init__(self, stage: Stage, journal: Journal) -> None:
        super().__init__(stage)
        self._journal = journal

    def flush(self, story: Story, *, last: bool = False) -> None:
        """Compare the parts that are held; raise StateError if one differs from that in the journal."""
        del story, last
        done, self._held = self._held, []
        for part in (outcome.part for outcome in done):
            if not part.failures.runs.keys().isdisjoint((DIED, TIMEOUT)):
                continue  # this says something about the workers, not about the loss
            for before, _ in self._journal.parts(self._stage.number, self._stage.digest, [part.items]):
                if before.columns_bytes() != part.columns_bytes():
                    raise StateError(
                        f"{self._journal.path}: {difference(before, part)}: the loss, or what it reads, has changed "
                        "since, or it is not deterministic. The sweep is not resumed: --fresh starts over; "
                        "--accept-changes resumes with what is stored; [objective] deterministic = false turns this "
                        "check off"
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
    return f"{items} other outcomes before"
