"""Writes one MLflow run per sweep, in this process or in a child process. The only file that imports mlflow."""

from __future__ import annotations

import logging
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optitrip
from optitrip.tracking.charts import log_images
from optitrip.tracking.location import SQLITE, quoted, store_file
from optitrip.tracking.names import TAG_LENGTH, encodable

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
"""Tag that makes MLflow show the experiment's pages for model training."""
BATCH, PARAMS = 1_000, 100
"""Most metrics, and most params, of one request."""
FOLDER = Path(optitrip.__file__).parents[1]
# -P: a user's file in the working directory must not shadow a library of the same name.
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from optitrip.tracking.mlflow_client import serve; serve()"

Metric = tuple[str, float, int, int]
"""A key, a value, a step, and a time in milliseconds since 1970."""


@dataclass(frozen=True)
class Run:
    """Description of an MLflow run, by which it is created or found again."""

    uri: str
    experiment: str
    name: str
    journal: str
    """Name of the journal, by which the run is found again."""
    params: Mapping[str, str]
    """Parameters by key; they never change."""
    tags: Mapping[str, str]


class InProcessClient:
    """A tracking client in this process. Every method raises whatever MLflow raises."""

    _client: MlflowClient
    _run_id: str
    _last_step = 0

    def prepare(self) -> None:
        """Import MLflow, which takes seconds."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import_module("mlflow")

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)

    def begin(self, run: Run) -> str:
        """Create the run, or find it if the sweep was started before; return its id."""
        self.prepare()
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag
        from mlflow.exceptions import MlflowException

        make_store(run.uri)
        client = MlflowClient(run.uri)
        experiment = experiment_id(client, run)
        found = client.search_runs([experiment], f"tags.`optitrip.journal` = '{run.journal}'", max_results=1)
        tags = {**run.tags, "optitrip.journal": run.journal, "optitrip.state": "running"}
        tags = {key: encodable(value, TAG_LENGTH) for key, value in tags.items()}
        run_id = found[0].info.run_id if found else None
        if run_id is not None:
            client.update_run(run_id, status="RUNNING")
        else:
            created = client.create_run(experiment, run_name=run.name, tags={"optitrip.journal": run.journal})
            run_id = created.info.run_id
        self._client, self._run_id = client, run_id
        params = [Param(key, value) for key, value in run.params.items()]
        try:
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            for start in range(0, len(params), PARAMS):
                client.log_batch(run_id, params=params[start : start + PARAMS])
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":  # the same command would not get further
                client.set_terminated(run_id, "FAILED")
            raise
        return run_id

    def log(self, metrics: Sequence[Metric]) -> None:
        from mlflow.entities import Metric as Entity

        self._last_step = max([self._last_step, *(step for _, _, step, _ in metrics)])
        entities = [Entity(key, value, time, step) for key, value, step, time in metrics]
        for start in range(0, len(entities), BATCH):
            self._client.log_batch(self._run_id, metrics=entities[start : start + BATCH])

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        """Log files, given by absolute path, and the end of the run: state, MLflow's status, note in Markdown."""
        for file in files:
            self._client.log_artifact(self._run_id, file)
        log_images(self._client, self._run_id, files, self._last_step)
        for key, value in {"optitrip.state": state, "mlflow.note.content": note}.items():
            self._client.set_tag(self._run_id, key, encodable(value, TAG_LENGTH))
        self._client.set_terminated(self._run_id, status)


class SubprocessClient(AbstractContextManager["SubprocessClient"]):
    """A tracking client that runs MLflow in a child process, which starts the import, a matter of seconds, immediately.

    In a thread, the import would slow the driver down, because it holds the GIL. Requests and answers are pickled and
    sent through pipes, one at a time. The child exits when this process ends in any way, because its pipe is closed.
    """

    def __init__(self) -> None:
        self._pending = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, str(FOLDER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the driver
        )

    def begin(self, run: Run) -> str:
        return self._call("begin", run)

    def log(self, metrics: Sequence[Metric]) -> None:
        self._call("log", [tuple(metric) for metric in metrics])  # plain tuples: the child need not import their class

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        self._call("conclude", state, status, files, note)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method in the child; raise RuntimeError with its exception's message, or if the child has exited."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        with self._pending:
            try:
                requests.write(pickle.dumps((method, arguments)))
                requests.flush()
                answer, error = pickle.load(answers)
            except (OSError, EOFError, ValueError):  # ValueError: the pipe was closed
                raise RuntimeError("its process has ended") from None
        if error is not None:
            raise RuntimeError(error)
        return answer

    def __exit__(self, *_: object) -> None:
        """Kill the child if it is idle; otherwise it exits by itself after the pending request."""
        if self._pending.acquire(blocking=False):
            self._process.kill()
            self._process.communicate()
            self._pending.release()


TrackingClient = InProcessClient | SubprocessClient


def serve() -> None:
    """Answer requests in the child process until the driver closes the pipe."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # it must outlive the driver, which may still send requests
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # MLflow's output must not mix with the answers
    client = InProcessClient()
    with suppress(Exception):  # the first request raises it again and reports it
        client.prepare()
    with suppress(EOFError, OSError, pickle.UnpicklingError):  # the driver has exited, perhaps while writing a request
        while True:
            method, arguments = pickle.load(sys.stdin.buffer)
            try:
                answer = (getattr(client, method)(*arguments), None)
            except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
                answer = (None, str(error).strip() or repr(error))
            answers.write(pickle.dumps(answer))
            answers.flush()
    os._exit(0)  # a normal exit would complain about an unread answer


def make_store(uri: str) -> None:
    """Create a new SQLite store in a temporary folder beside its place, and move it there.

    MLflow creates its tables in some four hundred transactions, each of which waits for the disk, and two sweeps fail
    if they create one store at the same time. Until the store is in place, it need not survive a power cut.
    """
    file = store_file(uri)
    if file is None or file.exists():
        return
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    with tempfile.TemporaryDirectory(prefix="mlflow-", dir=file.parent) as folder:
        aside = Path(folder).resolve() / file.name

        def do_not_wait(connection: Any, _record: object) -> None:  # called for every engine, also the user's
            with suppress(sqlite3.Error):  # the path of another may be no UTF-8
                ours = isinstance(connection, sqlite3.Connection)
                if ours and str(aside) in connection.execute("PRAGMA database_list").fetchall()[0]:
                    connection.execute("PRAGMA synchronous=OFF")

        event.listen(Engine, "connect", do_not_wait)
        try:
            MlflowClient(f"{SQLITE}{quoted(aside)}")
        finally:
            event.remove(Engine, "connect", do_not_wait)
        with aside.open("rb") as created:
            os.fsync(created.fileno())
        with suppress(OSError):  # another sweep was first, or links are unsupported and MLflow creates it in place
            os.link(aside, file)


def artifact_folder(store: Path, experiment: str) -> Path:
    return store.parent / "mlartifacts" / re.sub(r"[^\w.-]", "_", experiment)[:60]


def follow_artifacts(store: Path, experiment: str, location: str) -> None:
    """Correct the location of an experiment's artifacts, which MLflow stores as an absolute URI, if they were moved or
    copied along with the store: new ones would go to the old place, or among the originals."""
    folder = artifact_folder(store, experiment)
    here, end = folder.as_uri(), "/".join(folder.as_uri().split("/")[-2:])
    if location == here or not location.endswith(f"/{end}") or not folder.is_dir():
        return
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (here, location))
        database.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?",
            (here, len(location) + 1, len(location) + 1, f"{location}/"),
        )


def experiment_id(client: MlflowClient, run: Run) -> str:
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(run.experiment)) is not None:
        if (file := store_file(run.uri)) is not None:
            follow_artifacts(file, run.experiment, found.artifact_location)
        return str(found.experiment_id)
    location = None
    if (file := store_file(run.uri)) is not None:
        location = artifact_folder(file, run.experiment).as_uri()
    try:
        return client.create_experiment(run.experiment, artifact_location=location, tags=MODEL_TRAINING)
    except MlflowException:  # another sweep has just created it, or a deleted one has its name
        if (found := client.get_experiment_by_name(run.experiment)) is None:
            raise
        return str(found.experiment_id)
