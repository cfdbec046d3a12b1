"""MLflow's web page on the right store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from optitrip.errors import InputError
from optitrip.tracking.mlflow_runs import QUIET, tracking_uri


def serve(port: int) -> int:
    """Run MLflow's server at 127.0.0.1 until interrupted; return its exit status.

    Raises:
        InputError: if the store is a server of its own, or there is no store yet.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise InputError(f"MLFLOW_TRACKING_URI is the server {uri}: open it in a browser")
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():
        raise InputError(f"{file}: no such file; run a sweep in this directory first, or go to where you ran one")
    print(f"http://127.0.0.1:{port} shows {uri} (Ctrl-C ends it)", file=sys.stderr)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    try:
        return subprocess.run([*command, "--port", str(port)], env={**QUIET, **os.environ}, check=False).returncode
    except KeyboardInterrupt:
        return 0
