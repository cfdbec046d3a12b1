"""A batch of runs whose command is killed twice and interrupted once."""

from __future__ import annotations

import sys

import pytest

from program_batch import CRASHING, HANGING, RUNS, batch


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_no_run_that_has_ended_is_repeated() -> None:
    """By the program's own log; all are recorded, and nothing is left but the folders of those that failed."""
    told = batch(seconds=1.1)  # of shorter ones, each command that resumes repeats one, to see if the loss has changed
    print(told)
    failed = len(HANGING + CRASHING)
    assert (told["recorded"], told["failed"], told["folders kept"]) == (RUNS, failed, failed)
    assert told["different ones of them"] == RUNS - len(HANGING)
    assert told["run again though recorded"] == 0
    assert (told["processes left"], told["folders left"]) == (0, 0)
