"""A tracking client that runs MLflow in a process of its own, since importing MLflow takes seconds.

In a thread of the driver the import would take its time from the driver: one thread computes at a time.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import optitrip
from optitrip.tracking.mlflow_client import InProcessClient, Metric, Run

FOLDER = Path(optitrip.__file__).parents[1]
# -P: a file of the user's in the working directory must not come before a library of the same name.
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from optitrip.tracking.subprocess_client import serve; serve()"


class SubprocessClient(AbstractContextManager["SubprocessClient"]):
    """Starts importing MLflow at once; requests and answers are pickles in pipes, one at a time.

    The process ends with this one, however that ends, since its pipe is then closed.
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
        """Call a method in the process.

        Raises:
            RuntimeError: with the message of what it raised, or because the process has ended.
        """
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
