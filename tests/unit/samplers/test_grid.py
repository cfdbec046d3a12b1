"""The grid sampler: all combinations by index, each once, and what has no grid."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optitrip
from command import optitrip as command
from optitrip.errors import InputError
from optitrip.samplers.grid import Grid
from optitrip.space.candidates import Candidates
from optitrip.space.columns import scalar_columns
from optitrip.space.variables import Space
from optitrip.store.lookup import read

SPACE: dict[str, Any] = {
    "b": {"choice": ["u", "v"]},
    "a": {"integer": [3, 5]},
    "x": {"uniform": [0, 1], "levels": 3, "shape": [2]},
    "c": 7,
}
FILE = """
[objective]
loss = "optitrip.objectives:Sphere"
[space]
x = { uniform = [-1, 1], levels = 3, shape = [2] }
[method]
use = "search"
sampler = "grid"
candidates = 1_000
[run]
executor = "serial"
[tracking]
use = "none"
"""


def rows(candidates: Candidates, count: int) -> list[tuple[Any, ...]]:
    """Candidates as tuples of their values, in the order of the space."""
    values = candidates.values(range(count))
    names = candidates.space.names
    return [tuple(values[name][n].tolist() for name in names) for n in range(count)]


def test_every_combination_once_in_the_order_of_nested_loops() -> None:
    """The first variable varies slowest, the last entry fastest; beyond the last row they begin again."""
    wanted = [
        (b, a, [first, second], 7)
        for b, a, first, second in itertools.product(["u", "v"], [3, 4, 5], [0, 0.5, 1], [0, 0.5, 1])
    ]
    candidates = Candidates(Space.parse(SPACE), 0, "grid")
    assert Grid().most(candidates.space.design()) == len(wanted) == 54
    assert rows(candidates, 54) == wanted
    assert rows(candidates, 108)[54:] == wanted


@given(
    levels=st.lists(st.integers(1, 2**48), min_size=1, max_size=6),
    index=st.integers(0, 2**53),
)
def test_digits_of_any_index(levels: list[int], index: int) -> None:
    """As Python's own integers divide, however large the product of levels."""
    design = Space.parse({f"v{n}": {"integer": [0, count - 1]} for n, count in enumerate(levels)}).design()
    assert Grid().most(design) == math.prod(levels)
    unit = Grid().unit(0, design, range(index, index + 1))
    rest = index
    for n, count in reversed([*enumerate(levels)]):
        assert math.floor(unit[f"v{n}"][0, 0] * count) == rest % count
        rest //= count


def test_hundreds_of_coordinates_are_no_trouble() -> None:
    """The number of combinations has hundreds of digits; a search takes the first ones."""
    space = Space.parse({"W": {"choice": [-1, 1], "shape": [2_000]}})
    assert Grid().most(space.design()) == 2**2000
    values = Candidates(space, 0, "grid").values(range(4))["W"]
    assert values[:, -2:].tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert (values[:, :-2] == -1).all()


def test_a_search_ends_with_the_last_combination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check and answer speak of nine points, and each is evaluated once; fewer candidates are the first of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(FILE)
    sweep = read(tmp_path / "grid.toml")
    assert sweep.items == 9
    plan = command(tmp_path, "check", "grid.toml").stdout
    assert "9 candidates, grid sampler (9 points in all)" in plan
    assert "[-1.0, 1.0] at 3 levels of shape [2]" in plan
    found = json.loads(command(tmp_path, "sweep", "grid.toml", "--json").stdout)
    assert (found["items"], found["best"]["loss"], found["best"]["index"]) == (9, 0, 4)
    table = command(tmp_path, "sweep", "grid.toml").stdout
    assert re.search(r"in all +9 points", table)
    few = read(tmp_path / "grid.toml", ["method.candidates=4"])
    assert (few.items, few.identity) == (4, sweep.identity)
    assert "4 candidates, grid sampler (9 points in all)" in few.spec.describe(few)


def test_the_order_of_variables_is_part_of_the_sweep(tmp_path: Path) -> None:
    """With other samplers it does not matter."""
    lines = ["x = { integer = [0, 3] }", "y = { integer = [0, 4] }"]
    text = FILE.replace("x = { uniform = [-1, 1], levels = 3, shape = [2] }", "SPACE")
    for name, order in (("one", lines), ("two", lines[::-1])):
        (tmp_path / f"{name}.toml").write_text('name = "same"\n' + text.replace("SPACE", "\n".join(order)))
    one, two = (read(tmp_path / f"{name}.toml") for name in ("one", "two"))
    assert one.identity != two.identity
    assert one.candidates.describe() != two.candidates.describe()
    one, two = (read(tmp_path / f"{name}.toml", ["method.sampler=sobol"]) for name in ("one", "two"))
    assert one.identity == two.identity


WRONG: dict[str, tuple[str, list[str]]] = {
    "continuous": (
        "x = { uniform = [0, 1] }",
        ["grid.toml:8: method.sampler: was 'grid', but x cannot be counted off"],
    ),
    "unbounded": ("x = { normal = [0, 1] }", ["but x cannot be counted off", "levels = 11"]),
    "a log_integer": ("x = { log_integer = [1, 9] }", ["but x cannot be counted off", "{ choice = [1, 10, 100] }"]),
    "two of three": (
        "x = { normal = [0, 1] }\nk = { integer = [1, 2] }\ny = { uniform = [0, 1] }",
        ["but x, y cannot be counted off"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_grid_is_refused(case: str, tmp_path: Path) -> None:
    """With the line of the sampler, and how to give the variable a number of values."""
    space, said = WRONG[case]
    (tmp_path / "grid.toml").write_text(FILE.replace("x = { uniform = [-1, 1], levels = 3, shape = [2] }", space))
    with pytest.raises(InputError) as caught:
        read(tmp_path / "grid.toml")
    assert all(words in str(caught.value) for words in said), str(caught.value)


def test_a_table_of_candidates_has_their_values() -> None:
    """Scalars beside an array that varies faster are those of the whole grid."""
    candidates = Candidates(Space.parse(SPACE), 0, "grid")
    columns = scalar_columns(candidates, np.array([53, 0, 20]))
    assert columns["a"].tolist() == [candidates.point(n)["a"][0] for n in (53, 0, 20)]


def distance(x: float, k: int) -> float:
    return (x - 0.3) ** 2 + k


def test_from_python() -> None:
    """The words of a file are those of a call; a constant space has one point."""
    space = {"x": {"uniform": [0, 1], "levels": 11}, "k": {"integer": [1, 2]}}
    found = optitrip.search(distance, space, candidates=100, sampler="grid", executor="serial")
    assert (found.items, found.x["x"], found.x["k"]) == (22, 0.3, 1)
    alone = optitrip.search(distance, {"x": 2.0, "k": 1}, candidates=100, sampler="grid", executor="serial")
    assert alone.items == 1
