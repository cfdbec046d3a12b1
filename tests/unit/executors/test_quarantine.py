"""Who kills workers: a slice, or a node."""

from __future__ import annotations

from optitrip.executors.ray.quarantine import Quarantine


def test_a_node_is_proven_by_three_slices_that_others_evaluate() -> None:
    """Pieces of them count, twice the same does not, and nothing of another stage."""
    suspects = Quarantine()
    for stage, items in ((0, range(10)), (0, range(10, 20)), (0, range(10)), (1, range(30, 40))):
        suspects.died("bad", (stage, items))
    assert suspects.done("good", (0, range(5))) == []
    assert suspects.done("good", (0, range(5, 10))) == []
    assert suspects.done("good", (0, range(10, 20))) == []
    assert suspects.done("good", (0, range(30, 40))) == []
    assert suspects.done("good", (1, range(30, 33))) == ["bad"]
    assert suspects.done("good", (1, range(33, 40))) == []  # told once


def test_a_slice_that_dies_everywhere_accuses_no_node() -> None:
    """Nor does one that is done where another one died: a loss may crash by chance, anywhere."""
    suspects = Quarantine()
    for n in range(9):
        suspects.died("one", (0, range(n, n + 1)))
        suspects.died("other", (0, range(n, n + 1)))
    assert suspects.done("third", (0, range(100, 200))) == []
    for n in range(9):
        suspects.died("one", (1, range(n, n + 1)))
        assert suspects.done("one", (1, range(50, 60))) == []
        assert suspects.done("other", (1, range(n, n + 1))) == []
