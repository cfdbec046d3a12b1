"""A recorder in a process of its own, for a command: MLflow takes seconds to import.

In a thread of the driver an import would take its time from the driver: one thread computes at a time.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import optitrip
from optitrip.tracking.mlflow_client import InProcessClient, Metric, Run

FOLDER = Path(optitrip.__file__).parents[1]
# -P: a file of the user's beside which we stand must not come before a library of the same name.
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from optitrip.tracking.subprocess_client import serve; serve()"


class SubprocessClient:
    """Starts importing MLflow at once; requests and answers are pickles in pipes, one at a time.

    The process ends with this one, whatever happens to it: then nothing more comes from its pipe.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, str(FOLDER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the driver
        )

    def begin(self, run: Run) -> str:
        return self._ask("begin", run)

    def log(self, metrics: Sequence[Metric]) -> None:
        self._ask("log", [tuple(metric) for metric in metrics])  # plain: it need not import what made them

    def conclude(self, state: str, status: str, files: Sequence[str], note: str) -> None:
        self._ask("conclude", state, status, files, note)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Have a method called there.

        Raises:
            RuntimeError: with the words of what it raised, or because the process is gone.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        with self._asking:
            try:
                requests.write(pickle.dumps((method, arguments)))
                requests.flush()
                answer, error = pickle.load(answers)
            except (OSError, EOFError, ValueError):  # ValueError: the pipe was closed
                raise RuntimeError("its process has ended") from None
        if error is not None:
            raise RuntimeError(error)
        return answer

    def __enter__(self) -> SubprocessClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, if it has answered all; else somebody is in a hurry, and it ends by itself when it has."""
        if self._asking.acquire(blocking=False):
            self._process.kill()
            self._process.communicate()
            self._asking.release()


def serve() -> None:
    """The process: answer requests until there are no more."""
    hangup = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        *hangup,
    ):  # it ends with the driver, which may have something to tell yet
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what MLflow prints is no answer
    client = InProcessClient()
    with suppress(Exception):  # raised again, and told, when a run is to begin
        client.prepare()
    with suppress(EOFError, OSError, pickle.UnpicklingError):  # until the driver is gone, perhaps in mid-sentence
        while True:
            method, arguments = pickle.load(sys.stdin.buffer)
            try:
                answer = (getattr(client, method)(*arguments), None)
            except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
                answer = (None, str(error).strip() or repr(error))
            answers.write(pickle.dumps(answer))
            answers.flush()
    os._exit(0)  # an answer that nobody reads would be complained of
