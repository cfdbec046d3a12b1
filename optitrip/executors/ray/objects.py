"""Objectives and methods on their way to the workers: small ones in messages, large ones through the object store."""

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.exceptions
from ray import cloudpickle
from ray.experimental import get_local_object_locations

from optitrip.core.notice import Notice, warning
from optitrip.errors import InputError, Stopped
from optitrip.executors.import_first import ImportFirst
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import record_of

MESSAGE_BYTES = 64 * 1024
"""Largest object that is sent in a message. Ray itself puts arguments of over 100 KiB into its object store."""


@dataclass(frozen=True)
class Packed:
    """A small pickled object; its arrays are separate, so that they are read-only where they arrive.

    Without objects of this process in its store, Ray can lose its node without ending this process on the spot, which
    it does while it tries to recover them.
    """

    data: bytes
    arrays: tuple[bytes, ...]


def put(value: Any, name: str, notices: list[Notice]) -> Any:
    """Pack a small value, or put a large one into the object store and return a reference; add a warning if it is
    larger than the store."""
    buffers: list[pickle.PickleBuffer] = []
    # Ray's own variant, for references to Ray's objects in the loss.
    data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)  # pyright: ignore[reportPrivateImportUsage]
    arrays = [buffer.raw() for buffer in buffers]
    if len(data) + sum(array.nbytes for array in arrays) <= MESSAGE_BYTES:
        return Packed(data, tuple(array.tobytes() for array in arrays))
    try:
        reference = ray.put([np.asarray(memoryview(part)) for part in (data, *arrays)])
    except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
        raise Stopped(
            f"{name} fits neither into Ray's object store of {store_bytes() / 1e6:,.0f} MB nor on its disk "
            f"({str(error).splitlines()[0]}); free some disk space, give Ray a larger store, or use --executor serial"
        ) from None
    size: int = get_local_object_locations([reference]).get(reference, {}).get("object_size") or 0
    if size > store_bytes():
        text = (
            f"{name} takes {size / 1e6:,.0f} MB, more than Ray's object store of {store_bytes() / 1e6:,.0f} MB: the "
            "rest is stored on disk, which is slower. A larger object store avoids that"
        )
        notices.append(warning("object-store", text))
    return reference


def put_objective(objective: Any, notices: list[Notice], check: Callable[[], None]) -> Any:
    """Pack or put the objective; raise InputError if it cannot be pickled, unless `check` raises."""
    try:
        return put((ImportFirst(objective), objective), "the objective", notices)
    except Stopped:
        raise
    except BaseException as error:  # pickling runs user code; Ray adds twenty lines of diagnosis
        check()
        cause = next(iter(record_of(0, failure(error).__cause__ or error).message.splitlines()), repr(type(error)))
        raise InputError(
            f"the objective cannot be sent to Ray workers: {cause}. Create what cannot be pickled inside the loss, or "
            "use --executor serial",
            ("objective",),
        ) from None


def fetch(sent: Any) -> Any:
    """Return an object where it has arrived; the arrays of a large one are views of the object store."""
    data, *arrays = (sent.data, *sent.arrays) if isinstance(sent, Packed) else ray.get(sent)
    # As in this process, a class that pickles its own buffers gets read-only memory, which unlike an array has a truth.
    return pickle.loads(data, buffers=[memoryview(array) for array in arrays])


def store_bytes() -> float:
    """Return the size of the smallest object store of the nodes."""
    sizes = [node["Resources"].get("object_store_memory") for node in ray.nodes() if node["Alive"]]
    return min((size for size in sizes if size), default=math.inf)
