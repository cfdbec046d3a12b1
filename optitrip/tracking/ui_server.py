"""Runs MLflow's web server on the store to which sweeps in this directory are recorded, and opens its page."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from contextlib import suppress
from pathlib import Path

from optitrip.errors import InputError, Stopped
from optitrip.journal.facts import RecordedRun
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.posix import end_group
from optitrip.runtime.process import stop_signals
from optitrip.store.state_dir import JOURNAL, matching, peek_fact, time_of
from optitrip.tracking.location import store_file, tracking_uri
from optitrip.tracking.mlflow_client import QUIET
from optitrip.tracking.page import runs_page
from optitrip.tracking.secrets import without_password
from optitrip.tracking.settle import settle

START_SECONDS = 120
# Starting MLflow's jobs for language models would double the start-up time.
WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
LINES_SHOWN = 15
OPEN_SECONDS = 2.0


def serve(port: int, root: Path, experiment: str | None = None, *, browser: bool = True) -> int:
    """Run MLflow's server at 127.0.0.1 until stopped; return its exit status. Raise InputError if it cannot start.

    If sweeps are recorded to a server, only show its page.
    """
    uri = tracking_uri()
    experiment = experiment or latest_experiment(root)
    if uri.startswith(("http://", "https://")):
        show(runs_page(uri, experiment), browser=browser)
        put_right(root, uri)
        return 0
    file = store_file(uri)
    if file is not None and not file.exists():
        raise InputError(
            f"{file}: no such file; run a sweep in this directory first, or change to the directory of an earlier sweep"
        )
    if listening(port):
        raise InputError(f"--port {port}: the port is already in use; choose another port")
    put_right(root, uri)
    print(f"starting MLflow's server on {without_password(uri)} ...", file=sys.stderr, flush=True)
    # One worker: four, MLflow's default, take half a minute to start on two cores.
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    # Its output is shown only if the server fails: otherwise the user would get a page of irrelevant warnings.
    with stop_signals() as stop, tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**QUIET, **WITHOUT_JOBS, **os.environ},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            end, page, shown = time.monotonic() + START_SECONDS, None, False
            while server.poll() is None:
                if (request := stop.requested) is not None:
                    raise request
                if page is None and time.monotonic() < end and listening(port):
                    page = BackgroundCall(lambda: runs_page(f"http://127.0.0.1:{port}", experiment))
                if page is not None and page.done() and not shown:
                    show(page.result(), "; press Ctrl-C to stop the server", browser=browser)
                    shown = True
                time.sleep(0.2)
        except Stopped:
            return 0
        finally:  # terminating only the server would leave its child processes running
            end_group(server.pid, gently=True)
            server.wait()
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines()[-LINES_SHOWN:]
        print("\n".join(lines), file=sys.stderr)
        return server.returncode


def put_right(root: Path, uri: str) -> None:
    for line in settle(root, uri):
        print(line, file=sys.stderr)


def latest_experiment(root: Path) -> str | None:
    """Return the experiment to which the latest recorded sweep in a folder of state directories was recorded."""
    for journal in sorted(matching(root, f"*/{JOURNAL}"), key=lambda path: time_of(path.parent), reverse=True):
        if recorded := peek_fact(journal.parent, RecordedRun):
            return recorded.experiment
    return None


def show(page: str, more: str = "", *, browser: bool) -> None:
    """Print the address of a page, and open it if there is a display to open it on."""
    print(f"{page} shows your sweeps{more}", file=sys.stderr, flush=True)
    # Without a display, Python would start a browser in this terminal. `BROWSER` is the user's own choice.
    display = sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if browser and display:
        opening = threading.Thread(target=open_page, args=[page], name="browser", daemon=True)
        opening.start()
        opening.join(OPEN_SECONDS)  # a browser in a terminal returns only when it is closed


def open_page(page: str) -> None:
    with suppress(Exception):  # the address has been printed
        webbrowser.open(page)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
