"""Shares of a sweep on machines of their own: merged, they are the sweep, bit for bit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optitrip.app.options import Options
from optitrip.app.replay import replay
from optitrip.app.run_sweep import run_sweep
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observers
from optitrip.errors import InputError, StateError
from optitrip.output.outcome import Outcome
from optitrip.store.inspect import failures, listing, table
from optitrip.store.shards import Shard, merge
from optitrip.store.start_point import read
from optitrip.store.stored_sweep import kept

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
    """The files that depend on the answer alone."""
    assert outcome.state_dir is not None
    names = ("best.npz", "losses.parquet", "gradient.npz", "losses.png", "point.npz")
    return {path.name: path.read_bytes() for path in Path(outcome.state_dir).iterdir() if path.name in names}


@pytest.mark.parametrize(("kind", "count"), [("search", 16), ("gradient", 4), ("troubled", 4)])
def test_shards_merged_are_the_sweep(folder: Path, kind: str, count: int) -> None:
    """Every file of the answer is the same, to the bit, and nothing is evaluated by the merge but the report."""
    sweep = sweep_of(folder, kind)
    whole = run(sweep, folder / "whole")
    for number in range(count, 0, -1):
        part = run(sweep, folder / "parts", Shard(number, count))
        assert part.status == "shard"
    said: list[str] = []
    merged = merge(sorted((folder / "parts").iterdir()), folder / "merged", said.append)
    outcome = run(merged, folder / "merged")
    assert outcome.evaluated == 0
    assert contents(outcome) == contents(whole)
    assert len(contents(whole)) > 1
    assert outcome.to_json()["failures"] == whole.to_json()["failures"]
    assert said[-1].startswith(f"{count} shards, ")


@given(items=st.integers(1, 10_000), count=st.integers(1, 64), block=st.sampled_from([1, 7, 256]))
def test_shards_tile_the_items(items: int, count: int, block: int) -> None:
    """Disjoint, complete, in order, cut at borders of blocks."""
    shares = [Shard(number, count).of(items, block) for number in range(1, count + 1)]
    assert [n for share in shares for n in share] == list(range(items))
    assert all(share.start % block == 0 for share in shares if share)


@pytest.mark.parametrize("given", ["0/4", "5/4", "1", "a/b", "-1/3", "1/0"])
def test_a_shard_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(InputError, match=r"wanted i/n"):
        Shard.parse(given)


def test_a_missing_shard_is_named(folder: Path) -> None:
    """What is in none of the directories is told; the merge does not evaluate it by itself."""
    sweep = sweep_of(folder, "troubled")
    for number in (1, 3):
        run(sweep, folder / "parts", Shard(number, 4))
    with pytest.raises(InputError, match="items 250 to 499, 750 to 999 are in none of these shards"):
        merge(sorted((folder / "parts").iterdir()), folder / "merged", lambda _: None)
    assert run(sweep, folder / "merged").evaluated == 500


def test_shards_of_different_sweeps_or_code_do_not_mix(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed seed is another sweep; a changed module is other code."""
    sweep = sweep_of(folder, "troubled")
    run(sweep, folder / "a", Shard(1, 2))
    run(sweep_of(folder, "troubled", "seed=4"), folder / "b", Shard(2, 2))
    (folder / "shard_loss.py").write_text(LOSS + "# edited\n")
    monkeypatch.delitem(sys.modules, "shard_loss")
    run(sweep, folder / "c", Shard(2, 2))
    with pytest.raises(InputError, match="another sweep"):
        merge([folder / "a" / "shard-1-of-2", folder / "b" / "shard-2-of-2"], folder / "merged", lambda _: None)
    shards = [folder / "a" / "shard-1-of-2", folder / "c" / "shard-2-of-2"]
    with pytest.raises(StateError, match=r"modules\.shard_loss: "):
        merge(shards, folder / "merged", lambda _: None)
    merge(shards, folder / "merged", lambda _: None, accept_changes=True)


def test_other_candidates_than_before_are_never_mixed_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that draws other numbers for the same index is seen by its witness points, before anything runs."""
    sweep = sweep_of(folder, "troubled", "method.candidates=10")
    run(sweep, folder / "s")
    monkeypatch.setattr("optitrip.space.distributions.ndtri", lambda unit: np.add(unit, 1e-16, out=unit))
    more = sweep_of(folder, "troubled", "method.candidates=20")
    with pytest.raises(StateError, match="witness: "):
        run(more, folder / "s")


def test_a_sweep_that_screens_has_no_shards(folder: Path) -> None:
    """Its second stage needs all of the first."""
    with pytest.raises(InputError, match="several stages"):
        run(sweep_of(folder, "search", "method.screen=float32"), folder / "parts", Shard(1, 2))


def test_the_ledger_tells_failures_by_kind_and_index(folder: Path) -> None:
    """What the journal holds, without the loss; by name or identity as well as by file."""
    sweep = sweep_of(folder, "troubled")
    outcome = run(sweep, folder / "s")
    for word in ("troubled.toml", "troubled", sweep.identity, sweep.label):
        found, place = kept(word, folder / "s")
        assert (found.identity, place) == (sweep.identity, folder / "s" / sweep.label)
    lines = list(failures(sweep, place))
    (stage,) = table(sweep, place)["stages"]
    failed = [n for lo, hi in stage["failures"]["raised"]["indices"] for n in range(lo, hi)]
    assert len(failed) == outcome.failed > 10
    assert lines[0].startswith(f"search, raised: {len(failed)}: {failed[0]}")
    assert "ValueError: no loss at" in lines[1]
    assert list(listing(sweep, place))[1].startswith("  search: 1,000 of 1,000 items are there")
    said: list[str] = []
    for index in failed[:3]:
        said.clear()
        with pytest.raises(ValueError, match="no loss at"):
            replay(found, index, said.append)
        assert said[0] == f"candidate {index} of {sweep.label}"
    clean = next(n for n in range(1_000) if n not in failed)
    x: Any = outcome.answer
    assert replay(found, clean, said.append) == x.losses[clean]
    with pytest.raises(InputError, match="from 0 to 999"):
        replay(found, 1_000, said.append)


def test_what_a_later_try_mended_is_no_failure_any_more(folder: Path) -> None:
    """The ledger tells how things stand, and shards bring their later tries along."""
    sweep = sweep_of(folder, "troubled")
    run(sweep, folder / "s")
    (stage,) = table(sweep, folder / "s" / sweep.label)["stages"]
    (folder / "shard_loss.py").write_text("def loss(x):\n    return x * x\n")
    sys.modules.pop("shard_loss")
    options = Options(folder / "s", retry_failed=True, accept_changes=True)
    again = run_sweep(sweep, options, Observers())
    assert again.evaluated == sum(hi - lo for lo, hi in stage["failures"]["raised"]["indices"])
    assert again.failed == 0
    assert list(failures(sweep, folder / "s" / sweep.label)) == ["nothing failed"]
    merged = merge([folder / "s"], folder / "merged", lambda _: None)
    assert contents(run(merged, folder / "merged")) == contents(again)


def test_a_word_that_names_no_sweep_is_refused(folder: Path) -> None:
    """With what was wanted."""
    sweep_of(folder, "troubled")
    with pytest.raises(InputError, match="wanted its file, name, identity or MLflow run"):
        kept("nothing", folder)
    with pytest.raises(InputError, match="run `optitrip sweep"):
        kept("troubled.toml", folder)
