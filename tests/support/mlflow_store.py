"""What MLflow's store holds, as MLflow's own client reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def stored(folder: Path, store: str = "mlflow.db") -> tuple[Any, dict[str, list[tuple[int, float]]], list[str]]:
    """The only run, its metrics by key as (step, value), and its artifacts, as MLflow's own client reads them."""
    return told_to(f"sqlite:///{folder / store}")


def told_to(uri: str) -> tuple[Any, dict[str, list[tuple[int, float]]], list[str]]:
    """The same of any store."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("optitrip")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    metrics = {
        key: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, key)]
        for key in found.data.metrics
    }
    return found, metrics, [file.path for file in client.list_artifacts(found.info.run_id)]
