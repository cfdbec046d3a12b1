"""A small sweep that is tracked in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from driver_setup import Recording
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.core.observer import Observer
from optitrip.store.lookup import read

SWEEP = """
seed = 3
[objective]
loss = "tracked_loss:loss"
[space]
x = { normal = [0, 1] }
y = { uniform = [-1, 1] }
[method]
use = "search"
candidates = 40
[run]
executor = "serial"
"""


ARTIFACTS = {"best.csv", "best.npz", "candidates.parquet", "images", "losses.png", "report.html", "sweep.toml"}
"""Artifacts of a search without failures."""

LOSS = "def loss(x, y):\n    return x * x + y if y < 0.9 else float('nan')\n"


def incomplete(lines: Recording) -> list[str]:
    """Return the texts of notices that the MLflow run is incomplete."""
    return [notice.text for notice in lines.notices if notice.code == "mlflow-incomplete"]


def run(*overrides: str, watch: Observer | None = None, apart: bool = False) -> Any:
    return run_sweep(read(Path("tracked.toml"), overrides), Options(mlflow_process=apart), watch or Recording())
