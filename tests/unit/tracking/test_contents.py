"""What the run of a sweep holds: the answer of the last command, and nothing that is no longer true."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from driver_setup import Recording
from mlflow_store import stored
from optitrip.errors import Stopped
from tracked import SWEEP, incomplete, run

CHOICES = """
a = { choice = ["relu", "tanh"] }
flag = { choice = [true, false] }
width = { choice = [16, 32] }
mixed = { choice = [1, "auto"] }
huge = { choice = [1.0, inf] }
rate = { log_uniform = [1e-3, 1.0] }
units = { integer = [1, 9] }
index = { uniform = [0, 1] }
vector = { normal = [0, 1], shape = [3] }
k = 3
"""


@pytest.mark.daily
def test_the_best_candidate_can_be_compared(folder: Path) -> None:
    """Numbers are metrics and words are tags, by variable, so that no later best leaves one behind."""
    (folder / "tracked.toml").write_text(SWEEP.replace("[method]", f"{CHOICES}[method]"))
    names = "x, y, a, flag, width, mixed, huge, rate, units, index, vector, k"
    (folder / "tracked_loss.py").write_text(f"def loss({names}):\n    return rate\n")
    for count in (10, 40, 90):
        outcome = run(f"method.candidates={count}")
    x = outcome.answer.x
    found, metrics, _ = stored(folder)
    latest = found.data.metrics
    numbers = {key: value for key, value in latest.items() if key.startswith("best/")}
    wanted = {f"best/{name}": x[name] for name in ("x", "y", "width", "rate", "units")}
    assert numbers == {**wanted, "best/index": outcome.answer.index, "best/index_2": x["index"]}
    labels = {key: tag for key, tag in found.data.tags.items() if key.startswith("best/")}
    assert labels == {f"best/{name}": str(x[name]) for name in ("a", "flag", "mixed", "huge")}
    assert all(math.isfinite(value) for points in metrics.values() for _, value in points)


def test_failures_that_are_gone_are_no_longer_counted(folder: Path) -> None:
    """A retried item that has a loss is no failure: the number of its kind is 0; the loss ends with the new best."""
    (folder / "tracked_loss.py").write_text(
        "from pathlib import Path\n"
        "def loss(x, y):\n"
        "    if y < 0.9: return x * x + y\n"
        "    if Path('fixed').exists(): return -y\n"
        "    raise ValueError\n"
    )
    first = run()
    metrics = stored(folder)[1]
    assert metrics["failed"] == metrics["failed/raised"] == [(0, first.failed)]
    (folder / "fixed").touch()
    from optitrip.app.context import Options
    from optitrip.app.run_sweep import run_sweep
    from optitrip.store.lookup import read

    second: Any = run_sweep(read(Path("tracked.toml")), Options(retry_failed=True, accept_changes=True), Recording())
    found, metrics, _ = stored(folder)
    assert second.failed == found.data.metrics["failed"] == found.data.metrics["failed/raised"] == 0
    assert found.data.metrics["loss"] == second.answer.loss


@pytest.mark.daily
def test_a_smaller_sweep_gets_a_run_of_its_own(folder: Path) -> None:
    """MLflow would show the last loss of the larger one: the run is made anew, and the old one is in MLflow's bin."""
    larger = run("method.candidates=90")
    smaller = run("method.candidates=20")
    assert smaller.answer.loss > larger.answer.loss
    found, metrics, _ = stored(folder)
    assert found.info.run_id == smaller.mlflow["run_id"] != larger.mlflow["run_id"]
    assert found.data.metrics["loss"] == smaller.answer.loss
    assert metrics["candidates"] == [(0, 20)]
    assert metrics["loss"][-1] == (19, smaller.answer.loss)
    assert run("method.candidates=20").mlflow["run_id"] == found.info.run_id


@pytest.mark.daily
def test_a_number_that_the_new_best_lacks_is_not_left(folder: Path) -> None:
    """A report that is not finite for the new best: the earlier one's would be taken for it."""
    (folder / "tracked_loss.py").write_text(
        "class Loss:\n"
        "    def __call__(self, x, y): return x * x + y\n"
        "    def report(self, x, y): return {'slope': float('nan') if x * x + y < -0.9 else 1.0}\n"
    )
    first = run("objective.loss=tracked_loss:Loss", "method.candidates=5")
    assert stored(folder)[1]["report/slope"] == [(0, 1.0)]
    second = run("objective.loss=tracked_loss:Loss", "method.candidates=200")
    assert second.answer.loss < -0.9 < first.answer.loss
    assert "report/slope" not in stored(folder)[1]


@pytest.mark.daily
def test_a_stopped_sweep_has_its_best_so_far(folder: Path) -> None:
    """As loss, and its parameters; when it goes on, the staircase continues."""
    (folder / "tracked_loss.py").write_text(
        "import time\ndef loss(x, y):\n    time.sleep(0.01)\n    return x * x + y\n"
    )
    with pytest.raises(Stopped) as stopped:
        run("method.candidates=400", "stop.max_seconds=0.5")
    outcome: Any = stopped.value.outcome
    found, metrics, _ = stored(folder)
    assert (found.info.status, found.data.tags["optitrip.state"]) == ("KILLED", "stopped")
    assert found.data.metrics["loss"] == outcome.best.loss
    assert found.data.metrics["candidates"] == outcome.items < 400
    assert found.data.metrics["best/x"] == outcome.best.x["x"]
    last = metrics["loss"][-1]
    finished = run("method.candidates=400")
    found, metrics, _ = stored(folder)
    assert found.info.status == "FINISHED"
    assert last in metrics["loss"]
    values = [value for _, value in metrics["loss"]]
    assert values == sorted(values, reverse=True)
    assert metrics["loss"][-1] == (399, finished.answer.loss)
    assert finished.total_seconds > finished.seconds - finished.phases["files"] - finished.phases["mlflow"] + 0.5


@pytest.mark.daily
def test_children_are_the_best_candidates(folder: Path) -> None:
    """In one pass at the end, each once, also when the sweep is extended; their number is no part of the identity."""
    from mlflow import MlflowClient

    (folder / "tracked_loss.py").write_text("def loss(x, y):\n    return {'loss': x * x + y, 'twice': 2 * x}\n")
    for count in (20, 20, 90):
        outcome = run("tracking.children=3", f"method.candidates={count}")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("optitrip").experiment_id])  # pyright: ignore
    children = [found for found in runs if found.data.tags.get("mlflow.parentRunId") == outcome.mlflow["run_id"]]
    assert len(runs) == 4
    children.sort(key=lambda found: found.data.tags["optitrip.rank"])
    result = outcome.answer.result
    for place, child in enumerate(children):
        index, point = int(result.best_index[place]), outcome.answer.candidates.point(int(result.best_index[place]))
        assert child.info.run_name == f"candidate {index:,}"
        assert child.data.metrics == {"loss": result.best_loss[place], "twice": 2 * point["x"][0]}
        assert child.data.params == {name: str(point[name][0].item()) for name in ("x", "y")}
        assert child.info.status == "FINISHED"
    watch = Recording()
    assert run("tracking.children=0", "method.candidates=91", watch=watch).identity == outcome.identity
    assert incomplete(watch) == []


@pytest.mark.daily
def test_requests_do_not_depend_on_the_number_of_candidates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some dozen, for a thousand candidates and for a hundred thousand, also if each is better than all before it."""
    import mlflow

    real, counts = mlflow.MlflowClient, Counter[str]()

    class Counting:
        def __init__(self, uri: str) -> None:
            self._client = real(uri)

        def __getattr__(self, name: str) -> Any:
            counts[name] += 1
            return getattr(self._client, name)

    monkeypatch.setattr(mlflow, "MlflowClient", Counting)
    (folder / "tracked_loss.py").write_text(
        "import numpy as np\n"
        "class Loss:\n"
        "    block = 1000\n"
        "    def losses(self, x, y): return x ** 2 + y\n"
        "class Falling(Loss):\n"
        "    count = 0\n"
        "    def losses(self, x, y):\n"
        "        self.count += 1000\n"
        "        return -np.arange(self.count - 1000, self.count)\n"
    )
    sent: list[int] = []
    for number, (name, items) in enumerate([("Loss", 1_000), ("Loss", 100_000), ("Falling", 5_000)]):
        counts.clear()
        watch = Recording()
        overrides = [f"objective.loss=tracked_loss:{name}", f"method.candidates={items}", f"seed={number}"]
        assert run(*overrides, "objective.deterministic=false", watch=watch).mlflow is not None
        assert incomplete(watch) == []
        sent.append(counts.total())
    assert max(sent) < 20
