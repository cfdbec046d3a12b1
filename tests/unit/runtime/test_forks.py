"""A loss that forks, and whose child comes back: it ends, and is no second worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

import optitrip

SPACE: dict[str, Any] = {"x": {"uniform": [0, 1]}}
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def fails() -> NoReturn:
    raise ValueError("in the child")


def searches_and_exits() -> NoReturn:
    """The child may use optitrip itself, with a loss that fails."""
    found = optitrip.search(lambda x: x if x > 0.1 else fails(), SPACE, candidates=100, executor="serial")
    sys.exit(5 if 0.1 < found.loss < 0.2 else 6)


WAYS: dict[str, tuple[Callable[[], object], int]] = {
    "exit with a number": (lambda: sys.exit(3), 3),
    "exit": (lambda: sys.exit(), 0),
    "exit with text": (lambda: sys.exit("why"), 1),
    "exception": (fails, 1),
    "optitrip": (searches_and_exits, 5),
    "return": (lambda: None, 0),
}


def status_of_child(way: Callable[[], object]) -> float:
    if (pid := os.fork()) == 0:
        way()
        return 0.0
    return float(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


@pytest.mark.daily
@pytest.mark.mostly_daily
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_child_of_the_loss_ends_where_it_leaves_it(way: str, batched: bool) -> None:
    """With the exit status that Python would give it; this process evaluates each item once."""
    process, (leave, status) = os.getpid(), WAYS[way]

    def loss(x: Any) -> Any:
        return x * 0 + status_of_child(leave)

    found = optitrip.search(optitrip.batched(loss) if batched else loss, SPACE, candidates=3, executor="serial")
    if os.getpid() != process:
        os._exit(99)
    assert found.losses.tolist() == [status] * 3
    assert not found.failures
