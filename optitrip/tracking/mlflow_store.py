"""Makes and finds MLflow's experiments, and the file of a local store."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optitrip.tracking.location import SQLITE, quoted, store_file
from optitrip.tracking.run import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Tag that makes MLflow show the experiment's pages for model training."""


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

    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mlflow-", dir=file.parent) as folder:
        aside, opened = Path(folder).resolve() / file.name, list[sqlite3.Connection]()

        def do_not_wait(connection: Any, _record: object) -> None:  # called for every engine, also the user's
            with suppress(sqlite3.Error):  # the path of another may be no UTF-8
                ours = isinstance(connection, sqlite3.Connection)
                if ours and str(aside) in connection.execute("PRAGMA database_list").fetchall()[0]:
                    connection.execute("PRAGMA synchronous=OFF")
                    opened.append(connection)

        event.listen(Engine, "connect", do_not_wait)
        try:
            MlflowClient(f"{SQLITE}{quoted(aside)}")
        finally:
            event.remove(Engine, "connect", do_not_wait)
            for connection in opened:  # MLflow keeps them, and Windows deletes no file that is open
                connection.close()
        aside.chmod(0o600)
        with aside.open("r+b") as created:  # Windows syncs only what may be written
            os.fsync(created.fileno())
        with suppress(OSError):  # another sweep was first, or links are unsupported and MLflow creates it in place
            os.link(aside, file)


def connect(uri: str) -> MlflowClient:
    """Return a client of a store. For a database that is out of reach, MLflow would try for a hundred seconds."""
    from mlflow import MlflowClient

    if uri.startswith(("http:", "https:")):
        return MlflowClient(uri)
    from mlflow.store.db import utils

    usual, utils.MAX_RETRY_COUNT = utils.MAX_RETRY_COUNT, 2
    try:
        return MlflowClient(uri)
    finally:
        utils.MAX_RETRY_COUNT = usual


def artifact_folder(store: Path, experiment: str) -> Path:
    return store.parent / "mlartifacts" / re.sub(r"[^\w.-]|^\.+$", "_", experiment)[:60]


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


def find_run(client: MlflowClient, experiment: str, journal: str) -> Any | None:
    """Return the run of a journal, if there is one."""
    found = client.search_runs([experiment], f"tags.`optitrip.journal` = '{journal}'", max_results=1)
    return found[0] if found else None


def experiment_id(client: MlflowClient, run: Run) -> str:
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(run.experiment)) is not None:
        if found.lifecycle_stage == "deleted":
            hint = "restore it in MLflow, or name another in [tracking] experiment"
            raise RuntimeError(f"the experiment {run.experiment!r:.100} was deleted there; {hint}")
        if (file := store_file(run.uri)) is not None:
            follow_artifacts(file, run.experiment, found.artifact_location)
        return str(found.experiment_id)
    location = None
    if (file := store_file(run.uri)) is not None:
        folder = artifact_folder(file, run.experiment)
        with suppress(OSError):  # MLflow makes it too
            folder.parent.mkdir(0o700, exist_ok=True)
        location = folder.as_uri()
    try:
        return client.create_experiment(run.experiment, artifact_location=location, tags=MODEL_TRAINING)
    except MlflowException:  # another sweep has just created it, or a deleted one has its name
        if (found := client.get_experiment_by_name(run.experiment)) is None:
            raise
        return str(found.experiment_id)
