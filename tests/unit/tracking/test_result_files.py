"""The result files of a sweep, in its state directory and in the artifacts of its run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driver_setup import Recording
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.config.sweep import Sweep
from optitrip.store.lookup import read
from tracked import SWEEP, run


def test_the_result_files_hold_the_answer(folder: Path) -> None:
    """best.npz, candidates.parquet and result.json agree with the outcome."""
    import numpy as np
    import pyarrow.parquet as pq

    outcome = run()
    state = Path(outcome.state_dir)
    with np.load(state / "best.npz", allow_pickle=False) as best:
        x, y = float(best["x"]), float(best["y"])
    assert x * x + y == outcome.answer.loss
    table = pq.read_table(state / "candidates.parquet")
    losses = table["loss"].to_numpy()
    assert table["index"].to_pylist() == list(range(40))
    assert int(np.nanargmin(losses)) == outcome.answer.index
    assert int(np.isnan(losses).sum()) == outcome.failed
    assert json.loads((state / "result.json").read_text()) == outcome.to_json()
    assert (state / "losses.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.daily
def test_files_belong_to_the_answer_after_a_crash_between(folder: Path) -> None:
    """Raise N, die before the result is written, lower N again: winner and losses are those of the smaller sweep."""
    import numpy as np
    import pyarrow.parquet as pq

    first = run()
    state = Path(first.state_dir)
    small = (state / "best.npz").read_bytes()
    run("method.candidates=4_000")
    (state / "result.json").unlink()
    again = run()
    assert again.evaluated == 0
    assert (state / "best.npz").read_bytes() == small
    assert pq.read_table(state / "candidates.parquet").num_rows == 40
    with np.load(state / "best.npz", allow_pickle=False) as best:
        assert float(best["x"]) ** 2 + float(best["y"]) == again.answer.loss


@pytest.mark.parametrize("name", ["file", "allow_pickle", "args"])
def test_a_variable_may_have_any_name(folder: Path, name: str) -> None:
    """Not even NumPy's own parameter names are taken."""
    import numpy as np

    (folder / "tracked_loss.py").write_text(f"def loss({name}): return {name} ** 2\n")
    (folder / "tracked.toml").write_text(SWEEP.replace("x =", f"{name} =").replace("y = { uniform = [-1, 1] }", ""))
    outcome = run("tracking.use=none")
    with np.load(Path(outcome.state_dir) / "best.npz", allow_pickle=False) as best:
        assert float(best[name]) ** 2 == outcome.answer.loss


@pytest.mark.daily
def test_huge_losses_cost_no_more_than_the_picture(folder: Path) -> None:
    """Losses near the end of float64 have an answer, whatever matplotlib thinks of them."""
    (folder / "tracked_loss.py").write_text("def loss(x, y): return 1.7e308 if x > 0 else -1.7e308\n")
    outcome = run("tracking.use=none")
    assert outcome.answer.loss == -1.7e308
    assert outcome.failures_allowed


@pytest.mark.daily
def test_a_date_may_be_an_argument(folder: Path) -> None:
    """TOML's own dates are part of the identity."""
    (folder / "tracked_loss.py").write_text("def loss(x, y, since): return x * x + since.year\n")
    with (folder / "tracked.toml").open("a") as file:
        file.write("[objective.arguments]\nsince = 2026-01-02\n")
    assert run("tracking.use=none").answer.loss > 2026
    assert run("tracking.use=none").evaluated == 0


@pytest.mark.daily
def test_the_stored_sweep_file_is_the_whole_sweep(folder: Path) -> None:
    """It needs no `--set`: from the folder of the sweep it finds the same journal, wherever a copy of it lies. The one
    in the state directory has the modules beside the original, and its overrides, unless it was edited."""
    outcome = run("space.x.normal=[0, 2]")
    kept = Path(outcome.state_dir) / "sweep.toml"
    copy = folder / "elsewhere.toml"
    copy.write_text(kept.read_text())
    for file, place in ((kept, folder), (copy, folder)):
        again: Sweep = read(file)
        assert again.label == f"tracked-{outcome.identity}"
        assert (again.folder, len(again.overrides)) == (place, int(file == kept))
        assert run_sweep(again, Options(), Recording()).evaluated == 0
    kept.write_text(kept.read_text().replace("seed = 3", "seed = 4"))
    edited = read(kept)
    assert (edited.seed, edited.overrides, edited.folder) == (4, (), kept.parent.resolve())
