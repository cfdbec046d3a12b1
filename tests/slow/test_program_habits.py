"""Programs with bad habits: whatever happens to their sweep, what should be is recorded, and nothing is left."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest

from program_habits import EVENTS, EXECUTORS, HABITS, row, tried

EVERY_DAY = {
    ("fills the disk", "Ctrl-C", "serial"),
    ("is a daemon", "SIGTERM", "serial"),
    ("crashes", "max_seconds", "serial"),
    ("hangs", "timeout", "serial"),
    ("hides", "kill -9 of the worker", "serial"),
    ("forks", "kill -9 of the driver", "serial"),
    ("hides", "kill -9 of the driver", "ray"),
}
"""Each event, in a minute."""


def cases() -> Any:
    """Yield all cases, most of them marked as thorough."""
    for case in itertools.product(HABITS, EVENTS, EXECUTORS):
        marks = [pytest.mark.ray] if case[-1] == "ray" else []
        yield pytest.param(*case, marks=marks if case in EVERY_DAY else [*marks, pytest.mark.thorough])


@pytest.mark.daily
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
@pytest.mark.parametrize(("habit", "event", "executor"), list(cases()))
def test_a_program_with_a_habit(habit: str, event: str, executor: str) -> None:
    """Recorded is what has ended by itself or at its time limit; no process and no scratch folder is left after 5 s."""
    if executor == "ray":
        pytest.importorskip("ray")
    found = tried(habit, event, executor)
    print(row(habit, event, executor, found), *found.processes, *found.folders, sep="\n")
    assert found.faults(habit, event) == []
