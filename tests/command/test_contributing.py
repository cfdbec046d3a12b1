"""CONTRIBUTING.md is true: the files that it names exist, and its examples work."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import optitrip
from command import ROOT
from driver_setup import Recording
from optitrip.samplers import SAMPLERS
from optitrip.space.distributions import DISTRIBUTIONS

TEXT = (ROOT / "CONTRIBUTING.md").read_text()


IMPORTS = """
from __future__ import annotations
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Self
import numpy as np
from optitrip.core.arrays import Array
from optitrip.core.notice import info
from optitrip.methods.search.method import SearchResult
from optitrip.objectives.analytic import Analytic
from optitrip.output.pictures import new_figure, png
from optitrip.samplers.random import open_unit, stream_key, words
from optitrip.samplers.sampler import Sampler
from optitrip.space.distributions import Distribution, finite
"""
"""Imports that the page leaves out."""


def example(word: str, **names: Any) -> dict[str, Any]:
    """Run the example with this word in it; return the names that it defines."""
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if word in code)
    exec(IMPORTS + code, names)
    return names


def test_every_file_that_is_named_exists() -> None:
    """Paths are those of the repository, or begin in `optitrip/`."""
    paths = set(re.findall(r"`([\w/.]+(?:\.py|\.json|\.toml|/))`", TEXT))
    assert len(paths) > 30
    assert [path for path in sorted(paths) if not any((ROOT / top / path).exists() for top in ("", "optitrip"))] == []


def test_the_sampler_of_the_page_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its points are in the open unit cube, depend on index and seed but on no order, and serve a search."""
    sampler = example("class Kronecker")["Kronecker"]()
    monkeypatch.setitem(SAMPLERS, sampler.name, sampler)
    sizes = {"x": 2, "y": 1}
    whole = sampler.unit(3, sizes, range(100))
    assert all(((unit > 0) & (unit < 1)).all() for unit in whole.values())
    part = sampler.unit(3, sizes, range(40, 50))
    assert all(np.array_equal(part[name], whole[name][40:50]) for name in sizes)
    reordered = sampler.unit(3, {"y": 1, "x": 2}, range(100))
    assert all(np.array_equal(reordered[name], whole[name]) for name in sizes)
    assert not np.isin(whole["x"], sampler.unit(4, sizes, range(200))["x"]).any()
    space = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}
    assert optitrip.search(distance, space, candidates=500, sampler="kronecker", executor="serial").loss < 0.1


def distance_from_0(x: float) -> float:
    return abs(x)


def distance(x: float, y: float) -> float:
    return abs(x - 0.5) + abs(y - 0.5)


def test_the_distribution_of_the_page_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its values are below mean * log 2, and a mistake in a space names what is wanted."""
    distribution = example("class Exponential")["Exponential"]
    monkeypatch.setitem(DISTRIBUTIONS, "exponential", distribution.parse)
    values = distribution.parse(3.0).values(np.array([0.5]))
    np.testing.assert_allclose(values, 3 * np.log(2))
    found = optitrip.search(distance_from_0, {"x": {"exponential": 2.0}}, candidates=100, executor="serial", best=1)
    assert 0 < found.loss < 1
    with pytest.raises(optitrip.InputError, match="mean must be a finite number"):
        optitrip.search(distance_from_0, {"x": {"exponential": "wide"}}, candidates=100, executor="serial")


def test_the_loss_of_the_page_works() -> None:
    """Its gradient is the numeric one."""
    loss = example("class SumOfFourthPowers")["SumOfFourthPowers"]()
    x = np.array([0.5, -1.0, 2.0])
    found = optitrip.gradient(loss, {"x": x}, scheme="central", executor="serial")
    np.testing.assert_allclose(found.gradient["x"], loss.gradient(x), rtol=1e-8)


def test_the_message_of_the_page_reaches_an_observer() -> None:
    """It has a code of the list."""
    observer = Recording()
    example("observer.notice", observer=observer)
    assert observer.codes == ["slow-block"]


def test_the_figure_of_the_page_is_a_picture() -> None:
    """It is drawn from the result of a search."""
    found = optitrip.search(distance_from_0, {"x": {"normal": [0, 1]}}, candidates=100, executor="serial")
    assert example("def histogram_png")["histogram_png"](found.result, "losses").startswith(b"\x89PNG")
