"""The process that evaluates slices for one slot: it loads an objective, and answers one slice after the other."""

import json
import os
import pickle
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from optitrip.executors.isolated.objective_file import read_objective
from optitrip.executors.serial import Worker
from optitrip.runtime.posix import peak_bytes
from optitrip.runtime.streams import capture_output
from optitrip.runtime.tracebacks import text_of, trace_of
from optitrip.runtime.visible import apply_settings

BEGIN = """
import json, sys
with open(sys.argv[1] + "/start.json", encoding="utf-8") as file:
    sys.path[:] = json.load(file)["paths"]
from optitrip.executors.isolated.worker import main
main(sys.argv[1])
"""
"""Program of the process: its import path is that of the driver, whatever is beside the file that it runs."""
ADDRESS, START, OBJECTIVE = "address", "start.json", "objective"
"""Names of files in its folder: where it listens, what it needs to begin, and the objective."""
BEGUN = "begun"
"""Message that the evaluation of a slice begins, from which on its time counts."""
LONGEST = 100
"""Most bytes in the name of a socket, of which systems allow 103 or more."""


def main(folder: str) -> None:
    """Load the objective in a folder, listen for the driver, and answer until it hangs up."""
    place = Path(folder)
    start = json.loads((place / START).read_text(encoding="utf-8"))
    key = bytes.fromhex(start["key"])
    with suppress(OSError):
        os.chdir(start["folder"])
    with Listener(address_in(place), authkey=key) as listener:
        # Written whole under another name, so that the driver never reads half of it.
        (place / f"{ADDRESS}.new").write_bytes(pickle.dumps(listener.address))
        (place / f"{ADDRESS}.new").rename(place / ADDRESS)
        with listener.accept() as connection:
            serve(connection, place / OBJECTIVE)
    sys.stdout.flush()
    os._exit(0)  # threads that the loss has left running are of no use to anybody


def address_in(folder: Path) -> str | tuple[str, int]:
    """Return the address of a socket in a folder, or a port of this machine where there are none, or its name would be
    too long."""
    path = str(folder / "socket")
    return path if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= LONGEST else ("127.0.0.1", 0)


def serve(connection: Connection, objective: Path) -> None:
    """Answer each message with `BEGUN`, once all is prepared, and an outcome; or with the traceback of an exception
    outside the loss."""

    @contextmanager
    def begun() -> Generator[None]:
        connection.send(BEGUN)
        yield

    worker: Worker | None = None
    method: Any = None
    while True:
        try:
            message: tuple[bytes | None, int, int] = connection.recv()
        except EOFError:
            return
        packed, lo, hi = message
        answer: Any
        try:
            with capture_output() as output:
                if worker is None:
                    loaded = read_objective(objective)
                    apply_settings(getattr(loaded, "settings", b""))
                    worker = Worker(loaded)
                method = method if packed is None else pickle.loads(packed)
                part, seconds = worker.evaluate(method, range(lo, hi), begun)
            answer = part, seconds, output.text, peak_bytes(), worker.changes or ()
        except BaseException as error:
            answer = text_of(error, trace_of(error))
        connection.send(answer)
