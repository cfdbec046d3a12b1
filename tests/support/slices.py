"""Evaluate slices on an executor and wait for their outcomes."""

from __future__ import annotations

import time
from typing import Any

from optitrip.core.executor import Done, Executor, Failed


def outcomes(executor: Executor, count: int) -> list[Done | Failed]:
    collected: list[Done | Failed] = []
    end = time.monotonic() + 60
    while len(collected) < count and time.monotonic() < end:
        collected += executor.wait(0.5)
    return collected


def await_slots(executor: Executor) -> None:
    end = time.monotonic() + 60
    while not executor.slots and time.monotonic() < end:
        executor.wait(0.1)


def only_outcome(executor: Executor, objective: Any, method: Any, items: range) -> Done | Failed:
    """Evaluate one slice, and return its outcome."""
    executor.load(objective)
    executor.stage(0, method)
    await_slots(executor)
    executor.submit(0, 0, items, executor.slots[0])
    (outcome,) = outcomes(executor, 1)
    return outcome
