"""A worker in a Ray process, and the driver's handle of it."""

import os
import pickle
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from optitrip.core.executor import Done, Failed
from optitrip.executors.ray.objects import fetch
from optitrip.executors.ray.quarantine import Work
from optitrip.executors.ray.shipment import Proof, prove, unpack
from optitrip.executors.serial import Worker
from optitrip.runtime.fingerprint import facts
from optitrip.runtime.posix import lead_group, peak_bytes
from optitrip.runtime.process import time_limit
from optitrip.runtime.streams import capture_output
from optitrip.runtime.tracebacks import text_of, trace_of
from optitrip.runtime.visible import apply_settings


class RayWorker:
    """A worker in a Ray process."""

    def __init__(self, folder: str) -> None:
        lead_group()
        with suppress(OSError):  # it need not exist on another machine
            os.chdir(folder)
        self._loaded: Any = None
        self._prepared: Any = None

    def facts(self) -> dict[str, str]:
        return facts()

    def load(self, files: Sequence[Any], objective: Sequence[Any], libraries: Sequence[str]) -> Proof | str:
        """Put the user's files first on the import path, load the objective, and return what this process imported for
        it, or the traceback of an exception."""
        try:
            with capture_output():
                unpack(fetch(files[0]))
                self._load(objective[0])
                return prove(libraries)
        except BaseException as error:
            return text_of(error, trace_of(error))

    def set_references(self, objective: Sequence[Any], method: Sequence[Any]) -> None:
        """Set the objective and the method of subsequent slices, each packed or a reference to it.

        References are wrapped in lists: Ray would unpickle a bare one before the import paths are set, and would not
        find the user's modules. They are sent once: in every call, they would be most of the driver's work.
        """
        self._references = objective[0], method[0]

    def _load(self, objective: Any) -> None:
        if self._loaded != objective:
            self._worker: Any = None  # free the old data set first: memory may not hold two
            fetched = fetch(objective)[1]
            apply_settings(getattr(fetched, "settings", b""))
            self._worker = Worker(fetched)
            self._loaded = objective

    def evaluate(self, lo: int, hi: int, limit: float | None) -> bytes | str:
        """Evaluate a slice; return the pickled outcome, or the traceback of an exception outside the loss.

        The outcome is pickled here because Ray would serialize each array of a part separately, which is slower.
        """
        try:
            with capture_output() as output:
                objective, method = self._references
                self._load(objective)
                if self._prepared != method:
                    self._method = fetch(method)
                    self._prepared = method
                part, seconds = self._worker.evaluate(self._method, range(lo, hi), partial(time_limit, limit))
            return pickle.dumps((part, seconds, output.text, peak_bytes(), self._worker.changes), protocol=5)
        except BaseException as error:  # Ray would take a KeyboardInterrupt for a cancelled call
            return text_of(error, trace_of(error))


@dataclass(eq=False)
class WorkerHandle:
    """An actor and the slices queued at it."""

    actor: Any
    name: str = ""
    """Name of the worker's slot; empty until it is ready."""
    node: str = ""
    calls: dict[int, tuple[Any, Work]] = field(default_factory=dict[int, tuple[Any, Work]])
    """Reference to the outcome, and the work, by ticket in order of submission."""
    stale: dict[int, Any] = field(default_factory=dict[int, Any])
    """References to the outcomes of cancelled calls that may still run, by ticket."""
    since: float = 0.0
    """Earliest possible start of the first of these calls, or begin of an idle time, in seconds of the monotonic
    clock."""
    references: tuple[Any, Any] | None = None
    """References to the objective and the method last sent to the actor."""
    awaited: Any = None
    """Future of the call whose answer makes the worker ready."""

    def forget(self, ticket: int) -> None:
        """Remove a call that has an outcome or no longer needs one; the next call starts."""
        del self.calls[ticket]
        self.since = time.monotonic()


def outcome(ticket: int, answer: Any, slot: str) -> Done | Failed:
    if isinstance(answer, str):
        return Failed(ticket, "setup error", answer)
    part, seconds, *others = pickle.loads(answer)
    return Done(ticket, part, seconds, slot, *others)
