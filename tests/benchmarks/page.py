"""Measures how long MLflow's page takes to show a large sweep: seconds until the metrics of its run are there.

uv run python tests/benchmarks/page.py [candidates ...]
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SWEEP = """
[objective]
loss = "optitrip.objectives:Sphere"
[space]
x = { normal = [0, 1], shape = [3] }
[method]
use = "search"
candidates = 1
[run]
executor = "serial"
"""
OPTITRIP = [sys.executable, "-m", "optitrip"]
TIMES = 3


def main(sizes: list[int]) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        Path(folder, "sphere.toml").write_text(SWEEP)
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        runs = {size: swept(Path(folder), size, environment) for size in sizes}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        words = ["ui", "--no-open", "--port", str(port)]
        server: Any = subprocess.Popen(
            [*OPTITRIP, *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        server.stderr.readline()
        address = server.stderr.readline().partition("/runs?")[0]
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size, run in runs.items():
            seconds = [opened(browser, f"{address}/runs/{run}") for _ in range(TIMES)]
            each = ", ".join(f"{one:.1f}" for one in seconds)
            print(f"{size:>9,} candidates: {statistics.median(seconds):.1f} s ({each})")
        browser.close()
        server.terminate()
        server.wait()


def swept(folder: Path, size: int, environment: dict[str, str]) -> str:
    """Run a tracked sweep; return the id of its MLflow run."""
    import json

    words = ["sweep", "sphere.toml", "--set", f"name=sphere_{size}", "--set", f"method.candidates={size}", "--json"]
    done = subprocess.run([*OPTITRIP, *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["mlflow"]["run_id"]


def opened(browser: Any, address: str) -> float:
    """Open a run's page in a new profile; return the seconds until its metrics are shown."""
    page = browser.new_context(viewport={"width": 1400, "height": 3000}).new_page()
    began = time.perf_counter()
    page.goto(address)
    page.get_by_text("best/index", exact=True).first.wait_for()
    seconds = time.perf_counter() - began
    page.close()
    return seconds


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100_000, 1_000_000])
