"""Whole sweeps of the examples, and their answers without any faults."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from driver_setup import AT_ONCE, driver
from examples import CASES, result_bits, search
from optitrip.core.executor import Executor
from optitrip.driver.settings import Settings
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.serial import Serial
from optitrip.journal.journal import Journal
from optitrip.loss.objective import Objective
from optitrip.methods.search.spec import search_route

ITEMS = 300


def go(case: str | Objective, items: int = ITEMS, **options: Any) -> tuple[bytes, dict[str, int]]:
    """Run a whole sweep, as `answered`; return the bits of its answer and the items evaluated by kind of stage."""
    answer, evaluated = answered(case, items, **options)
    reported = getattr(answer, "report_result", None)
    return result_bits(getattr(answer, "result", answer)) + (result_bits(reported) if reported else b""), evaluated


def answered(
    case: str | Objective,
    items: int = ITEMS,
    make: Callable[[], Executor] | ExecutorManager = Serial,
    journal: Journal | None = None,
    watch: Any = None,
    seed: int = 5,
    settings: Settings = AT_ONCE,
) -> tuple[Any, dict[str, int]]:
    """Run a whole sweep, a search if only an objective is given; return its answer and the items evaluated by kind of
    stage."""
    if isinstance(case, str):
        objective, route = CASES[case]
    else:
        objective, route = case, lambda items, seed: search_route(search(items, seed=seed), case.capabilities)
    one = driver(objective, make, journal, watch, block=objective.capabilities.block, settings=settings)
    return one.run(route(items, seed)), one.evaluated


@cache
def reference(case: str) -> bytes:
    """The answer of a run that nothing happens to."""
    return go(case)[0]
