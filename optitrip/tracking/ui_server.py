"""Shows sweeps in MLflow's web page, on the right store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from optitrip.errors import InputError, Stopped
from optitrip.runtime.process import stop_signals
from optitrip.tracking.mlflow_client import QUIET
from optitrip.tracking.observer import tracking_uri

START_SECONDS = 120
# Both switch off language models: MLflow opens their pages by default, and their jobs take half of the start.
PAGE = "#/experiments?workflowType=machine_learning"
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
LINES_SHOWN = 15


def serve(port: int) -> int:
    """Run MLflow's server at 127.0.0.1 until interrupted; return its exit status.

    Raises InputError if the store is itself a server, does not exist yet, or the port is taken.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise InputError(f"MLFLOW_TRACKING_URI is the server {uri}: open it in a browser")
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():
        raise InputError(f"{file}: no such file; run a sweep in this directory first, or go to where you ran one")
    if listening(port):
        raise InputError(f"--port {port}: something listens there already; name another port")
    print(f"starting MLflow's server on {uri} ...", file=sys.stderr, flush=True)
    # One worker: four of them, MLflow's default, take half a minute to start on two cores.
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    # What it prints is shown only if it does not start: a page of warnings is of no use to a reader.
    with stop_signals() as stop, tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**QUIET, **LEAN, **os.environ},
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
                    print(f"{page} shows your sweeps; Ctrl-C ends it", file=sys.stderr, flush=True)
                    shown = True
                time.sleep(0.2)
        except Stopped:
            return 0
        finally:  # ending the server alone would leave the processes that it started
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
