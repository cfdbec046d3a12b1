"""Tests of whether a slice or a node is the cause of dead workers."""

from __future__ import annotations

from optitrip.executors.ray.quarantine import Quarantine


def test_a_node_is_proven_by_three_slices_that_others_evaluate() -> None:
    """Pieces of them count; a second death of a slice does not, nor an evaluation in another stage."""
    quarantine = Quarantine()
    for stage, items in ((0, range(10)), (0, range(10, 20)), (0, range(10)), (1, range(30, 40))):
        quarantine.died("bad", (stage, items))
    assert quarantine.done("good", (0, range(5))) == []
    assert quarantine.done("good", (0, range(5, 10))) == []
    assert quarantine.done("good", (0, range(10, 20))) == []
    assert quarantine.done("good", (0, range(30, 40))) == []
    assert quarantine.done("good", (1, range(30, 33))) == ["bad"]
    assert quarantine.done("good", (1, range(33, 40))) == []  # reported once


def test_a_slice_that_dies_everywhere_accuses_no_node() -> None:
    """Nor does a slice that is evaluated where another one died: a loss may crash by chance, anywhere."""
    quarantine = Quarantine()
    for n in range(9):
        quarantine.died("one", (0, range(n, n + 1)))
        quarantine.died("other", (0, range(n, n + 1)))
    assert quarantine.done("third", (0, range(100, 200))) == []
    for n in range(9):
        quarantine.died("one", (1, range(n, n + 1)))
        assert quarantine.done("one", (1, range(50, 60))) == []
        assert quarantine.done("other", (1, range(n, n + 1))) == []
