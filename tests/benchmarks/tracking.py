"""Measures what recording in MLflow costs a sweep, in pairs of sweeps that differ in nothing else.

PYTHONPATH=tests/support uv run python tests/benchmarks/tracking.py [loop | servers] [candidates ...]

`loop`: processor seconds of the driver in the loop over all candidates, all its threads together, without MLflow and
with it. The import of MLflow, which another process does meanwhile, is not in it.
`servers`: seconds until the answer is printed, with a local store and with a server that takes two seconds for each
request, one that is down, and one that never answers.
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
from unittest.mock import patch

from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.core.observer import Observer
from optitrip.driver.run import Driver
from optitrip.store.lookup import read

PAIRS = 5
SWEEP = """
[objective]
loss = "paced:loss"
[space]
x = { normal = [0, 1] }
[method]
use = "search"
candidates = 1
[run]
executor = "serial"
"""
PACED = """
def loss(x):
    for _ in range(400):
        x = x * 0.999 + 0.001
    return x * x
"""
"""A loss of some ten microseconds, about the least that a user's takes."""
OPTITRIP = [sys.executable, "-m", "optitrip", "sweep", "paced.toml", "--quiet", "--fresh"]


def answer_seconds(folder: Path, uri: str, *overrides: str) -> float:
    """Run a new sweep as a command; return the seconds until its answer was printed."""
    shutil.rmtree(folder / ".optitrip", ignore_errors=True)
    options = [word for override in overrides for word in ("--set", override)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    began, quiet = time.perf_counter(), subprocess.DEVNULL
    with subprocess.Popen(
        [*OPTITRIP, *options], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=quiet, text=True
    ) as command:
        assert command.stdout is not None
        command.stdout.readline()
        answered = time.perf_counter() - began
        command.stdout.read()
    return answered


def compare(name: str, pairs: list[tuple[float, float]]) -> None:
    """Print the median of each side, and that of the quotients."""
    one, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [after / before for before, after in pairs]
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"{name}: {one:.2f} s, {other:.2f} s, quotient {statistics.median(ratios):.3f} ({each})", flush=True)


def loop_seconds(*overrides: str) -> float:
    """Run a new sweep in this process; return the processor time of its loop."""
    run, spent = Driver.run, list[float]()

    def timed(driver: Driver, route: Any) -> Any:
        began = time.process_time()
        result = run(driver, route)
        spent.append(time.process_time() - began)
        return result

    with patch.object(Driver, "run", timed):
        run_sweep(read(Path("paced.toml"), overrides), Options(fresh=True, mlflow_process=True), Observer())
    return spent[0]


def loops(sizes: list[int]) -> None:
    for size in sizes:
        pairs: list[tuple[float, float]] = []
        for number in range(PAIRS):
            settings = (f"method.candidates={size}", f"seed={number}")
            pairs.append((loop_seconds(*settings, "tracking.use=none"), loop_seconds(*settings)))
        compare(f"loop over {size:,} candidates without and with MLflow", pairs)


def servers(folder: Path, size: int) -> None:
    from mlflow_http import mlflow_server

    store = folder / "mlflow.db"
    with mlflow_server(store) as slow, socket.socket() as down, socket.create_server(("127.0.0.1", 0)) as silent:
        down.bind(("127.0.0.1", 0))  # but does not listen
        slow.meet = lambda path, body: time.sleep(2)
        slow.start()
        places = {"slow": slow.uri}
        places |= {
            name: f"http://127.0.0.1:{one.getsockname()[1]}" for name, one in {"down": down, "silent": silent}.items()
        }
        for name, uri in places.items():
            pairs: list[tuple[float, float]] = []
            for number in range(PAIRS):
                settings = (f"method.candidates={size}", f"seed={number}")
                here = answer_seconds(folder, f"sqlite:///{store}", *settings)
                pairs.append((here, answer_seconds(folder, uri, *settings)))
            compare(f"answer of {size:,} candidates with a local store and a server that is {name}", pairs)


def main(words: list[str]) -> None:
    sizes = [int(word) for word in words if word.isdecimal()]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "paced.toml").write_text(SWEEP)
        Path(folder, "paced.py").write_text(PACED)
        answer_seconds(Path(folder), f"sqlite:///{folder}/mlflow.db")  # makes the store
        if "servers" not in words:
            os.chdir(folder)
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
            loops(sizes or [100_000, 1_000_000])
        if "loop" not in words:
            servers(Path(folder), (sizes or [20_000])[0])


if __name__ == "__main__":
    main(sys.argv[1:])
