"""The line says what runs now once it has taken a while."""

from __future__ import annotations

import pytest

from driver_setup import MEMORY
from optitrip.core.observer import Progress, Running
from optitrip.journal.facts import RunningNow
from optitrip.journal.journal import Journal
from optitrip.output.line import Line
from optitrip.runtime.clock import Clock
from optitrip.store.running import RunningNotes


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (None, "0 of 40 | now 3 for 0:12, 8-15 for 0:01"),
        (40, "0 of 40 | now 3 for 0:12, 8-15 for 0:01"),
        (36, "0 of 40 | now 3 for 0:12 and 1 more"),
        (20, "0 of 40"),
    ],
)
def test_what_runs_is_the_first_to_go(width: int | None, text: str) -> None:
    """The oldest comes first; where there is no room, the rest is a number, or nothing."""
    line = Line(Progress(40), lambda: 100.0)
    line.running([Running(range(8, 16), 99.0), Running(range(3, 4), 88.0)])
    assert line.text(width) == text


def test_quick_slices_are_not_told() -> None:
    """They would only flicker."""
    line = Line(Progress(40), lambda: 100.0)
    line.running([Running(range(8, 16), 99.0), Running(range(3, 4), 98.5)])
    assert line.text() == "0 of 40"


class Hands(Clock):
    """A clock that is set by hand."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def wall_ms(self) -> int:
        return 1_000_000_000_000 + round(1_000 * self.seconds)


def test_slow_slices_are_stored() -> None:
    """Every other second at most, with the time at which they began; what was left before is forgotten."""
    journal, clock = Journal(MEMORY), Hands()
    journal.note(RunningNow([[7, 8, 0]]))
    notes = RunningNotes(journal, clock)
    assert journal.fact(RunningNow) is None
    notes.running([Running(range(3), 0.0)])
    assert journal.fact(RunningNow) is None
    clock.seconds = 5.0
    notes.running([Running(range(3), 0.0), Running(range(3, 4), 4.5)])
    assert journal.fact(RunningNow) == RunningNow([[0, 3, 1_000_000_000_000]])
    clock.seconds = 8.0
    notes.running([Running(range(3, 4), 5.0)])
    assert journal.fact(RunningNow) == RunningNow([[3, 4, 1_000_000_005_000]])
