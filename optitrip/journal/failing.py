"""What failed in a stage, read from the journal once, when it is asked for."""

from __future__ import annotations

from optitrip.core.part import Failures
from optitrip.journal.journal import Journal


def failures_of(journal: Journal, stage: int, digest: bytes, items: int) -> Failures:
    """Return what failed of the first items, with later attempts in place of the first.

    Raises:
        StateError: if the file is damaged.
    """
    found, attempt = Failures(), 0
    # An attempt has only items that failed in the one before: where it has none, no later one has any.
    while tiles := journal.tiling(stage, digest, items, attempt=attempt):
        rows = journal.parts(stage, digest, tiles, attempt, failed=True)
        failed = Failures().then(*(part.failures for part, _ in rows))
        found = found.replaced(tiles, failed) if attempt else failed
        attempt += 1
    return found
