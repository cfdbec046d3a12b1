"""A sampler, a distribution or an objective that is added can be used everywhere, with no edit elsewhere."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import optitrip
from command import optitrip as command
from optitrip import objectives
from optitrip.core.arrays import Array
from optitrip.objectives.analytic import Analytic
from optitrip.samplers import SAMPLERS, Sampler
from optitrip.space.distributions import DISTRIBUTIONS, Distribution, finite
from optitrip.store.lookup import read

N, MOST = 50, 3
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Golden(Sampler):
    """Multiples of the golden section, the same for each coordinate; good for a few."""

    name: ClassVar[str] = "golden"

    def check(self, design: Mapping[str, int]) -> None:
        if max(design.values()) > MOST:
            raise ValueError(f"golden is good for {MOST} coordinates; wanted another sampler")

    def unit(self, seed: int, design: Mapping[str, int], items: range) -> dict[str, Array]:
        rows = (np.arange(items.start, items.stop) + 0.5) * GOLDEN % 1
        return {name: np.repeat(rows[:, np.newaxis], size, axis=1) for name, size in design.items()}


@dataclass(frozen=True)
class Exponential(Distribution):
    """An exponential distribution."""

    mean: float

    @classmethod
    def parse(cls, given: object) -> Exponential:
        if (mean := finite(given, "mean")) <= 0:
            raise ValueError(f"mean must be above 0, was {given!r}")
        return cls(mean)

    def values(self, unit: Array) -> Array:
        return -self.mean * np.log1p(-unit)


@dataclass(frozen=True)
class Quartic(Analytic):
    """f(x) = sum_i x_i^4."""

    def _values(self, x: Array) -> Array:
        return (np.square(x) ** 2).sum(axis=-1)

    def _slope(self, x: Array) -> Array:
        return 4 * x**3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, in a process in which all three are registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SAMPLERS, "golden", Golden())
    monkeypatch.setitem(DISTRIBUTIONS, "exponential", Exponential.parse)
    monkeypatch.setattr(objectives, "Quartic", Quartic, raising=False)
    monkeypatch.delitem(sys.modules, "sums", raising=False)
    (tmp_path / "sums.py").write_text("def total(x): return float(x.sum())\n")
    return tmp_path


SEARCH: dict[str, Any] = {"use": "search", "sampler": "golden", "candidates": N}
AT: dict[str, Any] = {"use": "gradient", "sampler": "golden", "at": {"candidate": 7}}


def file_of(folder: Path, method: Mapping[str, Any], loss: str = "sums:total", **space: Any) -> str:
    """A sweep file of these tables."""
    x = {"exponential": 2.0, "shape": [2], **space}
    method = {key: value if key != "at" else Raw("{ candidate = 7 }") for key, value in method.items()}
    lines = ["[objective]", f'loss = "{loss}"', "[space]", f"x = {inline(x)}", "[method]"]
    lines += [f"{key} = {value if isinstance(value, Raw) else json.dumps(value)}" for key, value in method.items()]
    (folder / "one.toml").write_text("\n".join([*lines, '[run]\nexecutor = "serial"\n[tracking]\nuse = "none"\n']))
    return "one.toml"


class Raw(str):
    """TOML as it stands."""


def inline(table: Mapping[str, Any]) -> str:
    return f"{{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in table.items())} }}"


def place(index: int) -> float:
    """The value that every coordinate of a candidate has."""
    return -2.0 * math.log1p(-((index + 0.5) * GOLDEN % 1))


def lowest() -> int:
    return min(range(N), key=lambda n: (n + 0.5) * GOLDEN % 1)


def swept(folder: Path, file: str) -> dict[str, Any]:
    done = command(folder, "sweep", file, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_sampler_and_a_distribution_in_a_file(folder: Path) -> None:
    """The best is that of a plain loop over their values; the plan names them, and `replay` draws the same."""
    file = file_of(folder, SEARCH)
    plan = command(folder, "check", file).stdout
    assert "golden sampler" in plan
    assert "exponential 2.0" in plan
    found = swept(folder, file)
    best = found["best"]
    assert best["index"] == lowest()
    assert math.isclose(best["loss"], 2 * place(lowest()), rel_tol=1e-12)
    with np.load(best["file"]) as kept:
        np.testing.assert_allclose(kept["x"], [place(lowest())] * 2, rtol=1e-12)
    replayed = command(folder, "replay", file, str(best["index"])).stdout
    assert float(replayed.splitlines()[-1]) == best["loss"]
    assert read(folder / file).identity == found["identity"]
    assert read(folder / file, ["method.sampler=random"]).identity != found["identity"]


def test_they_make_the_point_of_a_gradient(folder: Path) -> None:
    """`at = { candidate = ... }` is the sampler's candidate; the objective's own gradient stands beside the numeric."""
    found = swept(folder, file_of(folder, AT, "optitrip.objectives:Quartic"))
    assert found["gradient"]["from_analytic"] < 1e-6
    assert math.isclose(found["gradient"]["loss"], 2 * place(7) ** 4, rel_tol=1e-12)


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "too many coordinates": ({"shape": [4]}, ["one.toml:7: method.sampler: golden is good for 3 coordinates"]),
    "a mean of 0": ({"exponential": 0}, ["one.toml:4: space.x.exponential: mean must be above 0, was 0"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_their_own_refusals_have_the_place_in_the_file(folder: Path, case: str) -> None:
    """A refusal from a sampler or a distribution is reported with the line of the file."""
    space, said = MISTAKES[case]
    done = command(folder, "check", file_of(folder, SEARCH, **space))
    assert done.returncode == 2
    assert all(words in done.stderr for words in said), done.stderr


def test_unknown_words_are_told_with_the_new_ones(folder: Path) -> None:
    """Whoever mistypes them is told of them."""
    file = file_of(folder, SEARCH)
    assert "did you mean golden?" in command(folder, "check", file, "--set", "method.sampler=goldn").stderr
    misspelt = file_of(folder, SEARCH, exponentail=1)
    assert "did you mean exponential?" in command(folder, "check", misspelt).stderr


def total(x: Array) -> float:
    return float(x.sum())


def tables(objective: str) -> dict[str, Any]:
    return {
        "objective": {"loss": objective},
        "space": {"x": {"exponential": 2.0, "shape": [2]}},
        "method": SEARCH,
        "run": {"executor": "serial"},
    }


FROM_PYTHON: dict[str, Callable[[], Any]] = {
    "tables": lambda: optitrip.sweep(tables("optitrip.objectives:Quartic")),
    "a value": lambda: optitrip.search(
        Quartic(), {"x": {"exponential": 2.0, "shape": [2]}}, candidates=N, executor="serial"
    ),
}


@pytest.mark.parametrize("way", FROM_PYTHON)
def test_from_python(folder: Path, way: str) -> None:
    """Tables have the words of a file; a value is an objective like any other, and its minimum is known."""
    found = FROM_PYTHON[way]()
    assert found.items == N
    assert math.isclose(found.loss, float((found.x["x"] ** 4).sum()), rel_tol=1e-12)
    if way == "tables":
        assert found.index == lowest()
    assert Quartic().least(2) == Quartic()(Quartic().minimum(2)) == 0
