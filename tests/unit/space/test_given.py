"""Given points, from lists, CSV and Parquet files, each of which is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from command import optitrip as command
from optitrip.errors import InputError
from optitrip.methods.spec import GivenTable
from optitrip.output.tables import csv_bytes, parquet_bytes
from optitrip.space.candidates import Candidates
from optitrip.space.given import given_points
from optitrip.space.variables import Space
from optitrip.store.points import read_given

SPACE = Space.parse(
    {
        "x": {"uniform": [-1, 1]},
        "w": {"shape": [2], "normal": [0, 1], "dtype": "float32"},
        "n": {"integer": [1, 9]},
        "kind": {"choice": ["a", "b"]},
        "flag": {"choice": [False, True]},
        "c": 2.5,
    }
)
ROWS: list[dict[str, Any]] = [
    {"x": 0.1, "w": [1.5, -2.0], "n": 3, "kind": "b", "flag": True},
    {"x": -1, "w[0]": 0.25, "w[1]": 3, "n": 9, "kind": "a", "flag": False},
]


def columns() -> dict[str, Any]:
    given = given_points(SPACE, ROWS, alone=True).values
    flat = {"w[0]": given["w"][:, 0], "w[1]": given["w"][:, 1]}
    return {"loss": np.zeros(2), **{name: given[name] for name in ("x", "n")}, **flat}


def test_points_have_the_types_of_the_space() -> None:
    """As the values that are drawn have."""
    given, drawn = given_points(SPACE, ROWS, alone=True).values, Candidates(SPACE, 0).values(range(2))
    for name, column in drawn.items():
        assert (given[name].dtype.kind, given[name].shape) == (column.dtype.kind, column.shape), name
        assert not given[name].flags.writeable
    assert given["w"].tolist() == [[1.5, -2.0], [0.25, 3.0]]
    assert given["flag"].tolist() == [True, False]
    assert given["c"].tolist() == [2.5, 2.5]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_gives_the_same_points_as_a_list(tmp_path: Path, suffix: str) -> None:
    """To the bit; columns that are no variables are told and ignored."""
    space = Space.parse({"x": {"uniform": [-1, 1]}, "w": {"shape": [2], "normal": [0, 1]}, "n": {"integer": [1, 9]}})
    rows = [{"x": 0.1 + 0.2, "w": [1 / 3, 2], "n": 4}, {"x": -1.0, "w": [1e-300, 0], "n": 1}]
    wanted = given_points(space, rows, alone=True)
    flat = {"w[0]": wanted.values["w"][:, 0], "w[1]": wanted.values["w"][:, 1]}
    table = {"loss": np.zeros(2), "x": wanted.values["x"], "n": wanted.values["n"], **flat}
    data = csv_bytes(table) if suffix == "csv" else parquet_bytes(table)
    (tmp_path / f"points.{suffix}").write_bytes(data)
    found = read_given(GivenTable("points", f"points.{suffix}", alone=True), space, tmp_path)
    assert found == wanted
    assert found.ignored == ("loss",)
    assert f"2 candidates, all given in points.{suffix} (ignored: loss)" in found.words("")


def test_given_points_come_first_and_move_no_other() -> None:
    """Candidate n + k is the one that was candidate n without them, from any range."""
    given = given_points(SPACE, ROWS, alone=False)
    both, drawn = Candidates(SPACE, 3, given=given), Candidates(SPACE, 3)
    whole = both.values(range(40))
    for name, column in drawn.values(range(38)).items():
        assert whole[name][2:].tolist() == column.tolist()
        assert whole[name][:2].tolist() == given.values[name].tolist()
        pieces = np.concatenate([both.values(range(lo, lo + 1))[name] for lo in range(5)])
        assert pieces.tolist() == whole[name][:5].tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": 2}, r"point 1: x is 2, outside of its range from -1 to 1"),
        ({"x": "a"}, "x is 'a', wanted a number"),
        ({"x": True}, "x is True, wanted a number"),
        ({"x": float("nan")}, "x is nan, wanted a number"),
        ({"n": 2.5}, "n is 2.5, wanted a whole number"),
        ({"n": 10}, "outside of its range from 1 to 9"),
        ({"kind": "c"}, "kind is 'c', wanted one of 'a', 'b'"),
        ({"w": [1.0]}, r"w has 1 entries, wanted 2 of shape \[2\]"),
        ({"c": 3}, "c is 3, wanted one of 2.5"),
        ({"z": 3}, "has z, but the space has"),
        ({"x": None}, "point 1 has no x"),
    ],
)
def test_a_point_that_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    """With its number, what was given and what was wanted."""
    with pytest.raises(InputError, match=said):
        given_points(SPACE, [{**ROWS[0], **change}], alone=True)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([{"kind": "a", "n": 1}, {"kind": "a"}], "point 2 has no n, which it needs, since kind == 'a'"),
        ([{"kind": "a", "n": 1}, {"kind": "b", "n": 1}], "point 2 has n, which exists only where kind == 'a'"),
    ],
)
def test_a_point_has_a_variable_where_it_exists_and_only_there(points: list[dict[str, Any]], said: str) -> None:
    """With the condition; a point that is right is taken without it."""
    space = Space.parse({"kind": {"choice": ["a", "b"]}, "n": {"integer": [1, 5], "when": "kind == 'a'"}})
    with pytest.raises(InputError, match=said):
        given_points(space, points, alone=True)
    assert given_points(space, [{"kind": "a", "n": 1}, {"kind": "b"}], alone=True).count == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,n\n0.5,3\n0.5\n", "point 2 has 1 entries; wanted 2, as the first line has"),
        ("x;n\n0,5;3\n", "has semicolons between columns; wanted commas, and decimal points"),
        ("%eval_id x n\n1 0.5 3\n", "has blanks between columns; wanted commas"),
        ("x,x,n\n0.5,0.6,3\n", "has more than one column x; wanted one for each variable"),
        ("x,m\n0.5,3\n", "point 1 has no n, which the space has; it has x, m"),
        ("x,n\n0.5,3\n,4\n", "point 2 has no x"),
        ("x,n\n", "holds no point"),
        ("x,n\n0.5,drei\n", "point 1: n is 'drei', wanted a whole number"),
        ("", "holds no point"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With the file and the number of the point."""
    space = Space.parse({"x": {"uniform": [-1, 1]}, "n": {"integer": [1, 9]}})
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(InputError, match=rf"points.csv: {said}"):
        read_given(GivenTable("points", "points.csv", alone=True), space, tmp_path)


def test_what_spreadsheets_add_to_a_table_is_no_obstacle(tmp_path: Path) -> None:
    """A byte order mark, blanks after commas, and empty lines; another encoding is told."""
    space = Space.parse({"x": {"uniform": [-1, 1]}, "kind": {"choice": ["a", "b"]}})
    table = GivenTable("points", "points.csv", alone=True)
    (tmp_path / "points.csv").write_bytes(b"\xef\xbb\xbfx, kind\r\n0.5, b\r\n\r\n-1, a\r\n")
    rows = [{"x": 0.5, "kind": "b"}, {"x": -1, "kind": "a"}]
    assert read_given(table, space, tmp_path) == given_points(space, rows, alone=True)
    (tmp_path / "points.csv").write_bytes("x,kind,größe\n0.5,b,1\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"points.csv: is not in UTF-8; save it with this encoding"):
        read_given(table, space, tmp_path)


def test_given_points_from_python() -> None:
    """As a list, and as the first ones of a search; the best of them is one of them."""
    points = [{"x": 1, "y": 2}, {"x": 0.5, "y": 1}, {"x": 3, "y": 3}]
    normal = {"normal": [0, 1]}
    answer = optitrip.search(lambda x, y: x + y, {"x": normal, "y": normal}, points=points, executor="serial")
    assert (answer.items, answer.loss, answer.index) == (3, 1.5, 1)
    first = optitrip.search(
        lambda x: x * x, {"x": {"normal": [5, 0.1]}}, candidates=20, first=[{"x": 0}], executor="serial"
    )
    assert (first.items, first.loss, first.index) == (20, 0.0, 0)


def test_a_changed_table_is_another_sweep(tmp_path: Path) -> None:
    """The points are part of the identity, the name of their file is not; a missing one is told with its line."""
    (tmp_path / "point_losses.py").write_text("def loss(x):\n    return x * x\n")
    (tmp_path / "given.toml").write_text(
        'objective.loss = "point_losses:loss"\nspace.x = { normal = [0, 1] }\n'
        '[method]\nuse = "search"\npoints = "a.csv"\n[run]\nexecutor = "serial"\n[tracking]\nuse = "none"\n'
    )
    (tmp_path / "a.csv").write_text("x\n3\n1\n2\n")
    done = command(tmp_path, "sweep", "given.toml")
    assert done.returncode == 0, done.stderr
    assert "1 at candidate 1" in done.stdout
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    same = command(tmp_path, "sweep", "given.toml", "--set", "method.points=b.csv")
    assert "nothing to evaluate" in same.stderr or "finished" in same.stdout
    missing = command(tmp_path, "sweep", "given.toml")
    assert missing.returncode == 2
    assert "given.toml:5" in missing.stderr
    assert "no such file" in missing.stderr
    (tmp_path / "a.csv").write_text("x\n3\n1\n0.5\n")
    other = command(tmp_path, "sweep", "given.toml")
    assert "differs" in other.stderr
    assert "0.25 at candidate 2" in other.stdout
