"""Shards that ran on separate machines give the whole sweep when merged, bit for bit; stored sweeps can be shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optitrip.app.context import Options
from optitrip.app.replay import replay
from optitrip.app.run_sweep import run_sweep
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observers
from optitrip.errors import InputError, StateError
from optitrip.output.outcome import Outcome
from optitrip.store.inspect import failure_lines, overview, table
from optitrip.store.lookup import find_stored_sweep, read
from optitrip.store.shards import Shard, merge

FILES = {
    "search": """
seed = 3
[objective]
loss = "optitrip.objectives:Softmax"
arguments = { data = "digits" }
block = 32
[space]
W = { shape = [10, 65], normal = [0, 0.03] }
[method]
use = "search"
candidates = 1_000
""",
    "gradient": """
seed = 3
[objective]
loss = "optitrip.objectives:Softmax"
arguments = { data = "digits" }
[space]
W = { shape = [10, 65], normal = [0, 0.03] }
[method]
use = "gradient"
at = { candidate = 0 }
""",
    "troubled": """
seed = 3
[objective]
loss = "shard_loss:loss"
[space]
x = { normal = [0, 1] }
[method]
use = "search"
candidates = 1_000
""",
}
LOSS = """
def loss(x):
    if int(abs(x) * 1000) % 50 == 0:
        raise ValueError(f"no loss at {x}")
    return x * x
"""
SILENT = "\n[run]\nexecutor = 'serial'\n[tracking]\nuse = 'none'\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "shard_loss", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "shard_loss.py").write_text(LOSS)
    return tmp_path


def sweep_of(folder: Path, kind: str, *overrides: str) -> Sweep:
    (folder / f"{kind}.toml").write_text(FILES[kind] + SILENT)
    return read(folder / f"{kind}.toml", overrides)


def run(sweep: Sweep, root: Path, shard: Shard | None = None) -> Outcome:
    return run_sweep(sweep, Options(shard.state_root(root) if shard else root, shard=shard), Observers())


def contents(outcome: Outcome) -> dict[str, bytes]:
    """Return the bytes of the files that depend on the answer alone."""
    assert outcome.state_dir is not None
    names = ("best.npz", "candidates.parquet", "gradient.npz", "losses.png", "point.npz")
    return {path.name: path.read_bytes() for path in Path(outcome.state_dir).iterdir() if path.name in names}


@pytest.mark.mostly_daily
@pytest.mark.parametrize(
    ("kind", "count"), [pytest.param("search", 16, marks=pytest.mark.daily), ("gradient", 4), ("troubled", 4)]
)
def test_merged_shards_give_the_answer_of_the_whole_sweep(folder: Path, kind: str, count: int) -> None:
    """Every file of the answer is the same, to the bit, and the merge evaluates nothing but the report."""
    sweep = sweep_of(folder, kind)
    whole = run(sweep, folder / "whole")
    for number in range(count, 0, -1):
        part = run(sweep, folder / "parts", Shard(number, count))
        assert part.status == "shard"
    lines: list[str] = []
    merged = merge(sorted((folder / "parts").iterdir()), folder / "merged", lines.append)
    outcome = run(merged, folder / "merged")
    assert outcome.evaluated == 0
    assert contents(outcome) == contents(whole)
    assert len(contents(whole)) > 1
    assert outcome.to_json()["failures"] == whole.to_json()["failures"]
    assert lines[-1].startswith(f"{count} shards, ")


@given(items=st.integers(1, 10_000), count=st.integers(1, 64), block=st.sampled_from([1, 7, 256]))
def test_shards_tile_the_items(items: int, count: int, block: int) -> None:
    """The items of shards are disjoint, complete, in order, and cut at borders of blocks."""
    shards = [Shard(number, count).of(items, block) for number in range(1, count + 1)]
    assert [n for shard in shards for n in shard] == list(range(items))
    assert all(shard.start % block == 0 for shard in shards if shard)


@pytest.mark.parametrize("given", ["0/4", "5/4", "1", "a/b", "-1/3", "1/0"])
def test_an_impossible_shard_is_refused(given: str) -> None:
    """The message shows the form that is wanted."""
    with pytest.raises(InputError, match=r"wanted i/n"):
        Shard.parse(given)


def test_a_missing_shard_is_named(folder: Path) -> None:
    """Items in none of the directories are named; the merge does not evaluate them."""
    sweep = sweep_of(folder, "troubled")
    for number in (1, 3):
        run(sweep, folder / "parts", Shard(number, 4))
    with pytest.raises(InputError, match="items 250 to 499, 750 to 999 are missing"):
        merge(sorted((folder / "parts").iterdir()), folder / "merged", lambda _: None)
    assert run(sweep, folder / "merged").evaluated == 500


def test_shards_of_different_sweeps_or_code_do_not_mix(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards with another seed are refused, those of a changed module too unless changes are accepted."""
    sweep = sweep_of(folder, "troubled")
    run(sweep, folder / "a", Shard(1, 2))
    run(sweep_of(folder, "troubled", "seed=4"), folder / "b", Shard(2, 2))
    (folder / "shard_loss.py").write_text(LOSS + "# edited\n")
    monkeypatch.delitem(sys.modules, "shard_loss")
    run(sweep, folder / "c", Shard(2, 2))
    with pytest.raises(InputError, match="different sweeps"):
        merge([folder / "a" / "shard-1-of-2", folder / "b" / "shard-2-of-2"], folder / "merged", lambda _: None)
    shards = [folder / "a" / "shard-1-of-2", folder / "c" / "shard-2-of-2"]
    with pytest.raises(StateError, match=r"modules\.shard_loss: "):
        merge(shards, folder / "merged", lambda _: None)
    merge(shards, folder / "merged", lambda _: None, accept_changes=True)


def test_changed_candidates_are_found_before_anything_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of a few candidates show that a library draws other numbers for the same index than it did before."""
    sweep = sweep_of(folder, "troubled", "method.candidates=10")
    run(sweep, folder / "s")
    monkeypatch.setattr("optitrip.space.distributions.ndtri", lambda unit: np.add(unit, 1e-16, out=unit))
    more = sweep_of(folder, "troubled", "method.candidates=20")
    with pytest.raises(StateError, match="witness: "):
        run(more, folder / "s")


def test_a_sweep_that_screens_has_no_shards(folder: Path) -> None:
    """The second stage needs all of the first, so --shard is refused."""
    with pytest.raises(InputError, match="several stages"):
        run(sweep_of(folder, "search", "method.screen=float32"), folder / "parts", Shard(1, 2))


def test_failures_are_listed_by_kind_and_index(folder: Path) -> None:
    """A stored sweep is found by file, name or identity, shown without its loss, and its failed items replayed."""
    sweep = sweep_of(folder, "troubled")
    outcome = run(sweep, folder / "s")
    for word in ("troubled.toml", "troubled", sweep.identity, sweep.label):
        found, place = find_stored_sweep(word, folder / "s")
        assert (found.identity, place) == (sweep.identity, folder / "s" / sweep.label)
    lines = list(failure_lines(sweep, place))
    (stage,) = table(sweep, place, str)["stages"]
    failed = [n for lo, hi in stage["failures"]["raised"]["indices"] for n in range(lo, hi)]
    assert len(failed) == outcome.failed > 10
    assert lines[0].startswith(f"search, raised: {len(failed)}: {failed[0]}")
    assert "ValueError: no loss at" in lines[1]
    assert list(overview(sweep, place, str))[1].startswith("  search: 1,000 of 1,000 items are stored")
    replayed: list[str] = []
    for index in failed[:3]:
        replayed.clear()
        with pytest.raises(ValueError, match="no loss at"):
            replay(found, index, replayed.append)
        assert replayed[0] == f"candidate {index} of {sweep.label}"
    clean = next(n for n in range(1_000) if n not in failed)
    x: Any = outcome.answer
    assert replay(found, clean, replayed.append) == x.losses[clean]
    with pytest.raises(InputError, match="from 0 to 999"):
        replay(found, 1_000, replayed.append)


def test_an_item_that_succeeds_when_retried_is_no_failure(folder: Path) -> None:
    """Failures are listed as the latest attempt left them, and shards are merged with their later attempts."""
    sweep = sweep_of(folder, "troubled")
    run(sweep, folder / "s")
    (stage,) = table(sweep, folder / "s" / sweep.label, str)["stages"]
    (folder / "shard_loss.py").write_text("def loss(x):\n    return x * x\n")
    sys.modules.pop("shard_loss")
    options = Options(folder / "s", retry_failed=True, accept_changes=True)
    again = run_sweep(sweep, options, Observers())
    assert again.evaluated == sum(hi - lo for lo, hi in stage["failures"]["raised"]["indices"])
    assert again.failed == 0
    assert list(failure_lines(sweep, folder / "s" / sweep.label)) == ["nothing failed"]
    merged = merge([folder / "s"], folder / "merged", lambda _: None)
    assert contents(run(merged, folder / "merged")) == contents(again)


def test_a_name_without_a_stored_sweep_is_refused(folder: Path) -> None:
    """The message says what was wanted, or which command to run first."""
    sweep_of(folder, "troubled")
    with pytest.raises(InputError, match="wanted its file, name, identity or MLflow run"):
        find_stored_sweep("nothing", folder)
    with pytest.raises(InputError, match="run `optitrip sweep"):
        find_stored_sweep("troubled.toml", folder)
