"""Before a sweep goes on, a row of an earlier run is evaluated once more: the loss must still be what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos import Chaos
from examples import result_bits, search
from optitrip.core.progress import Progress
from optitrip.errors import StateError
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.loss.objective import Objective
from optitrip.methods.search.route import search_route
from running import driver

ITEMS = 200


def run(loss: Any, journal: Journal, make: Any = Serial, since: int | None = 0) -> tuple[Any, int, int]:
    """The result, the items evaluated, and those that watchers were told of."""
    objective, progress = Objective(loss), Progress(ITEMS)
    one = driver(objective, make, journal, progress, checked_since=since)
    answer = one.run(search_route(search(ITEMS), objective.capabilities))
    return answer.result, one.evaluated["search"], progress.done


def before(x: Any, k: int, c: float) -> float:
    return float(x[0]) + k + c


def after(x: Any, k: int, c: float) -> float:
    return float(x[0]) + k + c + 1e-9


def stopped_halfway() -> tuple[Journal, int]:
    """With the items that are kept."""
    journal, method = Journal(Path(":memory:")), search(ITEMS)
    parts = [(method.evaluate(Objective(before), items), 0.1) for items in (range(1), range(1, 30), range(50, 90))]
    journal.write(0, method.digest(), parts, written=1)
    return journal, 70


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_that_is_the_same_is_gone_on_with(seed: int) -> None:
    """Whatever happens to the witness's workers; it is counted nowhere."""
    journal, kept = stopped_halfway()
    result, evaluated, told = run(before, journal, make=lambda: Chaos(seed))
    assert (evaluated, told) == (ITEMS - kept, ITEMS)
    assert result_bits(result) == result_bits(run(before, Journal(Path(":memory:")))[0])


def test_a_witness_whose_workers_die_tells_nothing() -> None:
    """They may have had too little memory; the sweep goes on, and what it keeps of the item stays."""
    journal, kept = stopped_halfway()
    result, evaluated, _ = run(before, journal, make=lambda: Chaos(0, poison=frozenset({0})))
    assert evaluated == ITEMS - kept
    assert result.failures.count == 0


def test_a_loss_that_is_another_one_is_refused() -> None:
    """With both losses, and nothing written."""
    journal, _ = stopped_halfway()
    rows = journal.rows()
    with pytest.raises(StateError, match=r"gave a (best_)?loss of .* before and give .* now.*--accept-changes"):
        run(after, journal)
    assert journal.rows() == rows


def test_nothing_is_held_against_what_was_not_to_last() -> None:
    """A loss that is not deterministic, or rows from before changes that were accepted."""
    for since in (None, 2**60):
        journal, kept = stopped_halfway()
        _, evaluated, _ = run(after, journal, since=since)
        assert evaluated == ITEMS - kept


def test_what_takes_long_is_not_paid_twice() -> None:
    """Items of a second and more are no witnesses, nor are rows with failures, whose loss may be a matter of luck."""
    method, objective = search(ITEMS), Objective(before)
    for seconds, fails, wanted in ((9.9, False, range(10)), (10.0, False, None), (1.0, True, None)):
        journal = Journal(Path(":memory:"))
        part = method.evaluate(objective, range(10))
        if fails:
            part = method.evaluate(Objective(lambda x, k, c: float("nan")), range(10))
        journal.write(0, method.digest(), [(part, seconds)], written=1)
        assert journal.smallest_row(0, method.digest(), since=0) == wanted
