"""One MLflow run a sweep, in MLflow's own words. The only file that imports mlflow."""

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
"""What kind of experiment this is, in MLflow's own words."""
BATCH, PARAM_LENGTH = 1_000, 500

Metric = tuple[str, float, int, int]
"""A key, a value, a step, and a time in milliseconds since 1970."""


@dataclass(frozen=True)
class Run:
    """What a run is begun with, or found again by."""

    uri: str
    """Of the tracking store."""
    experiment: str
    """By name; made if it is not there."""
    name: str
    journal: str
    """The journal's own name, by which its run is found again."""
    params: Mapping[str, Any]
    """By dotted keys; they never change."""
    tags: Mapping[str, str]
    """Beside the state."""


class TrackingClient(Protocol):
    """Writes one run, wherever it is; every method raises whatever MLflow raises."""

    def begin(self, run: Run) -> str:
        """Make or find the run; a sweep that goes on goes on in its run. Return its id."""
        ...

    def log(self, metrics: Sequence[Metric]) -> None:
        """Metrics of the run."""
        ...

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        """Keep files, by absolute paths, and say how it ended: in our word, in MLflow's, and in Markdown."""
        ...


class InProcessClient:
    """A recorder in this process."""

    def __init__(self) -> None:
        self._client: MlflowClient | None = None
        self._run_id = ""

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
        experiment_id = experiment(client, run)
        found = client.search_runs([experiment_id], f"tags.`optitrip.journal` = '{run.journal}'", max_results=1)
        tags = {**run.tags, "optitrip.journal": run.journal, "optitrip.state": "running"}
        if found:
            self._run_id = found[0].info.run_id
            client.update_run(self._run_id, status="RUNNING")
        else:
            made = client.create_run(experiment_id, run_name=run.name, tags={"optitrip.journal": run.journal})
            self._run_id = made.info.run_id
        params = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in run.params.items()]
        client.log_batch(self._run_id, params=params, tags=[RunTag(key, value) for key, value in tags.items()])
        self._client = client
        return self._run_id

    def log(self, metrics: Sequence[Metric]) -> None:
        from mlflow.entities import Metric as Entity

        entities = [Entity(key, value, time, step) for key, value, step, time in metrics]
        for start in range(0, len(entities), BATCH):
            self._begun.log_batch(self._run_id, metrics=entities[start : start + BATCH])

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        for file in files:
            self._begun.log_artifact(self._run_id, file)
        for key, value in {"optitrip.state": state, "mlflow.note.content": note}.items():
            self._begun.set_tag(self._run_id, key, value)
        self._begun.set_terminated(self._run_id, status)

    @property
    def _begun(self) -> MlflowClient:
        if self._client is None:
            raise RuntimeError("the run has not begun")
        return self._client


def make_store(uri: str) -> None:
    """Make a new store of one file, aside, and move it into place.

    MLflow makes its tables in some four hundred transactions, each of which waits for the disk, and two sweeps that
    make the same store fail. A store that nobody has seen yet need not be safe from a loss of power.
    """
    file = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if not uri.startswith("sqlite:///") or file.exists():
        return
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    with tempfile.TemporaryDirectory(prefix="mlflow-", dir=file.parent) as folder:
        aside = Path(folder).resolve() / file.name

        def hasty(connection: Any, _record: object) -> None:  # of any engine in this process, the user's too
            ours = isinstance(connection, sqlite3.Connection) and connection.execute("PRAGMA database_list").fetchall()
            if ours and str(aside) in ours[0]:
                connection.execute("PRAGMA synchronous=OFF")

        event.listen(Engine, "connect", hasty)
        try:
            MlflowClient(f"sqlite:///{aside}")
        finally:
            event.remove(Engine, "connect", hasty)
        with aside.open("rb") as made:
            os.fsync(made.fileno())
        with suppress(OSError):  # another sweep was first, or there are no links here: then MLflow makes it in place
            os.link(aside, file)


def experiment(client: MlflowClient, run: Run) -> str:
    """The id of the run's experiment, which is made if it is not there."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(run.experiment)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if run.uri.startswith("sqlite:///"):
        folder = re.sub(r"[^\w.-]", "_", run.experiment)
        location = (Path(run.uri.removeprefix("sqlite:///")).parent / "mlartifacts" / folder).as_uri()
    try:
        return client.create_experiment(run.experiment, artifact_location=location, tags=MODEL_TRAINING)
    except MlflowException:  # another sweep made it meanwhile, or its name is that of a deleted one
        found = client.get_experiment_by_name(run.experiment)
        if found is None:
            raise
        return str(found.experiment_id)
