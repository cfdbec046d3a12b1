"""The key `levels` of a variable: some values of a continuous distribution, each as likely as the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import optitrip
from optitrip.errors import Invalid
from optitrip.samplers import SAMPLERS
from optitrip.space.candidates import Candidates
from optitrip.space.distributions import DISTRIBUTIONS
from optitrip.space.variables import Space, Variable


def every(entry: dict[str, Any]) -> list[float]:
    """All values of a variable, in order."""
    variable = Variable.parse("x", entry)
    return variable.values(variable.distribution.extremes()[:, np.newaxis]).ravel().tolist()


VALUES: dict[str, tuple[dict[str, Any], Any]] = {
    "both limits": ({"uniform": [0, 1], "levels": 11}, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
    "only the limits": ({"uniform": [-3, 5], "levels": 2}, [-3, 5]),
    "a geometric progression": ({"log_uniform": [1e-4, 1e2], "levels": 7}, [1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100]),
    "middles of quarters": ({"normal": [2, 3], "levels": 4}, stats.norm(2, 3).ppf([0.125, 0.375, 0.625, 0.875])),
    "a half-open range": ({"log_normal": [0, 1], "levels": 2}, stats.lognorm(1).ppf([0.25, 0.75])),
    "of an array": ({"uniform": [0, 1], "levels": 3, "shape": [1]}, [0, 0.5, 1]),
    "in single precision": ({"uniform": [0, 1], "levels": 3, "dtype": "float32"}, [0, 0.5, 1]),
}


@pytest.mark.parametrize("case", VALUES)
def test_values(case: str) -> None:
    """Evenly spaced in u between finite limits, which are exact; else equally probable."""
    entry, wanted = VALUES[case]
    found = every(entry)
    assert found == pytest.approx(wanted, rel=1e-12)
    if "uniform" in entry or "log_uniform" in entry:
        assert (found[0], found[-1]) == (wanted[0], wanted[-1])


@pytest.mark.parametrize("sampler", [word for word in SAMPLERS if word != "grid"])
def test_with_every_sampler_each_is_as_likely(sampler: str) -> None:
    """Counts over 5,000 candidates are even, but for chance."""
    space = Space.parse({"x": {"uniform": [0, 1], "levels": 5}})
    (x,) = Candidates(space, 3, sampler, together=5_000).values(range(5_000)).values()
    values, counts = np.unique(x, return_counts=True)
    assert values.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_it_is_a_discrete_variable() -> None:
    """Ordered, with a number of values; a gradient has no coordinate for it."""
    variable = Variable.parse("x", {"uniform": [0, 1], "levels": 5})
    distribution = variable.distribution
    assert (distribution.continuous, distribution.ordered, distribution.levels) == (False, True, 5)
    with pytest.raises(Invalid, match="has no derivative"):
        Space((variable,)).check_differentiable()
    with pytest.raises(optitrip.InputError, match=r"has no derivative.*fix it, e\.g\. x = 0\.0"):
        optitrip.sweep(
            {
                "objective": {"loss": "optitrip.objectives:Sphere"},
                "space": {"x": {"uniform": [0, 1], "levels": 5}},
                "method": {"use": "gradient", "at": {"fill": 0.0}},
            }
        )


@pytest.mark.parametrize("case", VALUES)
def test_its_description_is_its_entry(case: str) -> None:
    """What describes a variable makes the same one."""
    variable = Variable.parse("x", VALUES[case][0])
    assert variable.describe()["levels"] == VALUES[case][0]["levels"]
    assert Variable.parse("x", variable.describe()) == variable


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "one": ({"uniform": [0, 1], "levels": 1}, r"was 1, wanted a whole number from 2 to 1,048,576"),
    "a bool": ({"uniform": [0, 1], "levels": True}, r"was True, wanted a whole number"),
    "a float": ({"uniform": [0, 1], "levels": 3.0}, r"was 3\.0, wanted a whole number"),
    "a list": ({"uniform": [0, 1], "levels": [3]}, r"was \[3\], wanted a whole number"),
    "too many": ({"uniform": [0, 1], "levels": 2**21}, r"was 2097152, wanted a whole number"),
    "of an integer": (
        {"integer": [0, 9], "levels": 3},
        r"was 3, but the variable has a finite number of values",
    ),
    "of a log_integer": ({"log_integer": [1, 9], "levels": 3}, r"no range to divide.*\{ choice = \[1, 10, 100\] \}"),
    "of a choice": ({"choice": [0, 9], "levels": 3}, r"a finite number of values already; remove this key"),
    "of a constant": ({"constant": 2.0, "levels": 3}, r"a finite number of values already; remove this key"),
    "values that are equal": (
        {"uniform": [1, 1 + 1e-15], "levels": 50},
        r"only \d+ of the values differ; wanted",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_levels_are_refused(case: str) -> None:
    """The message has what was given, what was wanted, and what to do."""
    entry, said = WRONG[case]
    with pytest.raises(Invalid, match=said) as caught:
        Variable.parse("x", entry)
    assert caught.value.path == ("levels",)


def test_levels_without_a_distribution_are_refused() -> None:
    """They would have no effect."""
    for drawn in (True, False):
        with pytest.raises(Invalid, match="wanted exactly one distribution"):
            Variable.parse("x", {"shape": [2], "levels": 3}, drawn=drawn)


def test_levels_that_the_precision_joins_are_refused() -> None:
    """As options of a choice are."""
    with pytest.raises(Invalid, match=r"\[1\.0, 1\.000001\], which has different options that are equal in float32"):
        Variable.parse("x", {"uniform": [1, 1.000001], "levels": 50, "dtype": "float32"})


def test_every_continuous_distribution_takes_them() -> None:
    """None is left out."""
    entries: dict[str, Any] = {"normal": [0, 1], "log_normal": [0, 1], "uniform": [0, 1], "log_uniform": [1, 2]}
    for word in set(DISTRIBUTIONS) & set(entries):
        assert len({*every({word: entries[word], "levels": 9})}) == 9
