"""Whole sweeps in simulated worlds where everything goes wrong give the answer of a serial sweep."""

from __future__ import annotations

from typing import Any

import pytest

import simulation


def test_some_worlds_and_the_same_answer_in_each() -> None:
    """The first two hundred seeds."""
    lives, error = simulation.many(range(200))
    assert error is None
    assert lives > 400


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_four_thousand_worlds_and_the_same_answer_in_each() -> None:
    """A failure names its seed: `python tests/support/simulation.py SEED 1` runs that one again."""
    lives, errors = simulation.everywhere(range(4_000))
    assert errors == []
    assert lives > 8_000


@pytest.mark.thorough
@pytest.mark.timeout(100_000)
def test_a_million_worlds() -> None:
    """The million worlds after those give the answer of a serial sweep, too."""
    assert simulation.everywhere(range(4_000, 1_004_000))[1] == []


def test_a_mistake_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a journal that forgets a row now and then, some world fails."""
    write = simulation.Journal.write

    def loses_rows(journal: simulation.Journal, stage: int, digest: bytes, parts: list, *more: Any) -> list[range]:
        return write(journal, stage, digest, [part for part in parts if part[0].items.start % 7], *more)

    monkeypatch.setattr(simulation.Journal, "write", loses_rows)
    assert simulation.many(range(20))[1] is not None
