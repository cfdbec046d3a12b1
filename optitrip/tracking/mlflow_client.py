"""Writes one MLflow run per sweep, in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from optitrip.tracking.charts import log_images
from optitrip.tracking.children import write_children
from optitrip.tracking.mlflow_store import connect, experiment_id, find_run, make_store
from optitrip.tracking.names import TAG_LENGTH, encodable
from optitrip.tracking.run import Ending, Metric, Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that does not answer costs about ten seconds at the end of a sweep, not MLflow's own four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    TIMEOUT: "10",
}
MOST = {"metrics": 1_000, "params": 100, "tags": 100}
"""Most entries of one request."""
SLOWEST_UPLOAD = 500_000
"""Bytes per second that an upload may be slow: servers answer once they have passed a file on to where it is stored."""
REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
"""MLflow's codes for what it will never take, however often it is sent."""


class InProcessClient:
    """A tracking client in this process. Every method raises whatever MLflow raises."""

    _client: MlflowClient
    _run_id: str

    def __init__(self) -> None:
        self._refused: dict[str, str] = {}

    def prepare(self) -> None:
        """Import MLflow, which takes seconds."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import_module("mlflow")

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def begin(self, run: Run) -> str:
        self.prepare()
        make_store(run.uri)
        self._client, self._refused = connect(run.uri), {}
        experiment = experiment_id(self._client, run)
        found = find_run(self._client, experiment, run.journal)
        if found is not None and run.renewed:
            self._client.delete_run(found.info.run_id)
            found = None
        if found is None:
            tags = {"optitrip.journal": run.journal}
            found = self._client.create_run(experiment, start_time=run.start, run_name=run.name, tags=tags)
        else:
            self._client.update_run(found.info.run_id, status="RUNNING", name=run.name)
        self._run_id = found.info.run_id
        self._send(tags={**run.tags, "optitrip.state": "running"}, params=run.params)
        return self._run_id

    def log(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        self._send(metrics=metrics, tags=tags)

    def conclude(self, ending: Ending) -> list[str]:
        self._send(metrics=ending.metrics, tags=ending.tags)
        files = list(filter(os.path.exists, ending.files))
        try:
            for file in files:
                with time_for(file):
                    self._client.log_artifact(self._run_id, file)
        finally:
            self._client.set_terminated(self._run_id, ending.status, ending.end)
        extras: dict[str, Callable[[], None]] = {}
        if ending.children is not None:
            extras["the child runs"] = partial(write_children, self._client, self._run_id, ending.children, ending.end)
        if files:
            last = max((step for _, _, step, _ in ending.metrics), default=0)
            extras["the pictures among the charts"] = partial(
                log_images, self._client, self._run_id, files, last, ending.end
            )
        for what, write in extras.items():
            try:
                write()
            except Exception as error:  # the sweep's own run is complete
                self._refused[what] = str(error)
        return [f"{what}: {reason}" for what, reason in self._refused.items()]

    def kill(self, run: Run, end: int) -> None:
        self.prepare()
        client = connect(run.uri)
        experiment = client.get_experiment_by_name(run.experiment)
        found = experiment and find_run(client, experiment.experiment_id, run.journal)
        if found and found.info.status == "RUNNING":
            client.set_tag(found.info.run_id, "optitrip.state", "killed")
            client.set_terminated(found.info.run_id, "KILLED", end)

    def _send(
        self,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric as MlflowMetric
        from mlflow.entities import Param, RunTag

        tags = {key: encodable(value, TAG_LENGTH) for key, value in (tags or {}).items()}
        entries: dict[str, list[Any]] = {
            "tags": [RunTag(key, value) for key, value in tags.items()],
            "params": [Param(key, value) for key, value in (params or {}).items()],
            "metrics": [MlflowMetric(key, value, time, step) for key, value, step, time in metrics],
        }
        for kind, whole in entries.items():
            for start in range(0, len(whole), MOST[kind]):
                self._send_batch(kind, whole[start : start + MOST[kind]])

    def _send_batch(self, kind: str, entries: list[Any]) -> None:
        """Log entries in one request; if MLflow refuses one of them, find it by halves: it costs only its own key."""
        from mlflow.exceptions import MlflowException

        try:
            send: Any = self._client.log_batch
            send(self._run_id, **{kind: entries})
        except MlflowException as error:
            keys = list(dict.fromkeys(entry.key for entry in entries))
            if error.error_code not in REFUSALS or not self._is_active():
                raise
            if len(keys) == 1:
                self._refused[f"{kind.removesuffix('s')} {keys[0]}"] = str(error)
                return
            first = set(keys[: len(keys) // 2])
            self._send_batch(kind, [entry for entry in entries if entry.key in first])
            self._send_batch(kind, [entry for entry in entries if entry.key not in first])

    def _is_active(self) -> bool:
        """Return whether the run was not deleted by a user: MLflow would refuse whatever is sent to it."""
        return self._client.get_run(self._run_id).info.lifecycle_stage == "active"


@contextmanager
def time_for(file: str) -> Generator[None]:
    """Give the requests of a large file more time."""
    usual = os.environ[TIMEOUT]
    os.environ[TIMEOUT] = str(int(usual) + os.path.getsize(file) // SLOWEST_UPLOAD)
    try:
        yield
    finally:
        os.environ[TIMEOUT] = usual
