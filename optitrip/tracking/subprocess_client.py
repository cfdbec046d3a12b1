"""A tracking client that runs MLflow in a child process."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import optitrip
from optitrip.runtime.interrupts import failure
from optitrip.runtime.posix import STOPS
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.run import Ending, Metric, Run

FOLDER = Path(optitrip.__file__).parents[1]
# -P: a user's file in the working directory must not shadow a library of the same name.
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from optitrip.tracking.subprocess_client import serve; serve()"


class SubprocessClient(AbstractContextManager["SubprocessClient"]):
    """A tracking client that runs MLflow in a child process, which starts the import, a matter of seconds, immediately.

    In a thread, the import would slow the driver down, because it holds the GIL. Requests and answers are pickled and
    sent through pipes, one at a time. The child exits when this process ends in any way, because its pipe is closed.
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

    def log(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        self._call("log", metrics, tags)

    def conclude(self, ending: Ending) -> list[str]:
        return self._call("conclude", ending)

    def kill(self, run: Run, end: int) -> None:
        self._call("kill", run, end)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method in the child; raise RuntimeError with its exception's message, or if the child has exited."""
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
        """Kill the child if it is idle; otherwise it exits by itself after the pending request."""
        if self._pending.acquire(blocking=False):
            self._process.kill()
            self._process.communicate()
            self._pending.release()


def serve() -> None:
    """Answer requests in the child process until the driver closes the pipe."""
    for number in STOPS:  # it must outlive the driver, which may still send requests
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)  # a store, and artifacts, are for their owner alone
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # MLflow's output must not mix with the answers
    client = InProcessClient()
    with suppress(Exception):  # the first request raises it again and reports it
        client.prepare()
    with suppress(EOFError, OSError, pickle.UnpicklingError):  # the driver has exited, perhaps while writing a request
        while True:
            method, arguments = pickle.load(sys.stdin.buffer)
            try:
                answer = (getattr(client, method)(*arguments), None)
            except BaseException as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
                answer = (None, str(failure(error)).strip() or repr(error))
            answers.write(pickle.dumps(answer))
            answers.flush()
    os._exit(0)  # a normal exit would complain about an unread answer
