"""Runs MLflow's web server on the store to which sweeps in this directory are recorded."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from optitrip.errors import InputError, Stopped
from optitrip.runtime.process import stop_signals
from optitrip.tracking.location import store_file, tracking_uri
from optitrip.tracking.mlflow_client import QUIET

START_SECONDS = 120
# By default MLflow opens its pages for language models, and starting their jobs doubles the start-up time.
PAGE = "#/experiments?workflowType=machine_learning"
WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
LINES_SHOWN = 15


def serve(port: int) -> int:
    """Run MLflow's server at 127.0.0.1 until stopped; return its exit status. Raise InputError if it cannot start."""
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise InputError(f"MLFLOW_TRACKING_URI is the server {uri}: open it in a browser")
    file = store_file(uri)
    if file is not None and not file.exists():
        raise InputError(
            f"{file}: no such file; run a sweep in this directory first, or change to the directory of an earlier sweep"
        )
    if listening(port):
        raise InputError(f"--port {port}: the port is already in use; choose another port")
    print(f"starting MLflow's server on {uri} ...", file=sys.stderr, flush=True)
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
            end, shown = time.monotonic() + START_SECONDS, False
            while server.poll() is None:
                stop.raise_if_stopped()
                if not shown and time.monotonic() < end and listening(port):
                    page = f"http://127.0.0.1:{port}/{PAGE}"
                    print(f"{page} shows your sweeps; press Ctrl-C to stop the server", file=sys.stderr, flush=True)
                    shown = True
                time.sleep(0.2)
        except Stopped:
            return 0
        finally:  # terminating only the server would leave its child processes running
            if hasattr(os, "killpg"):
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGTERM)
            else:
                server.terminate()
            server.wait()
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines()[-LINES_SHOWN:]
        print("\n".join(lines), file=sys.stderr)
        return server.returncode


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
