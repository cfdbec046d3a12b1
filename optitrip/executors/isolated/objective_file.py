"""The file by which an objective gets to other processes of this machine, which share the memory of its arrays."""

import mmap
import pickle
from pathlib import Path
from typing import Any

import cloudpickle

from optitrip.errors import InputError
from optitrip.executors.import_first import ImportFirst
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import record_of

LENGTH, ALIGNED = 8, 64
"""Number of bytes of a length, and multiple of bytes at which each piece begins."""


def write_objective(objective: Any, path: Path) -> None:
    """Write an objective, its arrays apart from all else; raise InputError if it cannot be pickled."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = cloudpickle.dumps((ImportFirst(objective), objective), protocol=5, buffer_callback=buffers.append)
    except BaseException as error:  # pickling runs user code
        cause = record_of(0, failure(error)).message.partition("\n")[0]
        raise InputError(
            f"the objective cannot be sent to a process of its own: {cause}. Create what cannot be pickled inside the "
            "loss, or remove isolate and timeout_seconds",
            ("objective",),
        ) from None
    pieces = [memoryview(data), *(buffer.raw() for buffer in buffers)]
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece.nbytes.to_bytes(LENGTH, "little"))
            file.write(b"\0" * (-file.tell() % ALIGNED))
            file.write(piece)


def read_objective(path: Path) -> Any:
    """Return an objective from its file; its arrays are read-only views of it."""
    with path.open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    pieces: list[memoryview] = []
    place = 0
    while place < len(whole):
        length = int.from_bytes(whole[place : place + LENGTH], "little")
        place += LENGTH
        place += -place % ALIGNED
        pieces.append(whole[place : place + length])
        place += length
    data, *arrays = pieces
    return pickle.loads(data, buffers=arrays)[1]
