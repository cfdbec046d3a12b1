"""A descent one step at a time."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array

START = np.array([1.0, -2.0, 0.5])
OPTIONS: dict[str, Any] = {"rule": "momentum", "rate": 0.05, "steps": 12, "gradient": "own"}


class Bowl:
    """A sum of squares with its gradient."""

    def __call__(self, x: Array) -> float:
        return float(x @ x)

    def gradient(self, x: Array) -> Array:
        return 2 * x


def collected(steps: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    """All steps, and the answer that the generator returns."""
    found: list[Any] = []

    def answer() -> Generator[Any, None, Any]:
        return (yield from steps)

    watched = answer()
    while True:
        try:
            found.append(next(watched))
        except StopIteration as end:
            return found, end.value


def test_steps_and_answer_are_those_of_the_whole() -> None:
    """To the bit."""
    whole = optitrip.descend(Bowl(), START, **OPTIONS, executor="serial")
    found, answer = collected(optitrip.descent(Bowl(), START, **OPTIONS, executor="serial"))
    assert [step.loss for step in found] == whole.history["losses"].tolist()
    assert [step.step for step in found] == list(range(12))
    assert np.array_equal(found[0].x["x"], START)
    assert answer.loss == whole.loss
    assert np.array_equal(answer.x["x"], whole.x["x"])


def test_nothing_is_evaluated_that_is_not_asked_for() -> None:
    """A loop that ends early ends the descent, its thread and its session."""
    before, seen = threading.active_count(), list[float]()
    for step in optitrip.descent(Bowl(), START, **{**OPTIONS, "steps": 10**6}, executor="serial"):
        seen.append(step.loss)
        if len(seen) == 3:
            break
    assert seen == sorted(seen, reverse=True)
    assert threading.active_count() <= before
    unstarted = optitrip.descent(lambda x: pytest.fail("evaluated"), START, **OPTIONS, executor="serial")
    unstarted.close()


def test_a_session_that_steps_is_not_called() -> None:
    """The call would wait for the loop that makes it; after the loop the session serves again."""
    with optitrip.Session(executor="serial") as session:
        steps = session.descent(Bowl(), START, **OPTIONS)
        next(steps)
        with pytest.raises(optitrip.InputError, match="steps through a descent"):
            session.gradient(Bowl(), START)
        steps.close()
        assert np.allclose(session.gradient(Bowl(), START).gradient["x"], 2 * START)
        assert len(collected(session.descent(Bowl(), START, **OPTIONS))[0]) == 12


def test_errors_reach_the_loop() -> None:
    """Those of the descent as those of arguments, which are found before the first step."""
    with pytest.raises(optitrip.NoAnswer, match="the loss was nan"):
        collected(optitrip.descent(lambda x: np.nan, START, rate=0.1, steps=3, executor="serial"))
    with pytest.raises(TypeError, match="rte"):
        optitrip.descent(Bowl(), START, rte=0.1, rate=0.1, steps=3)
    with pytest.raises(optitrip.InputError, match="rule"):
        collected(optitrip.descent(Bowl(), START, rate=0.1, steps=3, rule="sdg", executor="serial"))


def test_a_notebook_completes_its_arguments() -> None:
    """They are those of `descend`."""
    assert list(inspect.signature(optitrip.descent).parameters) == list(inspect.signature(optitrip.descend).parameters)
