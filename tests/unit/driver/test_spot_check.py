"""Before a sweep is resumed, a row of an earlier run is evaluated again and must give the same result."""

from __future__ import annotations

from typing import Any

import pytest

from chaos import Chaos
from driver_setup import MEMORY, driver
from examples import result_bits, search
from optitrip.core.observer import Progress
from optitrip.errors import StateError
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.loss.objective import Objective
from optitrip.methods.search.spec import search_route

ITEMS = 200


def run(loss: Any, journal: Journal, make: Any = Serial, since: int | None = 0) -> tuple[Any, int, int]:
    """Return the result, the number of items evaluated, and the number reported to observers."""
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
    journal, method = Journal(MEMORY), search(ITEMS)
    parts = [(method.evaluate(Objective(before), items), 0.1) for items in (range(1), range(1, 30), range(50, 90))]
    journal.write(0, method.digest(), parts, written=1)
    return journal, 70


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_that_is_the_same_is_gone_on_with(seed: int) -> None:
    """Whatever happens to the witness's workers; it is counted nowhere."""
    journal, kept = stopped_halfway()
    result, evaluated, told = run(before, journal, make=lambda: Chaos(seed))
    assert (evaluated, told) == (ITEMS - kept, ITEMS)
    assert result_bits(result) == result_bits(run(before, Journal(MEMORY))[0])


def test_a_spot_check_whose_workers_die_proves_nothing() -> None:
    """They may have had too little memory; the sweep is resumed, and the stored result of the item stays."""
    journal, stored = stopped_halfway()
    result, evaluated, _ = run(before, journal, make=lambda: Chaos(0, poison=frozenset({0})))
    assert evaluated == ITEMS - stored
    assert result.failures.count == 0


def test_a_changed_loss_is_refused() -> None:
    """The error has both losses, and nothing is written."""
    journal, _ = stopped_halfway()
    rows = journal.rows()
    with pytest.raises(StateError, match=r"gave a (best_)?loss of .* before and give .* now.*--accept-changes"):
        run(after, journal)
    assert journal.rows() == rows


def test_rows_that_may_differ_are_not_checked() -> None:
    """Rows of a loss that is not deterministic, and those from before changes that the user accepted."""
    for since in (None, 2**60):
        journal, stored = stopped_halfway()
        _, evaluated, _ = run(after, journal, since=since)
        assert evaluated == ITEMS - stored


def test_slow_rows_and_rows_with_failures_are_not_checked() -> None:
    """Items of a second and more would cost too much; whether an item fails may be a matter of luck."""
    method, objective = search(ITEMS), Objective(before)
    for seconds, fails, wanted in ((9.9, False, range(10)), (10.0, False, None), (1.0, True, None)):
        journal = Journal(MEMORY)
        part = method.evaluate(objective, range(10))
        if fails:
            part = method.evaluate(Objective(lambda x, k, c: float("nan")), range(10))
        journal.write(0, method.digest(), [(part, seconds)], written=1)
        assert journal.smallest_row(0, method.digest(), since=0) == wanted
