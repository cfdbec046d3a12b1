"""One MLflow run a sweep, written by the driver only, from a thread of its own. The only file that imports mlflow.

MLflow must never hurt a sweep: all that is sent can be made again from the journal, so a failure here is remembered and
told, and the same command delivers later what was missed.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optitrip.driver.watch import InOrder, Written
from optitrip.methods import Method
from optitrip.methods.search import Search
from optitrip.tracking.curve import Curve, Point

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
BATCH, PAUSE_SECONDS, PARAM_LENGTH = 1_000, 1.0, 500


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or MLflow's own default file in the working directory; a file's URI is made absolute."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme, _, file = uri.partition("sqlite:///")
    return f"sqlite:///{Path.cwd() / file}" if file and not scheme else uri


def metric_name(name: str) -> str:
    """A name as MLflow takes it: letters, digits and some signs, and as a path nothing that could be shortened."""
    parts = re.sub(r"[^\w.\- :/]", "_", name)[:250].split("/")
    return "/".join(part if part.strip(".") else f"_{part.replace('.', '_')}" for part in parts)


class MlflowRun:
    """Watches a sweep and tells MLflow.

    Args:
        uri: of the tracking store.
        experiment: by name; made if it is not there.
        name: of the run.
        journal: the journal's own name, by which its run is found again.
        params: dotted keys; they never change.
        tags: beside the state.
    """

    def __init__(
        self, uri: str, experiment: str, name: str, journal: str, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        self.uri, self.experiment = uri, experiment
        self._name, self._journal, self._params, self._tags = name, journal, params, tags
        self._curve: Curve | None = None
        self._order = InOrder()
        self._queue: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self._undelivered: list[Point] = []
        self._end: list[Point] = []
        self._client: MlflowClient | None = None
        self._run_id = ""
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._deliver, name="mlflow", daemon=True)
        self._thread.start()

    def stage(self, method: Method, found: int) -> None:
        del found
        self._curve = None
        if isinstance(method, Search):
            self._curve = Curve(method.items, method.sign, "screened" if method.screen else "loss")
        self._order = InOrder()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        if self._curve is None:
            return
        for part, at in self._order.push(written):
            for point in self._curve.points(part, at):
                self._queue.put(point)
            self._end = self._curve.end(part.items.stop, at)

    def say(self, message: str) -> None:
        del message

    def finish(
        self, state: str, status: str, figures: Mapping[str, float], files: Sequence[Path], note: str
    ) -> dict[str, str] | None:
        """Deliver what is left, the end figures and the files.

        Args:
            state: finished, stopped or failed, for the tag.
            status: MLflow's word for it.
            figures: end figures, logged at step 0, so that the page draws bars; the newest one counts.
            files: to be kept as artifacts.
            note: Markdown, shown at the top of the run's page.

        Returns:
            Where the run is, or None if MLflow could not be told everything; then `error` says why.
        """
        for point in self._end:
            self._queue.put(point)
        self._queue.put(None)
        self._thread.join()
        client = self._client
        if client is None:  # nobody answered the thread, so nobody is asked to wait for a second time
            return None
        self.error = None
        try:
            for file in files:
                client.log_artifact(self._run_id, str(file))
            for key, value in {"optitrip.state": state, "mlflow.note.content": note}.items():
                client.set_tag(self._run_id, key, value)
            client.set_terminated(self._run_id, status)
            self._send(client, self._undelivered)
            now = time.time_ns() // 1_000_000
            self._send(client, [Point(metric_name(key), value, 0, now) for key, value in figures.items()])
        except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
            self.error = error
            return None
        return {"tracking_uri": self.uri, "experiment": self.experiment, "run_id": self._run_id}

    def _deliver(self) -> None:
        """The thread: send points about once a second until told to end, or until MLflow fails."""
        ended = False
        while not ended:
            try:
                batch = [self._queue.get()]
                wake = time.monotonic() + PAUSE_SECONDS
                while batch[-1] is not None and len(batch) < BATCH and (left := wake - time.monotonic()) > 0:
                    try:
                        batch.append(self._queue.get(timeout=left))
                    except queue.Empty:
                        break
                ended = batch[-1] is None
                self._undelivered += [point for point in batch if point is not None]
                if self.error is None:
                    self._send(self._connect(), self._undelivered)
                    self._undelivered = []
            except Exception as error:  # remembered; `finish` tries once more if there was a run to write to
                self.error = error

    def _send(self, client: MlflowClient, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(point.key, point.value, point.time, point.step) for point in points]
        for start in range(0, len(metrics), BATCH):
            client.log_batch(self._run_id, metrics=metrics[start : start + BATCH])

    def _connect(self) -> MlflowClient:
        """The client, with the run made or found; a sweep that goes on goes on in its run."""
        if self._client is not None:
            return self._client
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import mlflow
        from mlflow.entities import Param, RunTag

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        client = mlflow.MlflowClient(self.uri)
        experiment_id = self._experiment(client)
        found = client.search_runs([experiment_id], f"tags.`optitrip.journal` = '{self._journal}'", max_results=1)
        tags = {**self._tags, "optitrip.journal": self._journal, "optitrip.state": "running"}
        if found:
            self._run_id = found[0].info.run_id
            client.update_run(self._run_id, status="RUNNING")
        else:
            run = client.create_run(experiment_id, run_name=self._name, tags={"optitrip.journal": self._journal})
            self._run_id = run.info.run_id
        params = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in self._params.items()]
        client.log_batch(self._run_id, params=params, tags=[RunTag(key, value) for key, value in tags.items()])
        self._client = client
        return client

    def _experiment(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self.uri.startswith("sqlite:///"):
            folder = re.sub(r"[^\w.-]", "_", self.experiment)
            location = (Path(self.uri.removeprefix("sqlite:///")).parent / "mlartifacts" / folder).as_uri()
        try:
            return client.create_experiment(self.experiment, artifact_location=location, tags=MODEL_TRAINING)
        except MlflowException:  # another sweep made it meanwhile, or its name is that of a deleted one
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return str(found.experiment_id)
