"""A spot check: a row of an earlier run is evaluated once more before the rest, and must give what it gave.

Provenance sees a changed module or library; a file that the loss reads, or a server that it asks, only this does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from optitrip.core.executor import Done
from optitrip.core.failures import DIED, TIMEOUT
from optitrip.core.part import Part
from optitrip.driver.stage import Stage
from optitrip.errors import StateError
from optitrip.journal.journal import Journal
from optitrip.scheduler.story import Story


class SpotCheck:
    """A sink that compares parts with what the journal has of them; it writes nothing and tells nobody."""

    def __init__(self, stage: Stage, journal: Journal) -> None:
        self._stage, self._journal = stage, journal
        self._held: list[Done] = []
        self.needed = stage.method.items

    @property
    def due(self) -> float:
        return -math.inf if self._held else math.inf

    def take(self, done: Sequence[Done]) -> None:
        self._held += done

    def flush(self, story: Story, *, last: bool = False) -> None:
        """Compare.

        Raises:
            StateError: if a part is not as before.
        """
        del story, last
        done, self._held = self._held, []
        for outcome in done:
            if not outcome.part.failures.runs.keys().isdisjoint((DIED, TIMEOUT)):
                continue  # its workers' fate, not what the loss gives
            for before, _ in self._journal.parts(self._stage.number, self._stage.digest, [outcome.part.items]):
                if before.columns_bytes() != outcome.part.columns_bytes():
                    raise StateError(
                        f"{self._journal.path}: {difference(before, outcome.part)}: the loss, or what it reads, has "
                        "changed since, or it is not deterministic. --fresh starts over; --accept-changes goes on with "
                        "what is there; [objective] deterministic = false says that this is to be expected"
                    )


def difference(before: Part, now: Part) -> str:
    """Describe the first number that differs."""
    items = f"items {before.items.start} to {before.items.stop - 1} gave"
    for name, column in before.columns.items():
        other = now.columns.get(name)
        if other is None or other.shape != column.shape:
            continue
        for was, is_now in zip(column.ravel(), other.ravel(), strict=True):
            if was.tobytes() != is_now.tobytes():
                return f"{items} a {name} of {was.item()!r} before and give {is_now.item()!r} now"
    return f"{items} other outcomes before"
