"""Writes one MLflow run a sweep, in this process or in one of its own. The only file that imports mlflow."""

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
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optitrip

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
FOLDER = Path(optitrip.__file__).parents[1]
# -P: a file of the user's in the working directory must not come before a library of the same name.
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from optitrip.tracking.mlflow_client import serve; serve()"

Metric = tuple[str, float, int, int]
"""A key, a value, a step, and a time in milliseconds since 1970."""


@dataclass(frozen=True)
class Run:
    """An MLflow run, as it is created or found again, in the store at `uri` and the experiment of this name."""

    uri: str
    experiment: str
    name: str
    journal: str
    """Name of the journal, by which the run is found again."""
    params: Mapping[str, Any]
    """Parameters by dotted keys; they never change."""
    tags: Mapping[str, str]


class InProcessClient:
    """A tracking client in this process. Every method raises whatever MLflow raises."""

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
        """Create the run, or find it if the sweep was started before; return its id."""
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
        """Log files by absolute paths, and how the run ended: optitrip's state, MLflow's status, a note in Markdown."""
        for file in files:
            self._client.log_artifact(self._run_id, file)
        for key, value in {"optitrip.state": state, "mlflow.note.content": note}.items():
            self._client.set_tag(self._run_id, key, value)
        self._client.set_terminated(self._run_id, status)


class SubprocessClient(AbstractContextManager["SubprocessClient"]):
    """A tracking client that runs MLflow in a process of its own, which imports it at once: that takes seconds.

    In a thread of the driver the import would take its time from the driver: one thread computes at a time. Requests
    and answers are pickles in pipes, one at a time. The process ends with this one, however that ends, since its pipe
    is then closed.
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
        self._call("log", [tuple(metric) for metric in metrics])  # plain: the process need not import what made them

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        self._call("conclude", state, status, files, note)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method in the process; raise RuntimeError with the message of what it raised, or if it has ended."""
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
        """Kill the process if it is idle; otherwise leave it: it exits by itself after the pending request."""
        if self._pending.acquire(blocking=False):
            self._process.kill()
            self._process.communicate()
            self._pending.release()


TrackingClient = InProcessClient | SubprocessClient


def serve() -> None:
    """Answer requests in the process until there are no more."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # it ends with the driver, which may still have something to send
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what MLflow prints is no answer
    client = InProcessClient()
    with suppress(Exception):  # raised again, and reported, by the first request
        client.prepare()
    with suppress(EOFError, OSError, pickle.UnpicklingError):  # the driver has ended, perhaps while it wrote a request
        while True:
            method, arguments = pickle.load(sys.stdin.buffer)
            try:
                answer = (getattr(client, method)(*arguments), None)
            except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
                answer = (None, str(error).strip() or repr(error))
            answers.write(pickle.dumps(answer))
            answers.flush()
    os._exit(0)  # at a normal exit Python would complain about an answer that nobody reads


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
