"""`optitrip table`: what is stored for a sweep, finished or not, without importing its loss."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from command import optitrip
from optitrip.app.table import grouped
from optitrip.store.lookup import read

SWEEP = """
seed = 5
[objective]
loss = "table_loss:loss"
[space]
lr = { log_uniform = [1e-4, 1] }
act = { choice = ["relu", "gelu"] }
W = { normal = [0, 1], shape = [3] }
c = 2
[method]
use = "search"
candidates = 60
best = 4
[run]
executor = "serial"
[tracking]
use = "none"
"""
LOSS = """
from pathlib import Path
def loss(lr, act, W, c):
    if lr > 0.3 and not Path("mended").exists(): raise ValueError(f"too fast, {lr}")
    return {"loss": lr * c + W[0] + (act == "relu"), "lr": 2 * lr}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table_loss.py").write_text(LOSS)
    (tmp_path / "table.toml").write_text(SWEEP)
    return tmp_path


def table(folder: Path, *words: str) -> list[dict[str, str]]:
    """Rows of the table that the command writes as CSV."""
    (folder / "table_loss.py").rename(folder / "away")
    done = optitrip(folder, "table", "table.toml", "-o", "all.csv", *words)
    (folder / "away").rename(folder / "table_loss.py")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    with (folder / "all.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def expected(folder: Path, index: int) -> dict[str, str]:
    """The row of a candidate, by drawing it and computing the loss here."""
    point = {name: batch[0] for name, batch in read(folder / "table.toml").candidates.point(index).items()}
    lr, act, first = float(point["lr"]), str(point["act"]), float(point["W"][0])
    told = {"index": str(index), "loss": "nan", "status": "raised", "lr": "nan", "lr_": repr(lr), "act": act, "c": "2"}
    if lr > 0.3:
        return told
    return told | {"status": "ok", "loss": repr(lr * 2 + first + (act == "relu")), "lr": repr(2 * lr)}


def test_all_candidates_of_a_finished_sweep(folder: Path) -> None:
    """As CSV, as Parquet and as the result file they are the same: the draws and losses by index."""
    answer = json.loads(optitrip(folder, "sweep", "table.toml", "--json").stdout)
    assert table(folder) == [expected(folder, index) for index in range(60)]
    assert optitrip(folder, "table", "table", "-o", "all.parquet").returncode == 0
    state = folder / answer["state_dir"]
    assert (folder / "all.parquet").read_bytes() == (state / "candidates.parquet").read_bytes()
    assert pq.read_table(folder / "all.parquet")["loss"].to_numpy().tolist() == pytest.approx(
        [float(row["loss"]) for row in table(folder)], nan_ok=True, rel=0, abs=0
    )


@pytest.mark.daily
def test_the_best_are_the_first_of_a_sort(folder: Path) -> None:
    """Beyond the few that the search keeps too; printed, they are ten unless another number is given."""
    answer = json.loads(optitrip(folder, "sweep", "table.toml", "--json").stdout)
    rows = sorted((row for row in table(folder) if row["status"] == "ok"), key=lambda row: float(row["loss"]))
    wanted = [{name: row[name] for name in row if name != "status"} for row in rows]
    assert table(folder, "--best", "7") == wanted[:7]
    with (folder / answer["state_dir"] / "best.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == wanted
    printed = [line.split() for line in optitrip(folder, "table", "table.toml").stdout.splitlines()]
    assert printed[0] == ["index", "loss", "lr", "lr_", "act", "c"]
    assert [line[0] for line in printed[1:]] == [row["index"] for row in wanted[:10]]
    assert len(optitrip(folder, "table", "table.toml", "--best", "2").stdout.splitlines()) == 3


@pytest.mark.daily
def test_what_is_stored_of_an_unfinished_sweep(folder: Path) -> None:
    """A later shard alone: its candidates, and the best among them."""
    optitrip(folder, "sweep", "table.toml", "--shard", "2/3")
    root = ("--state-dir", ".optitrip/shard-2-of-3")
    stored = [int(row["index"]) for row in table(folder, *root)]
    assert 0 < stored[0] < stored[-1] < 59
    assert stored == list(range(stored[0], stored[-1] + 1))
    rows = [expected(folder, index) for index in stored]
    assert table(folder, *root) == rows
    best = min((row for row in rows if row["status"] == "ok"), key=lambda row: float(row["loss"]))
    assert table(folder, "--best", "1", *root)[0]["index"] == best["index"]


@pytest.mark.daily
def test_a_retried_candidate_has_its_latest_outcome(folder: Path) -> None:
    """As in the result file, which is made from the same journal."""
    assert optitrip(folder, "sweep", "table.toml").returncode == 3
    assert {row["status"] for row in table(folder)} == {"ok", "raised"}
    (folder / "mended").touch()
    done = optitrip(folder, "sweep", "table.toml", "--retry-failed", "--json")
    assert {row["status"] for row in table(folder)} == {"ok"}
    optitrip(folder, "table", "table", "-o", "all.parquet")
    file = folder / json.loads(done.stdout)["state_dir"] / "candidates.parquet"
    assert pq.read_table(folder / "all.parquet").equals(pq.read_table(file))


@pytest.mark.daily
def test_candidates_beyond_an_early_end_are_left_out(folder: Path) -> None:
    """As if they had not been evaluated."""
    done = optitrip(folder, "sweep", "table.toml", "--set", "stop.no_improvement=9", "--json")
    items = json.loads(done.stdout)["items"]
    assert items < 60
    optitrip(folder, "sweep", "table.toml")
    assert len(table(folder, "--set", "stop.no_improvement=9")) == items
    assert len(table(folder)) == 60


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("table.toml",), "nothing is stored for table-"),
        (("table.toml", "-o", "all.xlsx"), "'all.xlsx'; wanted a name that ends with .csv or .parquet"),
        (("table.toml", "-o", "all"), "wanted a name that ends with .csv or .parquet"),
        (("other",), "there is no sweep 'other'"),
    ],
)
def test_a_mistake_is_told(folder: Path, words: tuple[str, ...], said: str) -> None:
    """Before anything is written."""
    done = optitrip(folder, "table", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(folder.glob("all*"))


@pytest.mark.daily
def test_what_stands_at_the_files_place_is_kept(folder: Path) -> None:
    """A missing folder, a folder and a loop of links are told; what a link points to is written."""
    optitrip(folder, "sweep", "table.toml")
    (folder / "folder.csv").mkdir()
    (folder / "loop.csv").symlink_to("loop.csv")
    places = {"missing/all.csv": "cannot be written: No such file", "folder.csv": "is a folder", "loop.csv": "loop"}
    for place, said in places.items():
        done = optitrip(folder, "table", "table", "-o", place)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{place}: " in done.stderr
        assert said in done.stderr
    (folder / "link.CSV").symlink_to("target.csv")
    assert optitrip(folder, "table", "table", "-o", "link.CSV").returncode == 0
    assert (folder / "link.CSV").is_symlink()
    assert (folder / "target.csv").read_text().startswith("index,loss,")
    assert not list(folder.glob("*.old-*"))


@pytest.mark.daily
def test_a_sweep_of_failures_has_no_best(folder: Path) -> None:
    """That is said, and where to look; the table of all has them."""
    (folder / "table_loss.py").write_text("def loss(lr, act, W, c): return float('nan')")
    optitrip(folder, "sweep", "table.toml")
    done = optitrip(folder, "table", "table")
    assert (done.returncode, done.stdout) == (2, "")
    assert "all candidates stored for table-" in done.stderr
    assert len(table(folder)) == 60


@pytest.mark.daily
def test_a_screened_sweep(folder: Path) -> None:
    """All by the screen's loss; the best by the loss itself, among those that were verified."""
    text = (Path(__file__).parents[3] / "sweeps" / "digits_random.toml").read_text()
    (folder / "table.toml").write_text(text)
    words = ("--set", "method.screen=low_rank", "--set", "method.candidates=3000", "--set", "tracking.use=none")
    done = optitrip(folder, "sweep", "table.toml", *words, "--executor", "serial", "--json")
    answer = json.loads(done.stdout)
    columns = pq.read_table(folder / answer["state_dir"] / "candidates.parquet")
    assert optitrip(folder, "table", answer["identity"], "-o", "all.parquet").returncode == 0
    assert pq.read_table(folder / "all.parquet").equals(columns)
    assert columns.column_names == ["index", "screened", "status"]
    (best,) = table(folder, "--best", "1", *words)
    assert (float(best["loss"]), int(best["index"])) == (answer["best"]["loss"], answer["best"]["index"])


GRADIENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "forward": ("def loss(x, y): return (x ** 2).sum() + y", ()),
    "central": ("def loss(x, y): return (x ** 2).sum() + y", ("method.scheme=central",)),
    "of a float32 loss": ("import numpy as np\ndef loss(x, y): return np.float32((x ** 2).sum() + y)", ()),
    "with a failure": ("def loss(x, y): return 1 / (y > 0.3) * 0 + (x ** 2).sum() if x[0] < 0.5 + 1e-9 else 1 / 0", ()),
    "of batches": (
        "class Loss:\n    def losses(self, x, y): return (x ** 2).sum(axis=1) + y\nloss = Loss()",
        ("method.coordinates=2",),
    ),
    "from deltas": (
        "class Around:\n    def deltas(self, at, h): return h * (at + 1)\n"
        "class Loss:\n    def __call__(self, x, y): return x[0] + 2 * x[1] + 3 * x[2] + 4 * y\n"
        "    def around(self, x, y): return Around()\n    def order(self): return [3, 1, 0, 2]\n"
        "    deltas_block = 3\nloss = Loss()",
        (),
    ),
}


DAILY = ("forward", "with a failure", "of batches")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.daily if case in DAILY else ()) for case in GRADIENTS]
)
@pytest.mark.daily
def test_a_gradient(folder: Path, case: str) -> None:
    """A row for each coordinate that was asked for, with the numbers of gradient.npz."""
    loss, settings = GRADIENTS[case]
    (folder / "table_loss.py").write_text(loss)
    space, _, rest = SWEEP.partition("[space]")
    method = 'x = { shape = [3] }\ny = {}\n[method]\nuse = "gradient"\nat = { fill = 0.5 }\n[run]'
    (folder / "table.toml").write_text(f"{space}[space]\n{method}{rest.partition('[run]')[2]}")
    words = [word for setting in settings for word in ("--set", setting)]
    answer = json.loads(optitrip(folder, "sweep", "table.toml", "--json", *words).stdout)
    with np.load(folder / answer["state_dir"] / "gradient.npz") as arrays:
        wanted = {name: flat(arrays, name) for name in ("", ".steps", ".flags", ".error")}
    rows = table(folder, *words)
    asked = [int(row["coordinate"]) for row in rows]
    assert asked == np.flatnonzero(wanted[".flags"] & 8 == 0).tolist()
    assert [row["name"] for row in rows] == [("x[0]", "x[1]", "x[2]", "y")[place] for place in asked]
    for column, suffix in {"value": "", "step": ".steps", "flag": ".flags", "error": ".error"}.items():
        entries = wanted[suffix][asked] if len(wanted[suffix]) else np.full(len(rows), np.nan)
        np.testing.assert_array_equal([float(row[column]) for row in rows], entries)
    largest = sorted((abs(float(row["value"])) for row in rows if row["value"] != "nan"), reverse=True)
    assert [abs(float(row["value"])) for row in table(folder, "--best", "2", *words)] == largest[:2]


def flat(arrays: Any, suffix: str) -> Any:
    names = [f"x{suffix}", f"y{suffix}"]
    return np.concatenate([arrays[name].ravel() for name in names]) if names[0] in arrays.files else np.empty(0)


def test_ranges_are_grouped_by_gaps() -> None:
    """None, one, and several with a gap."""
    assert grouped([]) == []
    assert grouped([range(0, 2), range(2, 5), range(7, 9)]) == [[range(0, 2), range(2, 5)], [range(7, 9)]]
