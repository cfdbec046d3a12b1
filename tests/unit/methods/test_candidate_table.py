"""The stored candidates of a search as tables: draws by index, ranks, kinds of failure, names."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import optitrip
from optitrip.core.arrays import Coded
from optitrip.core.failures import Failures, Record
from optitrip.core.part import Part
from optitrip.methods.search import answer
from optitrip.methods.search.method import Search, kept_indices
from optitrip.methods.search.table import CandidateTable, best_rows
from optitrip.output.tables import csv_bytes, failures_csv, merged_columns, parquet_bytes, split_runs, status
from optitrip.space.candidates import Candidates
from optitrip.space.columns import DRAWN_AT_ONCE, scalar_columns
from optitrip.space.variables import Space, arguments

SPACE: dict[str, Any] = {
    "normal": {"normal": [0, 1]},
    "rounded": {"uniform": [0, 1], "dtype": "float32"},
    "size": {"log_integer": [1, 100]},
    "W": {"normal": [0, 1], "shape": [2, 2]},
    "text": {"choice": ["a", 'b,\n"c"', "", "größe"]},
    "number": {"choice": [0.1, float("nan"), float("inf")]},
    "whole": {"choice": [1, 2**60]},
    "flag": {"choice": [True, False]},
    "mixed": {"choice": ["1", 1, None, (1, 2), [3], {"k": 4}, 2**80]},
    "half": {"choice": ["half\udce9", "x"]},
    "constant": 2.5,
}


@pytest.mark.parametrize("sampler", ["random", "halton"])
def test_columns_are_the_draws_by_index(sampler: str) -> None:
    """In any order, near and far apart, as they are passed to the loss; options of several types as text."""
    candidates = Candidates(Space.parse(SPACE), 3, sampler)
    index = np.array([5, 2, 2 * DRAWN_AT_ONCE + 1, 0, 10**9, 2 * DRAWN_AT_ONCE - 1, 10**9 + DRAWN_AT_ONCE, 1])
    columns = scalar_columns(candidates, index)
    assert list(columns) == [name for name in SPACE if name != "W"]
    for row, item in enumerate(index.tolist()):
        point = arguments(candidates.point(item), 0)
        for name, column in columns.items():
            value, wanted = column.tolist()[row], point[name]
            if name == "mixed":
                assert value == (repr(wanted) if wanted != "1" else "'1'")
            else:
                assert (type(value), repr(value)) == (type(wanted), repr(wanted))


def test_large_arrays_are_not_drawn_for_a_table() -> None:
    """The scalars of two thousand candidates beside an array of which two thousand would take sixteen gigabytes."""
    space = Space.parse({"a": {"normal": [0, 1], "shape": [1_000_000]}, "lr": {"uniform": [0, 1]}})
    columns = scalar_columns(Candidates(space, 2), np.arange(2_000))
    alone = Candidates(Space.parse({"lr": {"uniform": [0, 1]}}), 2).values(range(2_000))
    assert list(columns) == ["lr"]
    assert columns["lr"].tolist() == alone["lr"].tolist()


def test_files_are_read_back_exactly() -> None:
    """Parquet with its types, CSV by the text of each number; a byte that UTF-8 lacks is escaped."""
    columns = scalar_columns(Candidates(Space.parse(SPACE), 3), np.arange(50))
    parquet = pq.read_table(io.BytesIO(parquet_bytes(columns)))
    rows = list(csv.DictReader(io.StringIO(csv_bytes(columns).decode(), newline="")))
    for name, column in columns.items():
        wanted = [value.replace("\udce9", "\\udce9") if isinstance(value, str) else value for value in column.tolist()]
        assert repr(parquet[name].to_pylist()) == repr(wanted)
        assert [row[name] for row in rows] == list(map(str, wanted))


def test_a_space_of_constants_and_arrays_has_few_columns() -> None:
    """An object that is passed on as it is has none either."""
    found = optitrip.search(
        lambda x, k, held: float(x[0]), {"x": {"normal": [0, 1], "shape": [2]}}, candidates=5, executor="serial",
        constants={"k": 3, "held": object()},
    )  # fmt: skip
    assert list(found.stored.all()) == ["index", "loss", "status", "k"]


def troubled(x: float, kind: str) -> dict[str, float]:
    if kind == "bad":
        raise ValueError("no")
    return {"loss": float("nan") if x > 1 else x * x, "x": -x, "status": 1.0}


@pytest.mark.parametrize("maximize", [False, True])
def test_the_table_of_a_search(maximize: bool) -> None:
    """A row for each candidate with its outcome; a taken name gets an underscore; the best are those of a sort."""
    space = {"x": {"normal": [0, 1]}, "kind": {"choice": ["good", "bad"]}, "index": {"uniform": [0, 1]}}
    found = optitrip.search(
        lambda x, kind, index: troubled(x, kind), space, candidates=200, executor="serial", maximize=maximize, best=3
    )
    frame = found.trials()
    assert list(frame) == ["index", "loss", "status", "status_", "x", "x_", "kind", "index_"]
    assert frame["index"].tolist() == list(range(200))
    drawn = found.candidates.values(range(200))
    assert frame["x_"].tolist() == drawn["x"].tolist()
    pairs = zip(drawn["kind"], drawn["x"], strict=True)
    expected = ["raised" if k == "bad" else "nan" if x > 1 else "ok" for k, x in pairs]
    assert frame["status"].tolist() == expected
    good = frame[frame["status"] == "ok"].sort_values(["loss", "index"], ascending=[not maximize, True])
    assert [(one.loss, one.index) for one in found.top(10)] == list(zip(good["loss"], good["index"], strict=True))[:10]
    assert found.top(1)[0].x == found.x
    assert found.top(0) == found.top(-1) == []
    assert found.stored.best(500)["index"].tolist() == good["index"].tolist()
    assert np.array_equal(found.stored.best(500)["x"], good["x"])


def test_beyond_the_first_million_a_part_is_stored() -> None:
    """The best few are those of all candidates, the next ones of the stored; thinned rows have their own draws."""
    candidates = Candidates(Space.parse({"x": {"uniform": [0, 1]}}), 1)
    method = Search(candidates, 500, best=5, keep_all=64)
    x = candidates.values(range(500))["x"]
    kept = kept_indices(range(500), 64)
    order = np.argsort(x)[:5]
    columns = {"loss": x[kept], "low_index": order[:1], "low_loss": x[order[:1]], "best_index": order}
    table = CandidateTable(candidates, method.result(Part(range(500), columns | {"best_loss": x[order]})))
    assert table.all()["x"].tolist() == table.all()["loss"].tolist() == x[kept].tolist()
    others = [n for n in kept[np.argsort(x[kept])].tolist() if n not in order]
    assert table.best(20)["index"].tolist() == [*order.tolist(), *others[:15]]


def test_a_table_may_be_too_large_for_its_variables() -> None:
    """Then it has the losses alone: a sweep must not run out of memory when its answer is there."""
    candidates = Candidates(Space.parse({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}), 1)
    columns = {"loss": np.arange(9.0), "low_index": np.arange(1), "low_loss": np.zeros(1), "best_index": np.arange(1)}
    result = Search(candidates, 9, best=1).result(Part(range(9), columns | {"best_loss": np.zeros(1)}))
    table = CandidateTable(candidates, result)
    assert list(table.all(18)) == ["index", "loss", "status", "x", "y"]
    assert list(table.all(17)) == ["index", "loss", "status"]


def test_a_result_file_without_variables_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the answer, with the command that writes the whole table."""
    found = optitrip.search(lambda x, y: x + y, {"x": {"uniform": [0, 1]}, "y": 2}, candidates=9, executor="serial")
    monkeypatch.setattr(answer, "MOST_ENTRIES", 18)
    assert found.notices() == []
    monkeypatch.setattr(answer, "MOST_ENTRIES", 17)
    (notice,) = found.notices()
    assert "which have 18 entries; `optitrip table" in notice.text


def test_the_kind_of_each_failure() -> None:
    """At the ends of ranges, for indices that are not stored, and for none."""
    failures = Failures({"nan": ((0, 2), (9, 10)), "raised": ((4, 6),)}, {})
    index = np.array([0, 2, 4, 5, 6, 8, 9])
    assert status(failures, index).tolist() == ["nan", "ok", "raised", "raised", "ok", "ok", "nan"]
    assert status(Failures(), index).tolist() == ["ok"] * 7


def test_failures_as_a_table() -> None:
    """A row of its own for each that has a message, the others as ranges that cover each index once; cut where many."""
    records = (Record(5, "ValueError", 'two\nlines, "quoted"', ""), Record(6, "E", "", ""))
    failures = Failures({"raised": ((3, 9),), "nan": tuple((n, n + 1) for n in range(0, 6000, 2))}, {"raised": records})
    rows = list(csv.DictReader(io.StringIO(failures_csv({"search": failures}).decode(), newline="")))
    raised = [tuple(row.values())[2:] for row in rows if row["kind"] == "raised"]
    assert raised == [
        ("3", "4", "2", "", ""),
        ("5", "5", "1", "ValueError", 'two\nlines, "quoted"'),
        ("6", "6", "1", "E", ""),
        ("7", "8", "2", "", ""),
    ]
    many = [row for row in rows if row["kind"] == "nan"]
    assert len(many) == 1_001
    assert sum(int(row["count"]) for row in many) == 3_000
    assert (many[-1]["first"], many[-1]["last"], many[-1]["message"]) == ("2000", "5998", "in 2,000 ranges between")


def test_runs_are_split_at_single_indices() -> None:
    """At the first and the last index of a run too; an index outside all runs is no reason to lose one."""
    assert list(split_runs([(0, 3), (5, 6)], [0, 2, 5])) == [(0, 1), (1, 2), (2, 3), (5, 6)]
    assert list(split_runs([(0, 3), (5, 8)], [4, 6])) == [(0, 3), (5, 6), (6, 7), (7, 8)]


def test_ties_go_to_the_first_row() -> None:
    """However few are asked for; NaN never counts."""
    key = np.array([2.0, 1.0, np.nan, 1.0, 1.0, np.inf])
    assert [best_rows(key, count).tolist() for count in (0, 1, 2, 9)] == [[], [1], [1, 3], [1, 3, 4, 0]]


def test_taken_names_get_underscores() -> None:
    """Until they are free, whoever has taken them."""
    one = Coded(np.zeros(1, np.int32), ["x"])
    assert list(merged_columns({"loss": one}, {"loss": one, "loss_": one}, {"loss": one})) == [
        "loss",
        "loss_",
        "loss__",
        "loss___",
    ]
