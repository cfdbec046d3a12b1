"""Distributions of scipy.stats by name: values, limits, canonical entries, and refusals at the door."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import optitrip
from optitrip.errors import Invalid
from optitrip.space.distribution import HIGHEST, LOWEST
from optitrip.space.rounding import underflow
from optitrip.space.variables import Variable
from optitrip.store.lookup import read

FILE = """
[objective]
loss = "optitrip.objectives:Sphere"
[space]
x = { scipy = { name = "beta", a = 2, b = 3.0, loc = 0 } }
[method]
use = "search"
candidates = 50
[run]
executor = "serial"
[tracking]
use = "none"
"""


def variable(name: str, **given: Any) -> Variable:
    return Variable.parse("x", {"scipy": {"name": name, **given}})


def at(found: Variable, *unit: float) -> list[Any]:
    return found.values(np.array(unit)[:, np.newaxis]).tolist()


def test_values_are_those_of_formulas() -> None:
    """Exponential, Weibull and beta by their own inverses."""
    unit = [LOWEST, 0.1, 0.5, 0.9]
    expon, weibull = variable("expon", scale=2.0), variable("weibull_min", c=1.5)
    assert at(expon, *unit) == pytest.approx([-2 * math.log1p(-u) for u in unit], rel=1e-12)
    assert at(weibull, *unit) == pytest.approx([(-math.log1p(-u)) ** (1 / 1.5) for u in unit], rel=1e-12)
    assert at(variable("beta", a=2.0, b=3.0), *unit) == pytest.approx(special.betaincinv(2, 3, unit), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("poisson", {"mu": 3.5}),
        ("binom", {"n": 10, "p": 0.3}),
        ("geom", {"p": 0.2, "loc": -1}),
        ("randint", {"low": 2, "high": 5}),
    ],
)
def test_discrete_ones_are_whole_numbers(name: str, given: dict[str, Any]) -> None:
    """Values int64 with the probabilities of SciPy's; a gradient has no coordinate for them."""
    found = variable(name, **given)
    values = found.values(((np.arange(20_000) + 0.5) / 20_000)[:, np.newaxis])
    assert values.dtype == np.int64
    assert (found.distribution.continuous, found.distribution.levels, found.distribution.positive) == (False, 0, False)
    for value in np.unique(values):
        assert abs((values == value).mean() - getattr(stats, name)(**given).pmf(value)) < 1e-4


def test_limits_and_signs() -> None:
    """Limits are those of the support; what is never 0 is positive."""
    limits = {
        name: (variable(name, **given).distribution.limits, variable(name, **given).distribution.positive)
        for name, given in {
            "norm": {},
            "gamma": {"a": 2.0},
            "uniform": {"loc": -1.0, "scale": 3.0},
            "pareto": {"b": 1.5},
        }.items()
    }
    assert limits == {
        "norm": ((-math.inf, math.inf), False),
        "gamma": ((0, math.inf), True),
        "uniform": ((-1, 2), False),
        "pareto": ((1, math.inf), True),
    }
    assert "too small for float64" in (underflow(variable("gamma", a=0.01).distribution, "float64") or "")


@pytest.mark.parametrize("name", ["norm", "cauchy", "halfnorm", "halfcauchy", "logistic", "gumbel_r"])
def test_the_outermost_values_are_finite(name: str) -> None:
    """Also where SciPy's own inverse is infinite by a rounding."""
    assert np.isfinite(at(variable(name), LOWEST, HIGHEST)).all()


def test_an_entry_has_one_spelling() -> None:
    """Arguments in SciPy's order as floats, without those that are as usual; so the identity is the same."""
    one = variable("gamma", scale=3, loc=0, a=2)
    assert one == variable("gamma", a=2.0, scale=3.0)
    assert one.describe() == {"scipy": {"name": "gamma", "a": 2.0, "scale": 3.0}}
    assert list(one.describe()["scipy"]) == ["name", "a", "scale"]
    assert Variable.parse("x", one.describe()) == one
    at(one, 0.5)
    assert pickle.loads(pickle.dumps(one)) == one


WRONG: dict[str, tuple[Any, str]] = {
    "no table": ("gamma", r'wanted a name and arguments, e\.g\. \{ name = "gamma", a = 2\.0.*was \'gamma\''),
    "no name": ({"a": 2.0}, r"wanted a name and arguments"),
    "a misspelt name": ({"name": "gama", "a": 2.0}, r"name was 'gama', which is no .*did you mean gamma\?"),
    "a function": ({"name": "zscore"}, r"name was 'zscore', which is no distribution of scipy\.stats"),
    "no shape": ({"name": "beta", "a": 2.0}, r"beta needs b, was .*; it takes a, b, loc, scale"),
    "a misspelt argument": ({"name": "norm", "scal": 2.0}, r"scal is no argument of norm; did you mean scale\?"),
    "a scale of a discrete one": ({"name": "poisson", "mu": 2.0, "scale": 2.0}, r"scale is no argument of poisson"),
    "text": ({"name": "norm", "loc": "0"}, r"loc must be a finite number, was '0'"),
    "a shape without a meaning": ({"name": "gamma", "a": -1.0}, r"gamma gives no numbers \(NaN\) with a = -1\.0"),
    "a scale of 0": ({"name": "norm", "scale": 0}, r"norm gives no numbers \(NaN\) with scale = 0\.0"),
    "endless whole numbers": ({"name": "zipf", "a": 1.1}, r"zipf has a heavy tail with a = 1\.1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_entries_are_refused(case: str) -> None:
    """The message has what was given and what was wanted."""
    entry, said = WRONG[case]
    with pytest.raises(Invalid, match=said) as caught:
        Variable.parse("x", {"scipy": entry})
    assert caught.value.path == ("scipy",)


def test_a_file_an_option_and_a_call_mean_the_same(tmp_path: Path) -> None:
    """Read from a file, changed with --set, restored from its stored text, and from Python."""
    (tmp_path / "beta.toml").write_text(FILE)
    sweep = read(tmp_path / "beta.toml")
    assert sweep.space.describe() == {"x": {"scipy": {"name": "beta", "a": 2.0, "b": 3.0}}}
    other = read(tmp_path / "beta.toml", ["space.x.scipy.a=5"])
    assert other.identity != sweep.identity
    (tmp_path / "again.toml").write_text(other.resolved)
    assert read(tmp_path / "again.toml").identity == other.identity
    entry = {"scipy": {"name": "beta", "a": np.float64(2), "b": 3}}
    found = optitrip.search(lambda x: x, {"x": entry}, candidates=50, executor="serial")
    assert found.x["x"] == min(sweep.candidates.values(range(50))["x"])


def test_it_has_levels() -> None:
    """Of a finite support both ends, else equally probable ones."""
    beta = Variable.parse("x", {"scipy": {"name": "beta", "a": 2.0, "b": 2.0}, "levels": 3})
    assert at(beta, 0.1, 0.5, 0.9) == pytest.approx([0, 0.5, 1])
    norm = Variable.parse("x", {"scipy": {"name": "norm"}, "levels": 2})
    assert at(norm, 0.1, 0.9) == pytest.approx(stats.norm.ppf([0.25, 0.75]))


def test_other_spaces_do_not_import_it() -> None:
    """It takes long to import."""
    code = (
        "import sys; from optitrip.space.variables import Space; Space.parse({'x': {'uniform': [0, 1]}});"
        "assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
