"""A loss that goes on after a request to stop is interrupted, and ends with its process if that does not help."""

from __future__ import annotations

import threading
import time

import pytest

from optitrip.errors import Stopped
from optitrip.runtime import overrun
from optitrip.runtime.overrun import Overrun

REQUEST = Stopped("a stop was requested")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrun, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(overrun, "GRACE_SECONDS", 0.05)


class Means:
    """Records what is done to a loss."""

    def __init__(self, request: Stopped | None, drain_seconds: float = 0.0) -> None:
        self.raised: list[Stopped] = []
        self.ended = threading.Event()
        self.overrun = Overrun(lambda: request, drain_seconds, self.raised.append, self.ended.set)


def test_a_loss_that_hears_of_nothing_ends_with_its_process() -> None:
    """First it is interrupted, then there is no other way."""
    means = Means(REQUEST)
    with means.overrun.watching():
        assert means.ended.wait(10)
    assert means.raised == [REQUEST]


@pytest.mark.parametrize("means", [Means(None), Means(REQUEST, 1e6)], ids=["no request", "still time"])
def test_a_loss_that_may_go_on_is_left_alone(means: Means) -> None:
    """Without a request, and until drain_seconds have passed."""
    with means.overrun.watching():
        time.sleep(0.1)
    assert not means.raised
    assert not means.ended.is_set()


def test_a_loss_that_ends_when_interrupted_keeps_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is the usual end of a stopped sweep."""
    monkeypatch.setattr(overrun, "GRACE_SECONDS", 10.0)
    means = Means(REQUEST)
    with means.overrun.watching():
        while not means.raised:
            time.sleep(0.01)
    time.sleep(0.1)
    assert not means.ended.is_set()
