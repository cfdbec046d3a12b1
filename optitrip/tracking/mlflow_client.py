"""Writes one MLflow run a sweep. The only file that imports mlflow."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that does not answer costs about ten seconds at the end of a sweep, not MLflow's own four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Tag with MLflow's name for this kind of experiment."""
BATCH, PARAM_LENGTH = 1_000, 500

Metric = tuple[str, float, int, int]
"""A key, a value, a step, and a time in milliseconds since 1970."""


@dataclass(frozen=True)
class Run:
    """An MLflow run, as it is created or found again."""

    uri: str
    """URI of the tracking store."""
    experiment: str
    """Name of the experiment, which is created if it does not exist."""
    name: str
    journal: str
    """Name of the journal, by which the run is found again."""
    params: Mapping[str, Any]
    """Parameters by dotted keys; they never change."""
    tags: Mapping[str, str]
    """Tags beside the state."""


class TrackingClient(Protocol):
    """Writes one run, in this process or another; every method raises whatever MLflow raises."""

    def begin(self, run: Run) -> str:
        """Create the run, or find it if the sweep was started before; return its id."""
        ...

    def log(self, metrics: Sequence[Metric]) -> None:
        """Log metrics of the run."""

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        """Log files by absolute paths, and how the run ended: optitrip's state, MLflow's status, a note in Markdown."""


class InProcessClient:
    """A tracking client in this process."""

    _client: MlflowClient
    _run_id: str

    def prepare(self) -> None:
        """Import MLflow, which takes seconds."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import_module("mlflow")

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)

    def begin(self, run: Run) -> str:
        self.prepare()
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag

        make_store(run.uri)
        client = MlflowClient(run.uri)
        experiment = experiment_id(client, run)
        found = client.search_runs([experiment], f"tags.`optitrip.journal` = '{run.journal}'", max_results=1)
        tags = {**run.tags, "optitrip.journal": run.journal, "optitrip.state": "running"}
        if found:
            run_id = found[0].info.run_id
            client.update_run(run_id, status="RUNNING")
        else:
            created = client.create_run(experiment, run_name=run.name, tags={"optitrip.journal": run.journal})
            run_id = created.info.run_id
        params = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in run.params.items()]
        client.log_batch(run_id, params=params, tags=[RunTag(key, value) for key, value in tags.items()])
        self._client, self._run_id = client, run_id
        return run_id

    def log(self, metrics: Sequence[Metric]) -> None:
        from mlflow.entities import Metric as Entity

        entities = [Entity(key, value, time, step) for key, value, step, time in metrics]
        for start in range(0, len(entities), BATCH):
            self._client.log_batch(self._run_id, metrics=entities[start : start + BATCH])

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        for file in files:
            self._client.log_artifact(self._run_id, file)
        for key, value in {"optitrip.state": state, "mlflow.note.content": note}.items():
            self._client.set_tag(self._run_id, key, value)
        self._client.set_terminated(self._run_id, status)


def make_store(uri: str) -> None:
    """Create a new store of one file in a folder beside it, and move it into place.

    MLflow creates its tables in some four hundred transactions, each of which waits for the disk, and two sweeps that
    create the same store fail. A store that nobody has seen yet need not be safe from a loss of power.
    """
    file = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if not uri.startswith("sqlite:///") or file.exists():
        return
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    with tempfile.TemporaryDirectory(prefix="mlflow-", dir=file.parent) as folder:
        aside = Path(folder).resolve() / file.name

        def do_not_wait(connection: Any, _record: object) -> None:  # of any engine in this process, the user's too
            ours = isinstance(connection, sqlite3.Connection) and connection.execute("PRAGMA database_list").fetchall()
            if ours and str(aside) in ours[0]:
                connection.execute("PRAGMA synchronous=OFF")

        event.listen(Engine, "connect", do_not_wait)
        try:
            MlflowClient(f"sqlite:///{aside}")
        finally:
            event.remove(Engine, "connect", do_not_wait)
        with aside.open("rb") as created:
            os.fsync(created.fileno())
        with suppress(OSError):  # another sweep was first, or links are not supported: then MLflow creates it in place
            os.link(aside, file)


def experiment_id(client: MlflowClient, run: Run) -> str:
    """Return the id of the run's experiment, which is created if it does not exist."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(run.experiment)) is not None:
        return str(found.experiment_id)
    location = None
    if run.uri.startswith("sqlite:///"):
        folder = re.sub(r"[^\w.-]", "_", run.experiment)
        location = (Path(run.uri.removeprefix("sqlite:///")).parent / "mlartifacts" / folder).as_uri()
    try:
        return client.create_experiment(run.experiment, artifact_location=location, tags=MODEL_TRAINING)
    except MlflowException:  # another sweep created it meanwhile, or its name is that of a deleted one
        if (found := client.get_experiment_by_name(run.experiment)) is None:
            raise
        return str(found.experiment_id)
