"""A row of an earlier run, evaluated once more before the rest: whether the loss still gives what it gave.

Provenance sees a changed module or library; a file that the loss reads, or a server that it asks, only this does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optitrip.core.method import Method
from optitrip.core.observer import Observers
from optitrip.driver.journal import Journal
from optitrip.driver.limits import Limits
from optitrip.driver.stage import Stage
from optitrip.errors import InputError
from optitrip.executors import Done
from optitrip.part import DIED, TIMEOUT, Part


class Witness(Stage):
    """The stage of a row that is there already; nothing of it is written or told."""

    def __init__(self, number: int, method: Method, journal: Journal, since: int = 0) -> None:
        """`since`: rows written before, in milliseconds since 1970, do not count."""
        super().__init__(number, method, journal, Observers())
        self.row = journal.smallest(number, self.digest, since)
        """None where there is none without failures whose items take less than a second."""

    def write(self, done: Sequence[Done], attempt: int, limits: Limits, heed: Callable[[], None]) -> int:
        """Compare.

        Raises:
            InputError: if it is not as before.
        """
        del limits, heed
        for outcome in done:
            if not outcome.part.failures.runs.keys().isdisjoint((DIED, TIMEOUT)):
                continue  # of its workers' fate, not of what the loss gives
            for before, _ in self._journal.parts(self.number, self.digest, [outcome.part.items], attempt):
                if before.columns_bytes() != outcome.part.columns_bytes():
                    raise InputError(
                        f"{self._journal.path}: {difference(before, outcome.part)}: the loss, or what it reads, has "
                        "changed since, or it is not deterministic. --fresh starts over; --accept-changes goes on with "
                        "what is there; [objective] deterministic = false says that this is to be expected"
                    )
        return 0


def difference(before: Part, now: Part) -> str:
    """The first number that is another one."""
    items = f"items {before.items.start} to {before.items.stop - 1} gave"
    for name, column in before.columns.items():
        other = now.columns.get(name)
        if other is None or other.shape != column.shape:
            continue
        for was, is_now in zip(column.ravel(), other.ravel(), strict=True):
            if was.tobytes() != is_now.tobytes():
                return f"{items} a {name} of {was.item()!r} before and give {is_now.item()!r} now"
    return f"{items} other outcomes before"
