"""Finds runs in a local store whose process has ended without a word, for sweeps whose journal is gone or was in
memory."""

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress

from optitrip.runtime.posix import is_alive
from optitrip.tracking.location import store_file
from optitrip.tracking.run import Run

PROCESS = "optitrip.process"
"""Tag with the machine and the number of the process that writes a run."""
RUNNING = """SELECT experiments.name, journal.value, process.value, coalesce(
    (SELECT max(timestamp) FROM metrics WHERE metrics.run_uuid = runs.run_uuid), runs.start_time)
FROM runs JOIN experiments USING (experiment_id)
JOIN tags AS journal ON journal.run_uuid = runs.run_uuid AND journal.key = 'optitrip.journal'
JOIN tags AS process ON process.run_uuid = runs.run_uuid AND process.key = ?
WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active'"""
BUSY_SECONDS = 1.0


def this_process() -> str:
    """Return the tag of this process."""
    return f"{socket.gethostname()} {os.getpid()}"


def dead_runs(uri: str) -> Iterator[tuple[Run, int]]:
    """Yield runs of dead processes of this machine, and when each last wrote, in milliseconds since 1970; none if the
    store is not a file, or cannot be read. MLflow is not imported."""
    file = store_file(uri)
    if file is None or not file.is_file():
        return
    found: list[tuple[str, str, str, int]] = []
    address = f"{file.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, BUSY_SECONDS, uri=True)) as store:
        found = store.execute(RUNNING, (PROCESS,)).fetchall()
    for experiment, journal, process, last in found:
        machine, _, number = process.rpartition(" ")
        if machine == socket.gethostname() and number.isdecimal() and not is_alive(int(number)):
            yield Run(uri, experiment, "", journal, last, {}, {}), last
