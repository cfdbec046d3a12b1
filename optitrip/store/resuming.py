"""What a command notes of itself in the journal, and what the next one makes of it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

from optitrip.config.sweep import differences
from optitrip.errors import StateError, Stopped
from optitrip.journal.facts import Accepted, EvaluatingHere, Provenance
from optitrip.journal.journal import Journal
from optitrip.store.state_dir import StateDir


def compare(state: StateDir, now: Provenance, *, accept_changes: bool) -> None:
    """Record the provenance of a new sweep; hold that of an old one against it.

    Raises:
        StateError: if it changed and the command does not accept that.
    """
    before = state.journal.fact(Provenance)
    if before is None and not state.journal.empty() and not accept_changes:
        raise StateError(
            f"{state.path}: what its parts were evaluated with cannot be told, for that record is damaged; "
            "--fresh starts over, --accept-changes goes on with what is there"
        )
    if before is not None and not state.journal.empty():
        # A module that was not there before is no change of one that was.
        known = {**now.to_json(), "modules": {name: now.modules.get(name) for name in before.modules}}
        changed = differences(before.to_json(), known)
        if changed and not accept_changes:
            listed = "\n".join(f"  {line}" for line in changed)
            raise StateError(
                f"{state.path}: what the answer depends on has changed since its first part:\n{listed}\n"
                "--fresh, or another state directory, starts over; --accept-changes goes on with what is there."
            )
    # What was evaluated before need not be as it is now.
    accepted = [Accepted(time.time_ns() // 1_000_000)] if accept_changes else []
    state.journal.note(now, *accepted)


@contextmanager
def evaluating_here(journal: Journal) -> Generator[None]:
    """Note in the journal that the loss is evaluated in this process, while it is: one that crashes takes the process
    along, and would again."""
    journal.note(EvaluatingHere())
    try:
        yield
    finally:
        with suppress(Stopped):
            journal.forget(EvaluatingHere)
