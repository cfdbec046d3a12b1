"""Evaluates slices of a Python loss in processes of their own, which end with all their descendants."""

import json
import os
import pickle
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import cloudpickle

from optitrip.core.executor import Done, Failed
from optitrip.executors.isolated.objective_file import write_objective
from optitrip.executors.isolated.worker import ADDRESS, BEGIN, BEGUN, OBJECTIVE, START
from optitrip.executors.threads import Threads
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.children import Children, Closed, Ended
from optitrip.runtime.files import working_folder

POLL_SECONDS, END_SECONDS, TAIL = 0.02, 5.0, 2_000
"""Pause while a process starts, longest wait for how one has ended, and most letters of its stderr in a message."""


class Isolated(Threads):
    """An executor with a process for each slot."""

    def __init__(self, workers: int) -> None:
        super().__init__([f"process {number}" for number in range(1, workers + 1)])
        self._folder = working_folder()

    def evaluators(self, objective: Any) -> Sequence["Process"]:
        processes = [Process(slot, self._folder) for slot in self.slots]
        first, *others = [process.scratch / OBJECTIVE for process in processes]
        try:
            write_objective(objective, first)
            for other in others:
                link_or_copy(first, other)
        except BaseException:
            for process in processes:
                process.close()
            raise
        return processes


class Process:
    """A process that evaluates slices for one slot, started with the first of them and after each that it dies of."""

    def __init__(self, slot: str, folder: Path) -> None:
        self._slot, self._folder = slot, folder
        self.scratch = Path(tempfile.mkdtemp(prefix="optitrip-"))
        """Folder of its own, with the objective; it is deleted at the end."""
        self._children = Children()
        self._connection: Connection | None = None
        self._ended: BackgroundCall[Ended] | None = None
        self._sent: Any = None
        self._closed, self._lock = False, threading.Lock()

    def evaluate(self, ticket: int, method: Any, items: range, limit: float | None) -> Done | Failed:
        """Evaluate a slice; a process that takes longer than the limit is ended."""
        try:
            connection = self._connection or self._start()
            packed = None if method is self._sent else cloudpickle.dumps(method)
            connection.send((packed, items.start, items.stop))
            self._sent = method
            answer: Any = connection.recv()
            if answer == BEGUN:
                if not connection.poll(limit):
                    self._end()
                    return Failed(ticket, "timed out", f"it took longer than {limit:g} s")
                answer = connection.recv()
        except (OSError, EOFError) as error:
            reason = self._reason(error)
            self._end()
            return Failed(ticket, "died", reason)
        if isinstance(answer, str):
            return Failed(ticket, "setup error", answer)
        part, seconds, output, memory, changes = answer
        return Done(ticket, part, seconds, self._slot, output, memory, changes)

    def _start(self) -> Connection:
        """Start the process and connect to it; raise OSError if it dies meanwhile."""
        key, address = secrets.token_bytes(32), self.scratch / ADDRESS
        address.unlink(missing_ok=True)
        start = {"paths": sys.path, "folder": str(self._folder), "key": key.hex()}
        (self.scratch / START).write_text(json.dumps(start), encoding="utf-8")
        with self._lock:
            if self._closed:
                raise OSError("the sweep stops")
            children = self._children = Children()
        command = [sys.executable, "-c", BEGIN, str(self.scratch)]
        output = self.scratch / "stdout", self.scratch / "stderr"
        self._ended = BackgroundCall(lambda: children.run(command, self.scratch, {}, output))
        while not address.exists():
            if self._ended.done():
                raise EOFError("it did not start")
            time.sleep(POLL_SECONDS)
        self._connection = Client(pickle.loads(address.read_bytes()), authkey=key)
        return self._connection

    def _reason(self, error: BaseException) -> str:
        """Return how the process has ended."""
        ended = None
        with suppress(Exception):
            ended = self._ended.result(END_SECONDS) if self._ended is not None else None
        if ended is None or ended.status is None:
            return f"its process ended: {(ended and ended.error) or error}"
        how = f"by {signal_name(-ended.status)}" if ended.status < 0 else f"with status {ended.status}"
        try:
            tail = (self.scratch / "stderr").read_text("utf-8", "replace").strip()[-TAIL:]
        except OSError:
            tail = ""
        return f"its process ended {how}" + (f"; stderr ends with:\n{tail}" if tail else "")

    def _end(self) -> None:
        with self._lock:
            if self._closed:
                return
            # The process that watches it deletes its folder, so that none is left if this one is killed.
            old, self.scratch = self.scratch, Path(tempfile.mkdtemp(prefix="optitrip-"))
            link_or_copy(old / OBJECTIVE, self.scratch / OBJECTIVE)
        self._children.close()
        shutil.rmtree(old, ignore_errors=True)
        if self._ended is not None:
            with suppress(Closed):
                self._ended.result()
        if self._connection is not None:
            self._connection.close()
        self._connection = self._ended = self._sent = None

    def close(self) -> None:
        """End the process, also from another thread, and delete its folder."""
        with self._lock:
            self._closed = True
            self._children.close()
            shutil.rmtree(self.scratch, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file another name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
