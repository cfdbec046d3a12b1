"""Comparisons of rules: each with the same rates and steps, and a descent of its own for each pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.methods.descent.comparison import rates_of

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

TABLES: dict[str, Any] = {
    "objective": {"loss": "test_rule_comparison:bowl"},
    "space": {"x": {"shape": [2], "normal": [0, 1]}},
    "tracking": {"use": "none"},
}
METHOD: dict[str, Any] = {"use": "descent", "at": {"values": [1.0, -2.0]}, "steps": 15}


def bowl(x: Array) -> float:
    """Half of x1^2 + 10 x2^2."""
    return float(x[0] ** 2 + 10 * x[1] ** 2) / 2


def run(**method: Any) -> Any:
    return optitrip.sweep({**TABLES, "method": {**METHOD, **method}}, executor="serial")


@pytest.mark.daily
def test_each_pair_is_the_descent_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit; the answer is the best of all, and the best rate of each rule is told."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    rates = [0.001, 0.01, 0.1, 1.0]
    found = run(rule=["sgd", "adam"], rates=rates)
    for rule in ("sgd", "adam"):
        alone = {rate: run(rule=rule, rate=rate) for rate in rates}
        tuned = found.rules[rule]
        assert {rate: one.loss for rate, one in tuned.answers.items()} == {r: one.loss for r, one in alone.items()}
        assert tuned.rate == min(rates, key=lambda rate: alone[rate].loss)
        best = alone[tuned.rate]
        enough = [r for r in rates if best.first - alone[r].loss >= 0.9 * (best.first - best.loss)]
        assert tuned.good == enough
        assert tuned.width == pytest.approx(np.log10(enough[-1] / enough[0]))
    assert found.loss == min(found.rules["sgd"].best.loss, found.rules["adam"].best.loss) == bowl(found.x["x"])
    assert found.rules["sgd"].answers[1.0].ended.startswith("diverged")
    assert found.picture().startswith(b"\x89PNG")


def test_rates() -> None:
    """A list is sorted; a grid is even in the logarithm, and holds both ends."""
    assert rates_of([0.1, 0.001, 0.1]) == (0.001, 0.1)
    np.testing.assert_allclose(rates_of({"log_grid": [1e-3, 1, 4]}), [1e-3, 1e-2, 1e-1, 1])


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ({"rule": ["sgd", "adam"], "rate": 0.1}, "rates: are missing"),
        ({"rule": "sgd", "rates": [0.1]}, "rates: are for several rules"),
        ({"rule": ["sgd"], "rates": [0.1], "rate": 0.1}, "rate: is beside"),
        ({"rule": ["sgd"]}, "rate: is missing"),
        ({"rule": ["sgd", "adom"], "rates": [0.1]}, "did you mean adam"),
        ({"rule": ["sgd", "adam", "sgd"], "rates": [0.1]}, "rule: names sgd twice"),
        ({"rule": ["sgd"], "rates": {"log_grid": [1, 2]}}, "wanted a list of numbers"),
        ({"rule": ["sgd"], "rates": [0.1, -1]}, "rates: was"),
        ({"rule": ["sgd"], "rates": [0.1], "options": {"momentum": 1}}, "options: are those of one rule"),
    ],
)
def test_mistakes(method: dict[str, Any], told: str) -> None:
    """They are told with their key."""
    with pytest.raises(optitrip.InputError, match=told):
        run(**method)
