"""Read a store with MLflow's own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def stored(folder: Path, store: str = "mlflow.db") -> tuple[Any, dict[str, list[tuple[int, float]]], list[str]]:
    """Return the only run in a file, its metrics by key as (step, value), and its artifacts."""
    return told_to(f"sqlite:///{folder / store}")


def told_to(uri: str) -> tuple[Any, dict[str, list[tuple[int, float]]], list[str]]:
    """Return the only run in any store, its metrics by key as (step, value), and its artifacts."""
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
